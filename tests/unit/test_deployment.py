"""docker-compose.yml, the Dockerfiles and the .env examples, held against each other and the code they run."""

import ast
import importlib.metadata
import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from booking_svc.contract import GATEWAY_MAY
from rabbitmq.users import USERS, definitions, password_variable

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
RUNNING = {name: service for name, service in SERVICES.items() if name != "topology"}

#: Each folder with a Dockerfile: what its image starts, and the module that loads all the others.
STARTS = {
    "gateway": ["gunicorn", "-c", "gateway/gunicorn.conf.py", "gateway.app:create_app()"],
    "auth_svc": ["nameko", "run", "--config", "auth_svc/config.yml", "auth_svc.service"],
    "concert_svc": ["nameko", "run", "--config", "concert_svc/config.yml", "concert_svc.service"],
    "booking_svc": ["nameko", "run", "--config", "booking_svc/config.yml", "booking_svc.service"],
    "mailer_svc": ["nameko", "run", "--config", "mailer_svc/config.yml", "mailer_svc.service"],
    "rabbitmq": ["python", "-m", "rabbitmq", "relay"],
}
FIRST_MODULES = {folder: [f"{folder}.service"] for folder in STARTS} | {
    "gateway": ["gateway.app"],
    "rabbitmq": ["rabbitmq.__main__"],
    "booking_svc": ["booking_svc.service", "booking_svc.audit.__main__"],
}
EXACT_VERSION = re.compile(r"[a-z/]+:v?\d+\.\d+\.\d+(-[a-z-]+)?")
each_folder = pytest.mark.parametrize("folder", STARTS)


@cache
def dockerfile(folder: str) -> list[tuple[str, str]]:
    """The Dockerfile of *folder* as (instruction, rest), in order."""
    text = re.sub(r"\\\n", "", re.sub(r"(?m)^#.*\n", "", (ROOT / folder / "Dockerfile").read_text()))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def instructions(folder: str, name: str) -> list[str]:
    return [rest for instruction, rest in dockerfile(folder) if instruction == name]


def copied(folder: str) -> list[Path]:
    """What the image of *folder* takes from the repository into its last stage, relative to the root."""
    from_repository = [rest.split() for rest in instructions(folder, "COPY") if not rest.startswith("--from")]
    return [Path(source) for words in from_repository[1:] for source in words[:-1]]


def example(folder: str) -> dict[str, str]:
    """The variables of a .env.example and their values."""
    lines = (ROOT / folder / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def module_file(module: str) -> Path | None:
    """The file of one of our modules, relative to the root; None if it is not ours."""
    path = Path(*module.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in candidates if path.parts[0] in STARTS and (ROOT / file).exists()), None)


def imports(file: Path) -> Iterator[str]:
    """Every module that *file* imports, packages on the way included."""
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def loaded(folder: str) -> tuple[set[Path], set[str]]:
    """The files of ours that a program loads, and the top-level packages of others."""
    files: set[Path] = set()
    others: set[str] = set()
    waiting = [*FIRST_MODULES[folder]]
    while waiting:
        module = waiting.pop()
        if (file := module_file(module)) is None:
            others.add(module.split(".")[0])
        elif file not in files:
            files.add(file)
            waiting += imports(file)
            waiting += [".".join(file.parts[:depth]) for depth in range(1, len(file.parts))]
    return files, others - set(STARTS) - sys.stdlib_module_names


def test_every_image_is_pinned_to_an_exact_version() -> None:
    images = [service["image"] for service in SERVICES.values() if "image" in service]
    images += [rest.split()[0] for folder in STARTS for rest in instructions(folder, "FROM")]
    assert images
    assert [image for image in images if not EXACT_VERSION.fullmatch(image)] == []


def test_every_service_is_checked_and_comes_back_after_a_crash() -> None:
    assert [name for name, service in RUNNING.items() if "test" not in service["healthcheck"]] == []
    assert {service["restart"] for service in RUNNING.values()} == {"unless-stopped"}


def test_the_topology_is_declared_once_and_before_every_program() -> None:
    topology = SERVICES["topology"]
    assert topology["command"] == ["python", "-m", "rabbitmq", "topology", "apply"]
    assert (topology["restart"], topology["healthcheck"]) == ("no", {"disable": True})
    waits = {name: service["depends_on"].get("topology") for name, service in OURS.items() if name != "topology"}
    assert set(waits) == {*STARTS, "relay"} - {"rabbitmq"}
    assert all(wait == {"condition": "service_completed_successfully"} for wait in waits.values())


def test_what_a_service_waits_for_exists_and_can_become_healthy() -> None:
    for service in SERVICES.values():
        for name, wait in service.get("depends_on", {}).items():
            assert wait["condition"] == "service_healthy" or name == "topology"
            assert name in SERVICES


def test_only_the_proxy_before_the_gateway_is_reached_from_other_machines() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published.pop("nginx") == ["${PORT:-3000}:8080"]
    assert set(published) == {"rabbitmq", "mailpit"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_the_backend_has_no_way_out_and_everyone_is_on_it() -> None:
    assert COMPOSE["networks"]["backend"] == {"internal": True}
    assert all("backend" in service["networks"] for service in SERVICES.values())
    # Docker publishes no port of a container that is on an internal network only; the mailer reaches mail servers.
    outside = {name for name, service in SERVICES.items() if "outside" in service["networks"]}
    assert outside == {"mailer_svc"} | {name for name, service in SERVICES.items() if "ports" in service}


def test_no_container_has_root_or_a_privilege() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert name in OURS or service["user"].split(":")[0] not in ("root", "0")


def test_the_gateway_believes_the_proxy_which_finds_it() -> None:
    conf = (ROOT / "nginx" / "nginx.conf").read_text()
    assert f"server gateway:{example('gateway')['PORT']} resolve;" in conf and "listen 8080;" in conf
    assert example("gateway")["TRUSTED_PROXIES"] == "1"
    assert SERVICES["nginx"]["volumes"] == ["./nginx/nginx.conf:/etc/nginx/nginx.conf:ro"]


def test_our_containers_and_the_proxy_are_read_only_and_bounded() -> None:
    for service in [*OURS.values(), SERVICES["nginx"]]:
        assert service["read_only"] and service["tmpfs"] == "/tmp"
        assert service["mem_limit"] and service["pids_limit"]
        assert service["stop_grace_period"] == "30s"


def test_every_volume_is_named_and_declared() -> None:
    mounts = [mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])]
    assert sorted(mount for mount in mounts if not mount.startswith("./")) == sorted(COMPOSE["volumes"])
    assert [mount for mount in mounts if mount.startswith("./") and not (ROOT / mount).exists()] == []


def test_every_folder_with_a_dockerfile_is_built_with_the_settings_of_its_own() -> None:
    built = {service["build"]["dockerfile"].split("/")[0]: service for service in OURS.values()}
    assert set(built) == set(STARTS) == {path.parent.name for path in ROOT.glob("*/Dockerfile")}
    for folder, service in built.items():
        assert service["build"] == {"context": ".", "dockerfile": f"{folder}/Dockerfile"}
        assert service["env_file"] == f"{folder}/.env"
        assert (ROOT / folder / ".env.example").exists()


@each_folder
def test_an_image_is_built_in_two_stages_and_runs_without_root(folder: str) -> None:
    build, run = instructions(folder, "FROM")
    assert build == f"{run} AS build"
    assert instructions(folder, "COPY")[1] == "--from=build /venv /venv"
    assert [user for user in instructions(folder, "USER") if int(user.split(":")[0]) > 0] == ["10001:10001"]
    assert instructions(folder, "STOPSIGNAL") == ["SIGTERM"]
    assert "PYTHONUNBUFFERED=1" in instructions(folder, "ENV")[0].split()


@each_folder
def test_an_image_installs_its_own_requirements_by_their_hashes(folder: str) -> None:
    assert instructions(folder, "COPY")[0] == f"requirements/{folder}.txt /requirements.txt"
    assert "--hash=sha256:" in (ROOT / "requirements" / f"{folder}.txt").read_text()
    (install,) = instructions(folder, "RUN")
    assert "--require-hashes" in install and install.endswith("-r /requirements.txt")


@each_folder
def test_an_image_starts_the_program_and_finds_its_configuration(folder: str) -> None:
    (command,) = instructions(folder, "CMD")
    assert ast.literal_eval(command) == STARTS[folder]
    assert [word for word in STARTS[folder] if "/" in word and not (ROOT / word).exists()] == []


@each_folder
def test_an_image_holds_what_its_program_loads_and_of_other_services_the_contracts_only(folder: str) -> None:
    sources = copied(folder)
    assert [source for source in sources if not (ROOT / source).exists()] == []
    files, packages = loaded(folder)
    assert [file for file in files if not any(file.is_relative_to(source) for source in sources)] == []
    others = {source for source in sources if source.parts[0] not in (folder, "rabbitmq")}
    assert {source.name for source in others} <= {"__init__.py", "contract.py"}
    assert {source for source in others if source.name == "contract.py"} <= files, "an unused contract"
    required = set(re.findall(r"(?m)^([a-z0-9.-]+)==", (ROOT / "requirements" / f"{folder}.txt").read_text()))
    owners = importlib.metadata.packages_distributions()
    assert [name for name in packages if not {_normal(owner) for owner in owners[name]} & required] == []


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_the_build_sees_what_is_copied_and_no_settings() -> None:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    assert kept == {"requirements"} | {source.parts[0] for folder in STARTS for source in copied(folder)}
    assert rules.index("**/.env*") > max(rules.index(f"!{path}") for path in kept)


@each_folder
def test_every_variable_that_is_read_is_in_the_example_with_a_comment(folder: str) -> None:
    code = "\n".join(path.read_text() for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".yml"))
    reads = r"""\$\{([A-Z_]+)|environ(?:\.get\(|\[)["']([A-Z_]+)|envvar="([A-Z_]+)|_required\("([A-Z_]+)"""
    read = {name for match in re.findall(reads, code) for name in match if name}
    assert read <= set(example(folder))
    assert [name for name in example(folder) if not re.search(rf"\b{name}\b", code)] == [], "nobody reads it"
    lines = (ROOT / folder / ".env.example").read_text().splitlines()
    assert [line for before, line in pairwise(lines) if line[:1].isupper() and before[:1] != "#"] == []


@pytest.mark.parametrize("folder", [".", *STARTS])
def test_no_example_holds_a_secret(folder: str) -> None:
    for name, value in example(folder).items():
        if re.search("PASSWORD|SECRET|KEY", name):
            assert value in ("", "none")
        elif "@" in value and "://" in value:
            password = re.fullmatch(r"\w+://\w*:(.+)@.*", value)
            assert password and re.fullmatch(r"\$\{\w+_PASSWORD\}", password[1])


def test_every_password_is_asked_for_and_named_in_the_example() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert set(re.findall(r"\$\{([A-Z_]+)", text)) == set(example("."))
    asked_for = set(re.findall(r"\$\{([A-Z_]+):\?[^}]+\}", text))
    assert asked_for == {name for name, value in example(".").items() if not value}
    used = {
        name for folder in STARTS for value in example(folder).values() for name in re.findall(r"\$\{(\w+)\}", value)
    }
    operators = {password_variable("operator")}  # no program's
    assert used == {name for name in asked_for if name.endswith("_PASSWORD")} - operators


def test_mongodb_does_not_log_commands_with_their_values() -> None:
    assert "--slowOpSampleRate 0 " in SERVICES["mongo"]["command"][0]


def test_git_ignores_every_env_file() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text().split()


def test_the_addresses_in_the_examples_are_services_of_the_compose_file() -> None:
    urls = [value for folder in STARTS for value in example(folder).values() if "://" in value]
    hosts = {match[1] for url in urls if (match := re.search(r"(?:@|//)([\w-]+):\d+", url))}
    assert hosts == {"rabbitmq", "mongo", "redis", "redis-sessions", "mailpit"}
    assert hosts <= set(SERVICES)


def test_the_recipe_fills_the_secrets_once(tmp_path: Path) -> None:
    for path in ROOT.glob("**/.env.example"):
        if path.relative_to(ROOT).parts[0] in (*STARTS, ".env.example"):
            (tmp_path / path.relative_to(ROOT)).parent.mkdir(exist_ok=True)
            shutil.copy(path, tmp_path / path.relative_to(ROOT))
    header = (ROOT / "docker-compose.yml").read_text().split("\nname:")[0]
    (recipe,) = re.findall(r"(?ms)^#   \(umask.*?done\)$", header)
    recipe = re.sub(r"(?m)^#   ", "", recipe)

    def cook() -> dict[Path, str]:
        subprocess.run(["sh", "-c", recipe], cwd=tmp_path, check=True, timeout=30)
        return {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob(".env")}

    first = cook()
    assert set(first) == {Path(".env"), *(Path(folder, ".env") for folder in STARTS)}
    assert re.search(r"(?m)^JWT_SECRET_KEY=[0-9a-f]{64}$", first[Path("gateway/.env")])
    assert not any(re.search(r"(?m)=$", text) for text in first.values())
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.rglob(".env"))
    assert cook() == first


def test_every_program_logs_in_to_the_broker_as_itself() -> None:
    for folder in STARTS:
        user = "relay" if folder == "rabbitmq" else folder
        assert example(folder)["AMQP_URI"] == f"amqp://{user}:${{{password_variable(user)}}}@rabbitmq:5672/"
    operators = {"AMQP_URI": f"amqp://operator:${{{password_variable('operator')}}}@rabbitmq:5672/"}
    assert SERVICES["topology"]["environment"] == operators


def test_the_inventory_has_a_user_for_the_gateway() -> None:
    command = SERVICES["redis"]["command"]
    user = ["--user", "gateway", "on", ">${REDIS_GATEWAY_PASSWORD:?set it in .env}"]
    assert command == ["${REDIS_PASSWORD:?set it in .env}", *user, *GATEWAY_MAY]
    assert f"user gateway on ><password> {' '.join(GATEWAY_MAY)}\n" in (ROOT / "docs" / "operations.md").read_text()
    assert example("gateway")["GATEWAY_REDIS_URL"] == "redis://gateway:${REDIS_GATEWAY_PASSWORD}@redis:6379/0"


def test_the_broker_is_told_its_users_and_its_topology_at_each_start(tmp_path: Path) -> None:
    rabbitmq = SERVICES["rabbitmq"]
    assert rabbitmq["entrypoint"] == ["bash", "-c"] and rabbitmq["tmpfs"] == "/tmp"
    assert COMPOSE["configs"]["definitions"]["content"] == "load_definitions = /tmp/definitions\n"
    assert rabbitmq["configs"] == [{"source": "definitions", "target": "/etc/rabbitmq/conf.d/91-definitions.conf"}]
    assert "./rabbitmq/definitions.json:/etc/rabbitmq/definitions.json:ro" in rabbitmq["volumes"]
    assert rabbitmq["environment"].keys() == {password_variable(user) for user in USERS}

    (script,) = rabbitmq["command"]
    script = script.replace("$$", "$").replace("/tmp/definitions", f"{tmp_path}/definitions")
    script = script.replace("/etc/rabbitmq/definitions.json", str(ROOT / "rabbitmq" / "definitions.json"))
    (tmp_path / "docker-entrypoint.sh").write_text("#!/bin/sh\necho started: $@\n")
    (tmp_path / "docker-entrypoint.sh").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    environment |= {password_variable(user): f"password of {user}" for user in USERS}
    for _ in range(2):  # a restart finds what the start before has left
        ran = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=30)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "started: rabbitmq-server\n", "")

    told = tmp_path / "definitions" / "1-users.json"
    assert told.stat().st_mode & 0o777 == 0o400
    ours = {user["name"]: user["tags"] for user in definitions(environment)["users"]}
    theirs = json.loads(told.read_text())["users"]
    assert {user["name"]: user["tags"] for user in theirs} == ours
    assert all(user["password"] == f"password of {user['name']}" for user in theirs)
    rest = tmp_path / "definitions" / "2-topology.json"
    assert rest.read_text() == (ROOT / "rabbitmq" / "definitions.json").read_text()


def test_a_program_is_healthy_while_it_is_connected_to_the_broker() -> None:
    (check,) = {tuple(OURS[name]["healthcheck"]["test"]) for name in OURS if name not in ("gateway", "topology")}
    assert check[:3] == ("CMD", "python", "-c")

    def healthy(port: int) -> bool:
        environment = {"AMQP_URI": f"amqp://tickets:secret@127.0.0.1:{port}/"}
        return subprocess.run([sys.executable, "-c", check[3]], env=environment, timeout=30).returncode == 0

    with socket.create_server(("127.0.0.1", 0)) as broker:
        port = broker.getsockname()[1]
        assert not healthy(port)
        with socket.create_connection(("127.0.0.1", port)):
            assert healthy(port)


def test_the_brokers_settings_are_the_same_wherever_it_runs() -> None:
    lines = (ROOT / "rabbitmq" / "rabbitmq.conf").read_text().splitlines()
    settings = dict(line.split(" = ") for line in lines if line and not line.startswith("#"))
    assert settings
    assert [key for key in settings if re.search("listener|user|pass|dir|path|file|plugin|management", key)] == []

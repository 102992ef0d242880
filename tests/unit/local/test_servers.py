import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from booking_svc.contract import GATEWAY_MAY
from local import rabbitmq_home, secrets
from local.ports import chosen
from local.programs import Program, platform_programs
from local.servers import PORTS, PrivateServers
from local.settings import ADDRESSES, ROOT, Settings, StackFailed
from rabbitmq.names import PROGRAMS
from rabbitmq.users import USERS, password_variable


def private_servers(tmp_path: Path, **given: str) -> PrivateServers:
    settings = Settings.read({"PATH": "/usr/bin:/bin", "DATA_DIR": str(tmp_path), **given})
    with chosen([name for names in PORTS.values() for name in names], {}) as ports:
        return PrivateServers(settings, secrets.load(tmp_path / "secrets.env", {}), ports)


@pytest.fixture
def servers(tmp_path: Path, installed: None) -> PrivateServers:
    return private_servers(tmp_path)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has every server."""
    monkeypatch.setattr("local.servers.shutil.which", lambda name: f"/usr/bin/{Path(name).name}")


def by_name(programs: list[Program]) -> dict[str, Program]:
    return {program.name: program for program in programs}


def test_every_address_is_on_loopback(servers: PrivateServers) -> None:
    addresses = servers.addresses()
    assert set(addresses) == set(ADDRESSES)
    assert all("127.0.0.1:" in address for address in addresses.values())
    assert addresses["MONGO_URI"].endswith("/?replicaSet=rs0")


def test_epmd_starts_before_the_broker_that_needs_it(servers: PrivateServers) -> None:
    programs = by_name(servers.programs())
    assert programs["epmd"].priority < programs["rabbitmq"].priority
    assert programs["rabbitmq"].environment["ERL_EPMD_PORT"] == str(servers.ports["epmd"])
    assert programs["rabbitmq"].environment["ERL_FLAGS"] == "-start_epmd false"


def test_no_password_is_in_a_command_line(servers: PrivateServers) -> None:
    words = [word for program in servers.programs() for word in program.command]
    passwords = [servers.secrets[name] for name in secrets.LENGTHS]
    assert not [word for word in words for password in passwords if password in word]


def test_the_servers_stop_in_time(servers: PrivateServers) -> None:
    app = platform_programs({**servers.addresses(), **FACTS}, servers.amqp_uris(), {})
    slowest = max(program.stop_seconds for program in app) + max(program.stop_seconds for program in servers.programs())
    assert slowest <= 15


def test_redis_keeps_every_write_and_evicts_nothing(servers: PrivateServers, tmp_path: Path) -> None:
    servers.programs()
    lines = (tmp_path / "redis" / "redis.conf").read_text().splitlines()
    assert {"appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction", "bind 127.0.0.1"} <= set(lines)
    assert f"port {servers.ports['redis']}" in lines
    assert f"requirepass {servers.secrets['REDIS_PASSWORD']}" in lines


def test_the_gateway_has_a_user_of_its_own_in_the_inventory_and_in_no_other_redis(
    servers: PrivateServers, tmp_path: Path
) -> None:
    servers.programs()
    login = urlsplit(servers.gateway_redis_url())
    assert (login.username, login.port) == ("gateway", servers.ports["redis"])
    assert login.password not in (urlsplit(url).password for url in servers.addresses().values())
    lines = (tmp_path / "redis" / "redis.conf").read_text().splitlines()
    assert [line for line in lines if line.startswith("user ")] == [
        f"user gateway on >{login.password} {' '.join(GATEWAY_MAY)}"
    ]
    assert "user " not in (tmp_path / "redis-sessions" / "redis.conf").read_text()


def test_the_gateway_does_without_a_given_inventory_unless_it_is_told_a_way_in(tmp_path: Path) -> None:
    given = {"REDIS_URL": "redis://elsewhere"}
    assert private_servers(tmp_path, **given).gateway_redis_url() == ""
    own = {"GATEWAY_REDIS_URL": "redis://gateway:secret@elsewhere"}
    assert private_servers(tmp_path, **given, **own).gateway_redis_url() == own["GATEWAY_REDIS_URL"]


def test_the_broker_is_told_its_users_and_its_topology_at_each_start(servers: PrivateServers, tmp_path: Path) -> None:
    servers.programs()
    lines = (tmp_path / "rabbitmq" / "rabbitmq.conf").read_text().splitlines()
    assert f"listeners.tcp.default = 127.0.0.1:{servers.ports['rabbitmq']}" in lines
    assert f"load_definitions = {tmp_path}/rabbitmq/definitions" in lines
    told = sorted((tmp_path / "rabbitmq" / "definitions").iterdir())
    assert [file.stat().st_mode & 0o777 for file in told] == [0o600, 0o600]
    assert {user["name"] for user in json.loads(told[0].read_text())["users"]} == set(USERS)
    assert told[1].read_text() == (ROOT / "rabbitmq" / "definitions.json").read_text()


def test_no_file_for_the_broker_holds_a_password(servers: PrivateServers, tmp_path: Path) -> None:
    servers.programs()
    text = "".join(file.read_text() for file in (tmp_path / "rabbitmq").rglob("*") if file.is_file())
    assert [user for user in USERS if servers.secrets[password_variable(user)] in text] == []


def test_each_program_has_a_user_and_a_password_of_its_own(servers: PrivateServers) -> None:
    programs = platform_programs({**servers.addresses(), **FACTS}, servers.amqp_uris(), {})
    logins = {program.name: urlsplit(program.environment["AMQP_URI"]) for program in programs}
    assert {name: login.username for name, login in logins.items()} == {name: name for name in PROGRAMS}
    assert len({login.password for login in logins.values()} | {servers.secrets["RABBITMQ_PASSWORD"]}) == len(USERS)
    assert urlsplit(servers.addresses()["AMQP_URI"]).username == "operator"


def test_a_given_broker_is_everybodys_unless_a_program_has_an_address_of_its_own(tmp_path: Path) -> None:
    own = {"RELAY_AMQP_URI": "amqp://relay@elsewhere", "GATEWAY_AMQP_URI": ""}
    uris = private_servers(tmp_path, AMQP_URI="amqp://all@elsewhere", **own).amqp_uris()
    assert uris.pop("relay") == "amqp://relay@elsewhere"
    assert set(uris) == {*PROGRAMS} - {"relay"} and set(uris.values()) == {"amqp://all@elsewhere"}


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "programs"),
    [
        ("AMQP_URI", {"epmd", "rabbitmq"}),
        ("REDIS_URL", {"redis"}),
        ("SESSION_REDIS_URL", {"redis-sessions"}),
        ("MONGO_URI", {"mongod"}),
        ("SMTP_URL", {"smtp"}),
    ],
)
def test_a_given_server_replaces_the_private_one(tmp_path: Path, name: str, programs: set[str]) -> None:
    everything = set(by_name(private_servers(tmp_path).programs()))
    servers = private_servers(tmp_path, **{name: "given://elsewhere"})
    assert set(by_name(servers.programs())) == everything - programs
    assert servers.addresses()[name] == "given://elsewhere"
    assert name in servers.checks()


def test_mail_lands_in_a_folder_unless_a_mail_server_is_given(tmp_path: Path) -> None:
    assert private_servers(tmp_path).mail_dir == tmp_path / "mail"
    assert private_servers(tmp_path, SMTP_URL="smtp://mx.example.org").mail_dir is None


def test_a_missing_server_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.servers.shutil.which", lambda name: None)
    with pytest.raises(StackFailed, match="redis-server is not installed"):
        private_servers(tmp_path, AMQP_URI="amqp://elsewhere").programs()


FACTS = {
    "HOST": "127.0.0.1",
    "PORT": "3000",
    "GATEWAY_REDIS_URL": "redis://gateway@127.0.0.1",
    "JWT_SECRET_KEY": "signing key",
    "JWT_PREVIOUS_SECRET_KEY": "the key before",
    "TICKET_SIGNING_KEY": "tickets' key",
    "ADMIN_EMAIL": "admin@example.org",
    "ADMIN_PASSWORD": "admin's password",
}


def test_each_program_knows_only_the_secrets_it_needs(servers: PrivateServers) -> None:
    programs = by_name(platform_programs({**servers.addresses(), **FACTS}, servers.amqp_uris(), {"PATH": "/bin"}))
    assert programs["booking_svc"].copies == 2
    assert [name for name, program in programs.items() if "JWT_SECRET_KEY" in program.environment] == ["gateway"]
    assert [name for name, program in programs.items() if "TICKET_SIGNING_KEY" in program.environment] == ["mailer_svc"]
    assert [name for name, program in programs.items() if "ADMIN_PASSWORD" in program.environment] == ["auth_svc"]
    assert [name for name, program in programs.items() if "REDIS_URL" in program.environment] == ["booking_svc"]
    assert [name for name, program in programs.items() if "GATEWAY_REDIS_URL" in program.environment] == ["gateway"]
    assert all(program.environment["PATH"] == "/bin" for program in programs.values())


def test_the_brokers_home_has_all_but_the_plugins(tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    for folder in ("sbin", "escript", "plugins/rabbit-4.1", "plugins/ra-2.16", "plugins/rabbitmq_prelaunch-4.1"):
        (installed / folder).mkdir(parents=True)
    (installed / "plugins" / "rabbitmq_management-4.1").mkdir()
    launcher = installed / "sbin" / "rabbitmq-server"
    launcher.touch()
    for _ in range(2):  # made anew at each start
        environment = rabbitmq_home.make(tmp_path / "home", launcher)
    assert environment["RABBITMQ_SCRIPTS_DIR"] == str(tmp_path / "home" / "sbin")
    plugins = {folder.name for folder in (tmp_path / "home" / "plugins").iterdir()}
    assert plugins == {"rabbit-4.1", "ra-2.16", "rabbitmq_prelaunch-4.1"}
    assert (tmp_path / "home" / "sbin" / "rabbitmq-server").samefile(launcher)
    assert (installed / "plugins" / "rabbitmq_management-4.1").exists()


@pytest.mark.parametrize(
    ("plugin", "home"), [("rabbit.ez", "home"), ("rabbit-4.1", "my home"), ("rabbit-4.1", "$HOME")]
)
def test_a_broker_with_an_unfamiliar_home_starts_as_always(tmp_path: Path, plugin: str, home: str) -> None:
    (tmp_path / "installed" / "plugins" / plugin).mkdir(parents=True)
    assert rabbitmq_home.make(tmp_path / home, tmp_path / "installed" / "sbin" / "rabbitmq-server") == {}
    assert not (tmp_path / home).exists()

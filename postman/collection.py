"""Makes the collection of the OpenAPI document and the stories."""

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from postman.stories import ENDINGS, PASSWORD, STORIES, Step

Json = dict[str, Any]
SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
OTHERS = "8 Other requests"

#: Once for each run: names that nobody has yet, and a time to come.
BEFORE_ALL = """
if (!pm.collectionVariables.get("run")) {
  const run = `${Date.now()}-${Math.floor(Math.random() * 1e6)}`;
  pm.collectionVariables.set("run", run);
  for (const who of ["organiser", "buyer"]) pm.collectionVariables.set(`${who}_email`, `${who}-${run}@example.org`);
  pm.collectionVariables.set("next_month", new Date(Date.now() + 30 * 86400e3).toISOString());
}
"""
NEW_KEY = 'pm.collectionVariables.set("key", pm.variables.replaceIn("{{$guid}}"));'
AFTER_EACH = """
pm.test("has the request's id", () => pm.expect(pm.response.headers.get("X-Request-ID")).to.be.ok);
pm.test("is no fault", () => pm.expect(pm.response.code).to.be.below(500));
"""


def operations(document: Json) -> dict[str, tuple[str, str, Json]]:
    """Path, method and operation by operationId."""
    return {
        operation["operationId"]: (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }


def shape(path: str) -> str:
    """The path without the names in it: `/v1/holds/{}`."""
    return re.sub(r"{{?\w+}?}", "{}", path)


def build(document: Json) -> Json:
    """The collection."""
    known = operations(document)
    told = {step.operation for steps in (*STORIES.values(), *ENDINGS.values()) for step in steps}
    rest = [
        Step(name, operation["summary"], _who(operation))
        for name, (_, _, operation) in known.items()
        if name not in told
    ]
    folders = {**STORIES, **({OTHERS: rest} if rest else {}), **ENDINGS}
    variables = {"password": PASSWORD, "docs_file": "docs.js", **dict.fromkeys(_kept(), ""), "run": "", "key": ""}
    return {
        "info": {
            "name": "Concert tickets",
            "description": "Run it from the first folder to the last: later requests use what earlier ones made.",
            "schema": SCHEMA,
        },
        "variable": [{"key": key, "value": value} for key, value in variables.items()],
        "event": [_event("prerequest", BEFORE_ALL), _event("test", AFTER_EACH)],
        "item": [
            {"name": folder, "item": [_request(step, document, generic=folder == OTHERS) for step in steps]}
            for folder, steps in folders.items()
        ],
    }


def environment() -> Json:
    """Where the platform is, and who its admin is: the last is in DATA_DIR/runtime.env."""
    values = {"base_url": "http://localhost:3000", "admin_email": "admin@example.org", "admin_password": ""}
    return {
        "name": "Concert tickets here",
        "values": [{"key": key, "value": value, "enabled": True} for key, value in values.items()],
        "_postman_variable_scope": "environment",
    }


def _kept() -> list[str]:
    steps = [step for story in (*STORIES.values(), *ENDINGS.values()) for step in story]
    return sorted({name for step in steps for name in step.keep} | {"organiser_email", "buyer_email", "next_month"})


def _who(operation: Json) -> str | None:
    roles = operation.get("x-roles", [])
    needs = [name for scheme in operation.get("security", []) for name in scheme]
    return ("admin" if "admin" in roles else "organiser" if roles else "buyer") if needs else None


def _request(step: Step, document: Json, generic: bool) -> Json:
    path, method, operation = operations(document)[step.operation]
    names = {name: step.path.get(name, name) for name in re.findall(r"{(\w+)}", path)}
    where = re.sub(r"{(\w+)}", lambda name: f"{{{{{names[name[1]]}}}}}", path)
    query = [{"key": key, "value": value} for key, value in step.query.items()]
    raw = "{{base_url}}" + where + ("?" + "&".join(f"{q['key']}={q['value']}" for q in query) if query else "")
    headers = [{"key": key, "value": value} for key, value in step.headers.items()]
    needs_key = any(p.get("name") == "Idempotency-Key" and p.get("required") for p in operation["parameters"])
    key = step.key or ("new" if generic and needs_key else None)
    if key:
        headers.append({"key": "Idempotency-Key", "value": "{{key}}"})
    request: Json = {
        "method": method.upper(),
        "description": operation.get("description") or operation["summary"],
        "header": headers,
        "url": {"raw": raw, "host": ["{{base_url}}"], "path": where.strip("/").split("/"), "query": query},
        "auth": {"type": "noauth"},
    }
    if step.who:
        token = {"key": "token", "value": f"{{{{{step.who}_token}}}}", "type": "string"}
        request["auth"] = {"type": "bearer", "bearer": [token]}
    if "requestBody" in operation:
        example = operation["requestBody"]["content"]["application/json"]["example"]
        body = example if step.body is None else step.body
        text = body if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False)
        headers.append({"key": "Content-Type", "value": "application/json"})
        request["body"] = {"mode": "raw", "raw": text, "options": {"raw": {"language": "json"}}}
    events = [_event("test", "\n".join(_tests(step, document, operation, generic)))]
    if key == "new":
        events.insert(
            0, _event("prerequest", 'pm.collectionVariables.set("key", pm.variables.replaceIn("{{$guid}}"));')
        )
    return {
        "name": step.name,
        "event": events,
        "request": request,
        "response": list(_examples(operation, document, request)),
    }


def _tests(step: Step, document: Json, operation: Json, generic: bool) -> Iterator[str]:
    success = next(status for status in operation["responses"] if status.startswith("2"))
    status = str(step.status or success)
    if generic:
        documented = [int(status) for status in operation["responses"]]
        yield f'pm.test("is answered as documented", () => pm.expect({documented}).to.include(pm.response.code));'
        return
    if step.until:
        yield 'const tries = Number(pm.collectionVariables.get("tries") || 0);'
        yield f"const there = ((body) => {step.until})(pm.response.json());"
        yield 'pm.collectionVariables.set("tries", there ? 0 : tries + 1);'
        yield "if (!there && tries < 100) {"
        yield "  setTimeout(() => {}, 300); // the next request waits for it"
        yield f"  pm.execution.setNextRequest({json.dumps(step.name)});"
        yield "} else {"
    yield f'pm.test("is {status}", () => pm.response.to.have.status({status}));'
    answer = _resolved(document, operation["responses"][status])
    kinds = answer.get("content", {})
    if any(kind.endswith("json") for kind in kinds):
        yield "const body = pm.response.json();"
        required = _required(document, next(iter(kinds.values()))["schema"])
        if step.code is None and required:
            yield f'pm.test("has what is promised", () => pm.expect(body).to.include.all.keys({json.dumps(required)}));'
    if step.code:
        yield f'pm.test("says {step.code}", () => pm.expect(body.code).to.equal("{step.code}"));'
        yield 'pm.test("explains it", () => pm.expect(body.type).to.equal(`/errors#${body.code}`));'
    for what, expectation in step.tests.items():
        yield f"pm.test({json.dumps(what)}, () => pm.expect({expectation}).to.equal(true));"
    for name, place in step.keep.items():
        yield f"pm.collectionVariables.set({json.dumps(name)}, {place});"
    if step.until:
        yield "}"


def _examples(operation: Json, document: Json, request: Json) -> Iterator[Json]:
    """What comes when it succeeds, and what may stand in the way of it, where that is a matter of the state."""
    for status, reference in operation["responses"].items():
        answer = _resolved(document, reference)
        if not status.startswith("2") and status != "409":
            continue
        for kind, content in (answer.get("content") or {"": {}}).items():
            refusals = {code: example["value"] for code, example in content.get("examples", {}).items()}
            for code, value in list(refusals.items())[:2] or [("", content.get("example"))]:
                yield {
                    "name": code or f"{status} {answer['description']}",
                    "originalRequest": request,
                    "status": HTTPStatus(int(status)).phrase,
                    "code": int(status),
                    "header": [{"key": "Content-Type", "value": kind}] if kind else [],
                    "body": "" if value is None else json.dumps(value, indent=2, ensure_ascii=False),
                }


def _resolved(document: Json, part: Json) -> Json:
    name = part.get("$ref", "").rpartition("/")[2]
    return dict(document["components"]["responses"][name]) if name else part


def _required(document: Json, schema: Json) -> list[str]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return list((document["components"]["schemas"][name] if name else schema).get("required", []))


def _event(listen: str, script: str) -> Json:
    return {"listen": listen, "script": {"type": "text/javascript", "exec": script.strip().splitlines()}}

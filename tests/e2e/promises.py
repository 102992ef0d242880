"""Every answer that a test gets is one that the OpenAPI document promises: its status, headers, form and body."""

import functools
import json
import re
from typing import Any

import httpx
import jsonschema_rs


class Promises:
    """The OpenAPI document at *api_url*, held against what really comes."""

    def __init__(self, api_url: str) -> None:
        self._api_url = api_url
        self._validators: dict[str, Any] = {}

    @functools.cached_property
    def document(self) -> dict[str, Any]:
        return dict(httpx.get(f"{self._api_url}/openapi.json", timeout=30).json())

    @functools.cached_property
    def _paths(self) -> list[tuple[re.Pattern[str], str]]:
        # Longer ones with fewer names first: /v1/me/data is not /v1/me/{id}.
        paths = sorted(self.document["paths"], key=lambda path: (path.count("{"), -len(path)))
        return [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)) + "/?"), path) for path in paths]

    def check(self, answer: httpx.Response) -> None:
        """Fails when the document does not promise *answer*."""
        answer.read()
        method, path = answer.request.method.lower(), answer.request.url.path
        found = [described for pattern, described in self._paths if pattern.fullmatch(path)]
        status = str(answer.status_code)
        if method in ("head", "options") or not found or method not in self.document["paths"][found[0]]:
            assert answer.status_code < 500, f"{method} {path}: {answer.text}"
            return
        promised = self.document["paths"][found[0]][method]["responses"]
        where = f"{method.upper()} {found[0]} answered {status}"
        assert status in promised, f"{where}, which the document does not know: {answer.text[:500]}"
        self._check_answer(where, answer, self._resolved(promised[status]))

    def _check_answer(self, where: str, answer: httpx.Response, promised: dict[str, Any]) -> None:
        kinds = promised.get("content", {})
        if not kinds:
            assert not answer.content, f"{where} with a body"
            assert "Content-Type" not in answer.headers, f"{where} with a form of no body"
            return
        kind = answer.headers["Content-Type"].partition(";")[0]
        matching = kind if kind in kinds else "*/*"
        assert matching in kinds, f"{where} with {kind}, not {', '.join(kinds)}"
        if kind.endswith("json"):
            validator = self._validator(json.dumps(kinds[matching]["schema"]))
            wrong = [f"{list(e.instance_path)}: {e.message}" for e in validator.iter_errors(answer.json())]
            assert not wrong, (
                f"{where} with a body that is not as promised: {'; '.join(wrong[:5])}\n{answer.text[:500]}"
            )

    def _validator(self, schema: str) -> Any:
        if schema not in self._validators:
            whole = {**json.loads(schema), "components": self.document["components"]}
            self._validators[schema] = jsonschema_rs.Draft202012Validator(whole)
        return self._validators[schema]

    def _resolved(self, part: dict[str, Any]) -> dict[str, Any]:
        name = part.get("$ref", "").rpartition("/")[2]
        return dict(self.document["components"]["responses"][name]) if name else part

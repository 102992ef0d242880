"""Examples for the OpenAPI document: whole bodies, put together from the example that each field has."""

from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]

ID = "6f1c2a9e4b7d4e0f8a3b5c7d9e1f2a3b"
CURSOR = "WyIyMDI3LTAxLTIwVDE5OjAwOjAwWiIsICI2ZjFjMmE5ZTRiN2Q0ZTBmOGEzYjVjN2Q5ZTFmMmEzYiJd"
#: A word means the same wherever it is said; a field that is meant otherwise has an `example` in its metadata.
BY_NAME: dict[str, Any] = {
    **dict.fromkeys(("id", "user_id", "actor_id", "concert_id", "booking_id", "organiser_id"), ID),
    "access_token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl",
    "refresh_token": "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiI0MiJ9.c2lnbmF0dXJl",
    "expires_in": 900,
    "email": "ada@example.org",
    "password": "correct horse battery",
    "name": "Ada Lovelace",
    "roles": ["customer"],
    "title": "Night of the Organs",
    "description": "Two organs, one night.",
    "performers": ["Trio Ohne Namen"],
    "address": "Gendarmenmarkt 2",
    "max_tickets_per_user": 10,
    "status": "confirmed",
    "admission": "general",
    "capacity": 200,
    "available": 117,
    "quantity": 2,
    "number": 1,
    "ticket_type": "standing",
    "code": "standing",
    "seat": "B-3-12",
    "seats": ["B-3-12", "B-3-13"],
    "accessible_seats": ["B-3-1"],
    "blocked_seats": ["B-3-24"],
    "hold_id": "6f1c2a9e4b7d4e0f8a3b5c7d9e1f2a3b-1z141z4-7d9e1f2a",
    "state": "sent",
    "cursor": CURSOR,
    "next_cursor": CURSOR,
    "limit": 20,
    "device": "Mozilla/5.0 (X11; Linux x86_64)",
    "details": {"roles": ["customer", "organiser"]},
    "request_id": "9f86d081884c4d63a1b2c3d4e5f60718",
    "checks": {"rabbitmq": "ok", "sessions": "ok"},
}
#: For fields whose form says enough; others give an `example` of their own.
BY_FORMAT = {"date-time": "2027-01-20T19:00:00Z", "uri-reference": "/errors#sold_out", "email": "ada@example.org"}


def complete_examples(document: Document) -> None:
    """Give every JSON body in *document* an example; in schemas `example` becomes the newer `examples`."""
    schemas = document["components"]["schemas"]
    for _, content in bodies(document):
        if "example" not in content and "examples" not in content and content.get("schema"):
            content["example"] = example_of(content["schema"], schemas)
    for schema in list(_schemas_in(schemas)):
        if "example" in schema:
            schema["examples"] = [schema.pop("example")]


def bodies(document: Document) -> Iterator[tuple[str, Document]]:
    """Where it is, and the media type object of every body that goes in or out as JSON."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if isinstance(operation, dict) and "responses" in operation:
                parts = {"request": operation.get("requestBody", {}), **operation["responses"]}
                for part, described in parts.items():
                    for kind, content in described.get("content", {}).items():
                        if kind.endswith("json"):
                            yield f"{method.upper()} {path} {part}", content


def example_of(schema: Document, schemas: Document) -> Any:
    """A value of *schema*: its own example, or one put together from those of its parts."""
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "example" in schema:
        return schema["example"]
    if "enum" in schema:
        return schema["enum"][0]
    if "properties" in schema:
        return {name: _field(name, part, schemas) for name, part in schema["properties"].items()}
    if "items" in schema:
        return [example_of(schema["items"], schemas)]
    for alternative in schema.get("anyOf", []):
        return example_of(alternative, schemas)
    kinds = schema.get("type", "object")
    if "boolean" in kinds:
        return True
    if "object" in kinds:
        return {}
    return BY_FORMAT.get(schema.get("format", ""))


def _field(name: str, schema: Document, schemas: Document) -> Any:
    known = name in BY_NAME and not {"$ref", "example", "enum"} & schema.keys()
    return BY_NAME[name] if known else example_of(schema, schemas)


def without_example(document: Document) -> list[str]:
    """The fields, as `Schema.field`, that have no example and whose form does not say enough."""
    schemas = document["components"]["schemas"]
    return [
        f"{name}.{field}"
        for name, schema in schemas.items()
        if name != "Problem" and "examples" not in schema
        for field, part in schema.get("properties", {}).items()
        if _field(field, _old(part), schemas) in (None, [None])
    ]


def _old(schema: Document) -> Document:
    return {**schema, "example": schema["examples"][0]} if "examples" in schema else schema


def _schemas_in(schemas: Document) -> Iterator[Document]:
    for schema in schemas.values():
        yield schema
        yield from _schemas_in(schema.get("properties", {}))
        if "items" in schema:
            yield from _schemas_in({"items": schema["items"]})

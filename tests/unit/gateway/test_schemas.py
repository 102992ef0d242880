"""Whatever comes in, it is refused by field, or is clean: no route ever meets anything else."""

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError

from gateway import schemas
from gateway.examples import CURSOR
from rabbitmq import cursors
from rabbitmq.times import from_wire

CONCERT = {
    "title": "Night of the Organs",
    "description": "Two organs,\none night.",
    "performers": ["Ada Lovelace"],
    "venue": {
        "name": "Konzerthaus",
        "city": "Berlin",
        "country": "DE",
        "address": "Gendarmenmarkt 2",
        "timezone": "Europe/Berlin",
    },
    "starts_at": "2027-01-20T20:00:00+01:00",
    "doors_at": "2027-01-20T19:00:00+01:00",
    "sales_open_at": None,
    "max_tickets_per_user": 10,
    "ticket_types": [
        {"code": "standing", "name": "Standing", "price": {"amount": 4500, "currency": "EUR"}, "capacity": 200},
        {"code": "balcony", "name": "Balcony", "price": {"amount": 0, "currency": "EUR"}, "capacity": 1},
        {
            "code": "stalls",
            "name": "Stalls",
            "price": {"amount": 8000, "currency": "EUR"},
            "seating": [{"section": "B", "rows": ["1", "2"], "seats_per_row": 10}],
            "accessible_seats": ["B-2-1"],
            "blocked_seats": ["B-1-10"],
        },
    ],
}
VALID: dict[type[Schema], dict[str, Any]] = {
    schemas.Registration: {"email": "ada@example.org", "password": "correct horse battery", "name": "Ada"},
    schemas.Credentials: {"email": "ada@example.org", "password": "x"},
    schemas.ProfileChange: {"name": "Ada Lovelace"},
    schemas.Roles: {"roles": ["customer", "organiser"]},
    schemas.NewConcert: CONCERT,
    schemas.NewBooking: {"concert_id": "c1", "items": [{"ticket_type": "standing", "quantity": 2}]},
    schemas.NewHold: {
        "concert_id": "c1",
        "items": [{"ticket_type": "standing", "quantity": 2}, {"ticket_type": "stalls", "seats": ["B-1-1", "B-1-2"]}],
    },
    schemas.PageArguments: {"limit": "20", "cursor": CURSOR},
}
each_body = pytest.mark.parametrize("schema", VALID, ids=lambda s: s.__name__)

# Lone surrogates too: JSON can write them ("\\ud800"), UTF-8 can't.
text = st.text(st.characters(), max_size=40)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)

Path = tuple[Any, ...]


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of everything in a JSON value, itself first."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def put(value: Any, path: Path, other: Any) -> Any:
    """*value* with *other* at *path*."""
    if not path:
        return other
    changed = copy.deepcopy(value)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = other
    return changed


def refused(schema: type[Schema], body: Any) -> dict[Any, Any]:
    """The messages by field that *body* is refused with."""
    with pytest.raises(ValidationError) as refusal:
        schema().load(body)
    assert isinstance(refusal.value.messages, dict)
    return refusal.value.messages


def assert_clean(value: Any) -> None:
    """It can be sent to a service, stored and mailed."""
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def load_or_refuse(schema: type[Schema], body: Any) -> None:
    try:
        loaded = schema().load(body)
    except ValidationError:
        return
    assert_clean(loaded)


@each_body
def test_good_body_is_taken(schema: type[Schema]) -> None:
    assert_clean(schema().load(VALID[schema]))


@each_body
@given(body=anything)
def test_any_json_is_taken_clean_or_refused(schema: type[Schema], body: Any) -> None:
    load_or_refuse(schema, body)


@each_body
@given(data=st.data())
def test_good_body_with_anything_in_one_place_is_taken_clean_or_refused(schema: type[Schema], data: Any) -> None:
    path = data.draw(st.sampled_from(list(places(VALID[schema]))))
    load_or_refuse(schema, put(VALID[schema], path, data.draw(anything)))


@each_body
def test_unknown_field_is_refused_by_name(schema: type[Schema]) -> None:
    assert refused(schema, {**VALID[schema], "colour": "red"}) == {"colour": ["Unknown field."]}


def test_unknown_field_deep_inside_is_refused_by_name() -> None:
    body = put(CONCERT, ("ticket_types", 1, "price", "tax"), 19)
    assert refused(schemas.NewConcert, body) == {"ticket_types": {1: {"price": {"tax": ["Unknown field."]}}}}


NUMBERS = [
    (schemas.NewConcert, ("max_tickets_per_user",)),
    (schemas.NewConcert, ("ticket_types", 0, "capacity")),
    (schemas.NewConcert, ("ticket_types", 0, "price", "amount")),
    (schemas.NewConcert, ("ticket_types", 2, "seating", 0, "seats_per_row")),
    (schemas.NewBooking, ("items", 0, "quantity")),
    (schemas.NewHold, ("items", 0, "quantity")),
]


@pytest.mark.parametrize(("schema", "path"), NUMBERS, ids=lambda value: str(value[-1]) if type(value) is tuple else "")
@pytest.mark.parametrize("value", [True, False, "2", 2.0, 2.5, float("nan"), float("inf"), None, -1, 10**30, [2], {}])
def test_number_is_a_whole_number_in_range_and_nothing_like_it(schema: type[Schema], path: Path, value: Any) -> None:
    assert path[0] in refused(schema, put(VALID[schema], path, value))


TIMES = [("starts_at",), ("doors_at",), ("sales_open_at",)]


@pytest.mark.parametrize("path", TIMES)
@pytest.mark.parametrize(
    "value",
    [
        "1999-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2027-01-20T19:00:00",
        "2027-01-20",
        "2027-02-30T19:00:00Z",
        "2027-01-20T19:00:00+25:00",
        "tomorrow",
        "",
        1_800_000_000,
        True,
        ["2027-01-20T19:00:00Z"],
    ],
)
def test_time_is_a_moment_of_this_age_and_nothing_like_it(path: Path, value: Any) -> None:
    assert path[0] in refused(schemas.NewConcert, put(CONCERT, path, value))


ZONES = [timezone(timedelta(minutes=minutes)) for minutes in (-12 * 60, -210, 0, 60, 345, 14 * 60)]


def test_time_goes_on_in_utc() -> None:
    assert schemas.NewConcert().load(CONCERT)["starts_at"] == "2027-01-20T19:00:00Z"


@given(st.datetimes(datetime(2000, 1, 2), datetime(2199, 12, 30), timezones=st.sampled_from(ZONES)))
def test_time_keeps_its_moment_whatever_its_zone(moment: datetime) -> None:
    loaded = schemas.NewConcert().load({**CONCERT, "starts_at": moment.isoformat(), "doors_at": None})
    assert abs((from_wire(loaded["starts_at"]) - moment.astimezone(UTC)).total_seconds()) < 0.001


ONE_LINE = [
    (schemas.Registration, ("name",)),
    (schemas.Registration, ("email",)),
    (schemas.ProfileChange, ("name",)),
    (schemas.NewConcert, ("title",)),
    (schemas.NewConcert, ("performers", 0)),
    (schemas.NewConcert, ("venue", "name")),
    (schemas.NewConcert, ("venue", "city")),
    (schemas.NewConcert, ("venue", "country")),
    (schemas.NewConcert, ("venue", "address")),
    (schemas.NewConcert, ("venue", "timezone")),
    (schemas.NewConcert, ("ticket_types", 0, "code")),
    (schemas.NewConcert, ("ticket_types", 0, "name")),
    (schemas.NewConcert, ("ticket_types", 0, "price", "currency")),
    (schemas.NewConcert, ("ticket_types", 2, "seating", 0, "section")),
    (schemas.NewConcert, ("ticket_types", 2, "seating", 0, "rows", 0)),
    (schemas.NewConcert, ("ticket_types", 2, "blocked_seats", 0)),
]
#: What is text too, but may hold what a keyboard can't write.
OTHER_TEXT = [
    (schemas.Registration, ("password",)),
    (schemas.Credentials, ("email",)),
    (schemas.Credentials, ("password",)),
    (schemas.NewConcert, ("description",)),
    (schemas.NewBooking, ("concert_id",)),
    (schemas.NewBooking, ("items", 0, "ticket_type")),
    (schemas.NewHold, ("concert_id",)),
    (schemas.NewHold, ("items", 1, "seats", 0)),
    (schemas.PageArguments, ("cursor",)),
]


def name_of(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else ".".join(map(str, value)) if type(value) is tuple else ""


@pytest.mark.parametrize(("schema", "path"), ONE_LINE, ids=name_of)
@pytest.mark.parametrize("bad", ["\r\n", "\n", "\x00", "\x1b", "\x7f", "\t"], ids=ascii)
def test_control_character_is_refused(schema: type[Schema], path: Path, bad: str) -> None:
    for value in (f"Ada{bad}Bcc: all@example.org", f"Ada{bad}", f'"{bad}"@example.org', f"ada@example.org{bad}"):
        assert path[0] in refused(schema, put(VALID[schema], path, value))


@pytest.mark.parametrize(("schema", "path"), [*ONE_LINE, *OTHER_TEXT], ids=name_of)
@pytest.mark.parametrize("bad", ["\ud800", "\udfff"], ids=ascii)
def test_lone_surrogate_is_refused(schema: type[Schema], path: Path, bad: str) -> None:
    for value in (f"correct horse {bad} battery", f"ada@{bad}.org", f"{bad}@example.org"):
        assert path[0] in refused(schema, put(VALID[schema], path, value))


NAMES = [
    *((schema, ("name",)) for schema in (schemas.Registration, schemas.ProfileChange)),
    (schemas.NewConcert, ("title",)),
    (schemas.NewConcert, ("description",)),
    (schemas.NewConcert, ("performers", 0)),
    (schemas.NewConcert, ("venue", "name")),
    (schemas.NewConcert, ("venue", "city")),
    (schemas.NewConcert, ("ticket_types", 0, "name")),
]


@pytest.mark.parametrize(("schema", "path"), NAMES, ids=name_of)
@pytest.mark.parametrize("blank", ["", " ", "   ", "\u00a0\u3000", "\u200b\ufeff"], ids=ascii)
def test_blank_text_is_refused(schema: type[Schema], path: Path, blank: str) -> None:
    assert path[0] in refused(schema, put(VALID[schema], path, blank))


@pytest.mark.parametrize(("schema", "path"), NAMES, ids=name_of)
def test_text_goes_on_without_the_spaces_around_it(schema: type[Schema], path: Path) -> None:
    loaded = schema().load(put(VALID[schema], path, "  Ada  Lovelace\u00a0"))
    for key in path:
        loaded = loaded[key]
    assert loaded == "Ada  Lovelace"


@pytest.mark.parametrize(
    "country", ["DE", "CH", "GB", "XK", "UK", "ZZ", "EU", "de", "D", "DEU", "Germany", " DE", None]
)
def test_country_is_a_code_of_iso_3166(country: Any) -> None:
    body = put(CONCERT, ("venue", "country"), country)
    if country in ("DE", "CH", "GB"):
        assert schemas.NewConcert().load(body)["venue"]["country"] == country
    else:
        assert refused(schemas.NewConcert, body)["venue"].keys() == {"country"}


def test_description_may_have_lines() -> None:
    assert schemas.NewConcert().load(CONCERT)["description"] == "Two organs,\none night."


@pytest.mark.parametrize("password", ["short", "x" * 11, "x" * 1025, ""])
def test_password_has_12_to_1024_characters(password: str) -> None:
    assert "password" in refused(schemas.Registration, {**VALID[schemas.Registration], "password": password})


@pytest.mark.parametrize("password", ["x" * 12, "пароль с пробелами 🎻", "tab\tand\x00nul are fine"])
def test_password_may_hold_any_character(password: str) -> None:
    body = {**VALID[schemas.Registration], "password": password}
    assert schemas.Registration().load(body)["password"] == password


@pytest.mark.parametrize("email", ["ada@shop.example", "ada+tickets@example.org", "ADA@EXAMPLE.ORG", "ada@localhost"])
def test_address_is_checked_for_its_form_only(email: str) -> None:
    assert schemas.Registration().load({**VALID[schemas.Registration], "email": email})["email"] == email


@pytest.mark.parametrize("email", ["ädä@example.org", "ada@müller.de", '"ada"@example.org', '"a b"@example.org'])
def test_address_is_one_that_every_mail_server_understands(email: str) -> None:
    assert "email" in refused(schemas.Registration, {**VALID[schemas.Registration], "email": email})


@pytest.mark.parametrize(
    "email", ["ada", "@example.org", "ada@", "ada@example", "a b@example.org", "", "a@b@", None, 7]
)
def test_what_is_no_address_is_refused(email: Any) -> None:
    assert "email" in refused(schemas.Registration, {**VALID[schemas.Registration], "email": email})


@pytest.mark.parametrize("roles", [[], ["king"], ["admin", "admin"], "admin", [["admin"]], None])
def test_roles_are_some_of_the_roles_there_are_each_once(roles: Any) -> None:
    assert "roles" in refused(schemas.Roles, {"roles": roles})


@pytest.mark.parametrize("limit", ["0", "101", "-1", "ten", "1e2", ""])
def test_page_has_1_to_100_items(limit: str) -> None:
    assert "limit" in refused(schemas.PageArguments, {"limit": limit})


@pytest.mark.parametrize("cursor", ["", "garbage", "e30=", "WzFd", "bm90IGpzb24=", CURSOR[:-4]])
@pytest.mark.parametrize("schema", [schemas.PageArguments, schemas.SearchArguments, schemas.AuditArguments])
def test_cursor_that_no_page_has_given_is_refused(schema: type[Schema], cursor: str) -> None:
    assert refused(schema, {"cursor": cursor}).keys() == {"cursor"}


@pytest.mark.parametrize("cursor", ["garbage", "WyJ4IiwgMSwgMl0="])
def test_cursor_of_another_order_is_refused(cursor: str) -> None:
    by_relevance = cursors.write_by_relevance(1.5, from_wire("2027-01-20T19:00:00Z"), "c1")
    assert schemas.SearchArguments().load({"q": "organs", "cursor": by_relevance})["cursor"] == by_relevance
    assert schemas.SearchArguments().load({"q": "organs", "sort": "date", "cursor": CURSOR})["cursor"] == CURSOR
    for query in ({"q": "organs"}, {"q": "organs", "sort": "relevance"}):
        for other in (CURSOR, cursor):
            assert refused(schemas.SearchArguments, {**query, "cursor": other}).keys() == {"cursor"}
    assert refused(schemas.SearchArguments, {"cursor": by_relevance}).keys() == {"cursor"}


@given(cursor=text)
def test_any_cursor_is_read_or_refused(cursor: str) -> None:
    load_or_refuse(schemas.PageArguments, {"cursor": cursor})
    load_or_refuse(schemas.SearchArguments, {"q": "organs", "cursor": cursor})


def test_page_has_20_items_from_the_beginning_unless_asked_otherwise() -> None:
    assert schemas.PageArguments().load({}) == {"limit": 20, "cursor": None}


def test_ticket_types_have_codes_of_their_own() -> None:
    body = put(CONCERT, ("ticket_types", 1, "code"), "standing")
    assert "ticket_types" in refused(schemas.NewConcert, body)


def test_prices_are_in_one_currency() -> None:
    body = put(CONCERT, ("ticket_types", 1, "price", "currency"), "USD")
    assert "ticket_types" in refused(schemas.NewConcert, body)


@pytest.mark.parametrize("earlier", ["doors_at", "sales_open_at"])
def test_nothing_opens_after_the_start(earlier: str) -> None:
    assert refused(schemas.NewConcert, {**CONCERT, earlier: "2027-01-20T20:00:01+01:00"}).keys() == {earlier}


STALLS = ("ticket_types", 2)


def test_ticket_type_has_either_a_capacity_or_seating() -> None:
    for body in (
        put(CONCERT, (*STALLS, "capacity"), 20),
        put(CONCERT, ("ticket_types", 0), {k: v for k, v in CONCERT["ticket_types"][0].items() if k != "capacity"}),
    ):
        assert "capacity" in next(iter(refused(schemas.NewConcert, body)["ticket_types"].values()))


@pytest.mark.parametrize("kind", ["accessible_seats", "blocked_seats"])
@pytest.mark.parametrize("seats", [["B-1-11"], ["C-1-1"], ["B-1-01"], ["B-1-1", "B-1-1"], "B-1-1", [7], [""]])
def test_seats_of_a_kind_are_in_the_plan_each_once(kind: str, seats: Any) -> None:
    assert kind in refused(schemas.NewConcert, put(CONCERT, (*STALLS, kind), seats))["ticket_types"][2]


def test_general_admission_has_no_seats_of_a_kind() -> None:
    body = put(CONCERT, ("ticket_types", 0, "blocked_seats"), ["B-1-1"])
    assert "blocked_seats" in refused(schemas.NewConcert, body)["ticket_types"][0]


def test_some_seats_are_left_to_sell() -> None:
    every = [f"B-{row}-{number}" for row in "12" for number in range(1, 11)]
    body = put(CONCERT, (*STALLS, "blocked_seats"), every)
    assert "blocked_seats" in refused(schemas.NewConcert, body)["ticket_types"][2]


@pytest.mark.parametrize("name", ["", "B-1", "B 1", "ß", "x" * 13, "B/1", '"'])
@pytest.mark.parametrize("place", [("section",), ("rows", 0)])
def test_places_are_named_by_letters_and_digits(name: str, place: Path) -> None:
    body = put(CONCERT, (*STALLS, "seating", 0, *place), name)
    assert "seating" in refused(schemas.NewConcert, body)["ticket_types"][2]


def test_rows_are_named_once() -> None:
    body = put(CONCERT, (*STALLS, "seating"), CONCERT["ticket_types"][2]["seating"] * 2)
    assert "seating" in refused(schemas.NewConcert, body)["ticket_types"][2]
    body = put(CONCERT, (*STALLS, "seating", 0, "rows"), ["1", "1"])
    assert "seating" in refused(schemas.NewConcert, body)["ticket_types"][2]


def test_row_is_of_one_ticket_type() -> None:
    twin = {**CONCERT["ticket_types"][2], "code": "twin"}
    body = {**CONCERT, "ticket_types": [*CONCERT["ticket_types"], twin]}
    assert "ticket_types" in refused(schemas.NewConcert, body)
    apart = {**twin, "seating": [{**twin["seating"][0], "section": "C"}], "accessible_seats": [], "blocked_seats": []}
    schemas.NewConcert().load({**CONCERT, "ticket_types": [*CONCERT["ticket_types"], apart]})


def test_concert_has_at_most_50000_seats() -> None:
    def seating(section: str, rows: int) -> list[dict[str, Any]]:
        return [{"section": section, "rows": [str(row) for row in range(1, rows + 1)], "seats_per_row": 50}]

    bare = {**CONCERT["ticket_types"][2], "accessible_seats": [], "blocked_seats": []}
    schemas.NewConcert().load({**CONCERT, "ticket_types": [{**bare, "seating": seating("B", 1000)}]})
    assert "ticket_types" in refused(
        schemas.NewConcert, {**CONCERT, "ticket_types": [{**bare, "seating": [*seating("B", 1000), *seating("C", 1)]}]}
    )
    two = [{**bare, "seating": seating("B", 600)}, {**bare, "code": "lodge", "seating": seating("L", 600)}]
    assert "ticket_types" in refused(schemas.NewConcert, {**CONCERT, "ticket_types": two})


def test_concert_has_at_most_2500_rows() -> None:
    bare = {**CONCERT["ticket_types"][2], "accessible_seats": [], "blocked_seats": []}

    def with_rows(*numbers: int) -> dict[str, Any]:
        blocks = [
            {"section": f"S{i}", "rows": [str(row) for row in range(rows)], "seats_per_row": 2}
            for i, rows in enumerate(numbers)
        ]
        return {**CONCERT, "ticket_types": [{**bare, "seating": blocks}]}

    schemas.NewConcert().load(with_rows(1000, 1000, 500))
    assert "ticket_types" in refused(schemas.NewConcert, with_rows(1000, 1000, 501))


@pytest.mark.parametrize("schema", [schemas.NewHold, schemas.NewBooking])
@pytest.mark.parametrize(
    "item",
    [
        {"ticket_type": "stalls"},
        {"ticket_type": "stalls", "quantity": 1, "seats": ["B-1-1"]},
        {"ticket_type": "stalls", "seats": []},
        {"ticket_type": "stalls", "seats": ["B-1-1", "B-1-1"]},
        {"ticket_type": "stalls", "seats": ["x"] * 101},
        {"ticket_type": "stalls", "seats": "B-1-1"},
        {"quantity": 1},
    ],
    ids=str,
)
def test_item_has_either_a_quantity_or_seats_each_once(schema: type[Schema], item: dict[str, Any]) -> None:
    assert "items" in refused(schema, {"concert_id": "c1", "items": [item]})


def test_seat_is_named_once_in_a_request() -> None:
    item = {"ticket_type": "stalls", "seats": ["B-1-1"]}
    assert "items" in refused(schemas.NewHold, {"concert_id": "c1", "items": [item, item]})


@pytest.mark.parametrize("schema", [schemas.NewHold, schemas.NewBooking])
def test_at_most_100_tickets_are_asked_for_at_once(schema: type[Schema]) -> None:
    most = [
        {"ticket_type": "standing", "quantity": 60},
        {"ticket_type": "stalls", "seats": [f"B-1-{n}" for n in range(40)]},
    ]
    schema().load({"concert_id": "c1", "items": most})
    assert "items" in refused(schema, {"concert_id": "c1", "items": [*most, {"ticket_type": "lawn", "quantity": 1}]})


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"concert_id", "items"}),
        ({"concert_id": "c1"}, {"items"}),
        ({"items": [{"ticket_type": "standing", "quantity": 1}]}, {"concert_id"}),
        ({"hold_id": "h1", "concert_id": "c1"}, {"hold_id"}),
        ({"hold_id": ""}, {"hold_id"}),
        ({"hold_id": "x" * 129}, {"hold_id"}),
        ({"hold_id": "\ud800"}, {"hold_id"}),
        ({"hold_id": {"$gt": ""}}, {"hold_id"}),
    ],
    ids=lambda given: str(sorted(given) if isinstance(given, set) else given),
)
def test_booking_is_of_a_hold_or_of_items(body: dict[str, Any], fields: set[str]) -> None:
    assert refused(schemas.NewBooking, body).keys() >= fields
    assert schemas.NewBooking().load({"hold_id": "h1"}) == {"hold_id": "h1"}

"""What a person may see."""

import json

from hypothesis import given
from hypothesis import strategies as st

from rabbitmq.redaction import HIDDEN, one_line, redacted
from rabbitmq.tables import table

SECRET = "s3cr3t-that-opens-something"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def test_tokens_codes_and_passwords_are_hidden_and_the_rest_is_not() -> None:
    event = {"data": {"user_id": "u1", "token": SECRET, "tickets": [{"number": 1, "code": SECRET}], "Password": SECRET}}
    assert redacted(event) == {
        "data": {"user_id": "u1", "token": HIDDEN, "tickets": [{"number": 1, "code": HIDDEN}], "Password": HIDDEN}
    }


@given(VALUES, st.sampled_from(["token", "code", "reset_token", "ticketCode", "PASSWORD", "client_secret"]))
def test_no_secret_shows_however_deep_it_lies(value: object, field: str) -> None:
    hidden = redacted({"a": [value, {field: [SECRET]}], field: {"b": SECRET}})
    assert SECRET not in json.dumps(hidden)


@given(VALUES)
def test_what_holds_no_secret_is_shown_as_it_is(value: object) -> None:
    if HIDDEN not in json.dumps(redacted(value)):
        assert redacted(value) == value


@given(st.text())
def test_nothing_in_a_cell_moves_the_cursor(text: str) -> None:
    assert one_line(text).isprintable() and len(one_line(text)) <= 120


def test_columns_stand_below_each_other_and_numbers_to_the_right() -> None:
    assert table(("WHAT", "N"), [("a\nlonger one", 5), ("b", 1000)]).splitlines() == [
        "WHAT             N",
        "a�longer one     5",
        "b             1000",
    ]


def test_table_without_rows_is_its_heads() -> None:
    assert table(("WHAT", "N"), []) == "WHAT  N"

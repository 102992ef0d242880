"""Whether a request is all here is told from its first bytes, however they come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.arrivals import LARGEST_HEAD, Kind, TooLarge, arrived, origin, wants_to_be_asked
from gateway.config import LARGEST_BODY


def request(path: str = "/v1/bookings", body: bytes = b"", version: str = "1.1", **headers: str) -> bytes:
    fields = {"Host": "x", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body:
        fields["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/{version}\r\n{head}\r\n".encode() + body


@given(body=st.binary(max_size=60), following=st.binary(max_size=60))
def test_request_is_here_with_its_last_byte_and_not_before(body: bytes, following: bytes) -> None:
    whole = request(body=body)
    found = arrived(whole + following)
    assert found is not None and found.size == len(whole)
    assert not any(arrived(whole[:length]) for length in range(len(whole)))


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Length": str(LARGEST_BODY + 1)},
        {"Content_Length": "9" * 30},
        {"Content_Length": "five"},
        {"Transfer_Encoding": "chunked"},
        {"Transfer_Encoding": "chunked", "Content_Length": "5"},
    ],
    ids=str,
)
def test_what_is_refused_without_its_body_is_not_waited_for(headers: dict[str, str]) -> None:
    found = arrived(request(**headers))
    assert found is not None and found.size == len(request(**headers))


def test_largest_body_is_waited_for() -> None:
    whole = request(body=b"x" * LARGEST_BODY)
    assert arrived(whole[:-1]) is None
    assert arrived(whole)


def test_head_without_an_end_is_given_up() -> None:
    assert arrived(b"x" * LARGEST_HEAD) is None
    with pytest.raises(TooLarge):
        arrived(b"x" * (LARGEST_HEAD + 1))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/health/live", Kind.OPERATIONS),
        ("/metrics", Kind.OPERATIONS),
        ("/v1/auth/login", Kind.ACCOUNTS),
        ("/v1/bookings", Kind.REST),
        ("/", Kind.REST),
    ],
)
def test_what_it_is_about_says_its_path(path: str, kind: Kind) -> None:
    found = arrived(request(path))
    assert found is not None and found.kind is kind


@pytest.mark.parametrize("nonsense", [b"\r\n\r\n", b"x\r\n\r\n", b" \r\n\r\n", b"\x16\x03\x01 \xff\r\n\r\n"])
def test_nonsense_is_for_the_parser_to_refuse(nonsense: bytes) -> None:
    found = arrived(nonsense)
    assert found is not None and found.kind is Kind.REST


def test_connection_lasts_unless_the_client_says_otherwise() -> None:
    def lasts(whole: bytes) -> bool:
        found = arrived(whole)
        assert found is not None
        return found.lasts

    assert lasts(request())
    assert not lasts(request(Connection="Close"))
    assert not lasts(request(version="1.0"))


def test_request_id_is_taken_unless_it_could_do_harm() -> None:
    def named(name: str) -> str | None:
        found = arrived(request(X_Request_ID=name))
        assert found is not None
        return found.request_id

    assert named("checkout-4711") == "checkout-4711"
    assert named('"<script>') is None


def test_client_that_waits_for_a_word_is_known_by_its_head() -> None:
    whole = request(body=b"12345", Expect="100-Continue")
    assert wants_to_be_asked(whole[:-5])
    assert not wants_to_be_asked(whole[:20])
    assert not wants_to_be_asked(request(body=b"\r\nExpect: 100-continue\r\n"))


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({}, None),
        ({"Origin": "https://shop.example.org"}, "https://shop.example.org"),
        ({"oRIGIN": " http://localhost:8080 "}, "http://localhost:8080"),
        ({"Origin": "two words"}, None),
        ({"X_Origin": "https://shop.example.org"}, None),
    ],
    ids=str,
)
def test_site_that_asks_is_read_in_the_head_alone(headers: dict[str, str], named: str | None) -> None:
    assert origin(request(body=b"\r\nOrigin: https://evil.example\r\n\r\n", **headers)) == named

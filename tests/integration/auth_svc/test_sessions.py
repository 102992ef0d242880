"""Sessions in a real Redis."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from auth_svc import sessions as sessions_
from auth_svc.contract import LoginTooOld, Origin, Session, SessionEnded, SessionNotFound, session_key, sessions_key
from auth_svc.sessions import LIFETIME, LIFETIME_IN_ALL, RECENT, Sessions, TokenReused

MONTH = int(LIFETIME.total_seconds())
PHONE = Origin(address="192.0.2.1", device="phone/1")
THIEF = Origin(address="192.0.2.66", device="phone/1")


def begin(sessions: Sessions, user_id: str, origin: Origin = PHONE, version: int = 1) -> Session:
    return sessions.begin(user_id, ["customer"], version, origin)


def test_session_says_whose_it_is_and_what_they_may_do(sessions: Sessions, session_redis: Redis, user_id: str) -> None:
    session = sessions.begin(user_id, ["customer", "organiser"], 3, PHONE)
    kept = session_redis.hgetall(session_key(session["id"]))
    assert (kept["user_id"], kept["roles"], kept["device"]) == (user_id, "customer organiser", "phone/1")
    assert (kept["refresh_id"], kept["credentials_version"]) == (session["refresh_id"], "3")
    assert MONTH - 5 <= session_redis.ttl(session_key(session["id"])) <= MONTH


def test_ids_are_long_and_never_the_same(sessions: Sessions, user_id: str) -> None:
    begun = [begin(sessions, user_id) for _ in range(20)]
    ids = [id_ for session in begun for id_ in (session["id"], session["refresh_id"])]
    assert len(set(ids)) == 40
    assert all(len(id_) >= 32 for id_ in ids)


def test_refresh_id_is_exchanged_for_its_successor(sessions: Sessions, user_id: str) -> None:
    first = begin(sessions, user_id)
    rotated = sessions.rotate(first["id"], first["refresh_id"], PHONE)
    assert (rotated.user_id, rotated.session["id"], rotated.credentials_version) == (user_id, first["id"], 1)
    assert rotated.session["refresh_id"] != first["refresh_id"]
    assert sessions.rotate(first["id"], rotated.session["refresh_id"], THIEF).user_id == user_id


def test_same_client_gets_the_same_successor_again(sessions: Sessions, user_id: str) -> None:
    first = begin(sessions, user_id)
    answers = [sessions.rotate(first["id"], first["refresh_id"], PHONE) for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("other", [THIEF, Origin(address=PHONE["address"], device="phone/2")], ids=str)
def test_refresh_id_used_by_another_client_ends_the_session(
    sessions: Sessions, session_redis: Redis, user_id: str, other: Origin
) -> None:
    first = begin(sessions, user_id)
    second = sessions.rotate(first["id"], first["refresh_id"], PHONE).session
    with pytest.raises(TokenReused, match=user_id):
        sessions.rotate(first["id"], first["refresh_id"], other)
    assert not session_redis.exists(session_key(first["id"]))
    assert sessions.of(user_id) == []
    with pytest.raises(SessionEnded):
        sessions.rotate(second["id"], second["refresh_id"], PHONE)


def test_same_client_ends_the_session_when_the_time_for_lost_answers_is_over(
    sessions: Sessions, session_redis: Redis, user_id: str
) -> None:
    first = begin(sessions, user_id)
    sessions.rotate(first["id"], first["refresh_id"], PHONE)
    session_redis.hincrby(session_key(first["id"]), "rotated_at", -sessions_.GRACE - 1)  # so long ago
    with pytest.raises(TokenReused):
        sessions.rotate(first["id"], first["refresh_id"], PHONE)


def test_refresh_id_before_the_last_ends_the_session_at_once(sessions: Sessions, user_id: str) -> None:
    first = begin(sessions, user_id)
    second = sessions.rotate(first["id"], first["refresh_id"], PHONE).session
    sessions.rotate(first["id"], second["refresh_id"], PHONE)
    with pytest.raises(TokenReused):
        sessions.rotate(first["id"], first["refresh_id"], PHONE)


def test_many_refreshes_at_the_same_moment_have_one_successor(sessions: Sessions, user_id: str) -> None:
    session = begin(sessions, user_id)
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(lambda _: sessions.rotate(session["id"], session["refresh_id"], PHONE).session, range(50))
        )
    assert len({answer["refresh_id"] for answer in answers}) == 1
    assert sessions.rotate(session["id"], answers[0]["refresh_id"], PHONE).user_id == user_id


def test_of_many_clients_at_the_same_moment_one_is_first_and_the_session_ends(sessions: Sessions, user_id: str) -> None:
    assert refreshed_by_many(sessions, user_id) == 1
    assert sessions.of(user_id) == []


def refreshed_by_many(sessions: Sessions, user_id: str) -> int:
    """How many of sixteen clients with the same token got a new one."""
    session = begin(sessions, user_id)

    def refresh(number: int) -> bool:
        try:
            sessions.rotate(session["id"], session["refresh_id"], Origin(address="192.0.2.7", device=str(number)))
        except (SessionEnded, TokenReused):
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        return sum(threads.map(refresh, range(16)))


def test_refreshed_in_several_steps_a_token_would_be_good_for_several_clients(
    sessions: Sessions, session_redis: Redis, user_id: str
) -> None:
    """The negative control of the test before: the script's work, done by a program."""

    def rotate(keys: Sequence[str], args: Sequence[str]) -> list[str]:
        presented, successor = args[:2]
        user, version, current = session_redis.hmget(keys[0], "user_id", "credentials_version", "refresh_id")
        if user is None:
            return ["ended"]
        if presented != current:
            sessions.end_all(user)
            return ["reused", user]
        session_redis.hset(keys[0], "refresh_id", successor)
        return ["good", user, version, successor, str(int(time.time()))]

    sessions._rotate = rotate  # type: ignore[assignment]
    assert any(refreshed_by_many(sessions, user_id) > 1 for _ in range(50))


@pytest.mark.parametrize(("session_id", "refresh_id"), [("nobody", "nothing"), ("", ""), ("x" * 1000, "y" * 1000)])
def test_unknown_session_has_ended(sessions: Sessions, session_id: str, refresh_id: str) -> None:
    with pytest.raises(SessionEnded):
        sessions.rotate(session_id, refresh_id, PHONE)


def test_session_ends_after_a_year_however_often_it_is_refreshed(
    sessions: Sessions, session_redis: Redis, user_id: str
) -> None:
    session = begin(sessions, user_id)
    session_redis.hincrby(session_key(session["id"]), "born", -int(LIFETIME_IN_ALL.total_seconds()) - 1)
    with pytest.raises(SessionEnded):
        sessions.rotate(session["id"], session["refresh_id"], PHONE)
    assert not session_redis.exists(session_key(session["id"]))


def test_end_ends_one_session_and_no_other(sessions: Sessions, session_redis: Redis, user_id: str) -> None:
    ended, kept = begin(sessions, user_id), begin(sessions, user_id)
    sessions.end(user_id, ended["id"])
    with pytest.raises(SessionNotFound):
        sessions.end(user_id, ended["id"])
    assert not session_redis.exists(session_key(ended["id"]))
    assert [session["id"] for session in sessions.of(user_id)] == [kept["id"]]


def test_nobody_ends_somebody_elses_session(sessions: Sessions, user_id: str) -> None:
    session = begin(sessions, user_id)
    with pytest.raises(SessionNotFound):
        sessions.end("somebody_else", session["id"])
    assert sessions.of(user_id)


def test_end_all_ends_every_session_of_the_user_and_of_nobody_else(
    sessions: Sessions, session_redis: Redis, user_id: str
) -> None:
    theirs = [begin(sessions, user_id) for _ in range(3)]
    other = begin(sessions, f"{user_id}_other")
    sessions.end_all(user_id)
    assert not session_redis.exists(*(session_key(session["id"]) for session in theirs))
    assert session_redis.exists(session_key(other["id"]))
    sessions.end_all(f"{user_id}_other")


def test_end_all_of_a_user_without_sessions_changes_nothing(sessions: Sessions, user_id: str) -> None:
    sessions.end_all(user_id)
    sessions.end_older(user_id, 7)


def test_change_of_credentials_ends_what_was_begun_before_it_and_not_after(sessions: Sessions, user_id: str) -> None:
    for version in (1, 2):
        begin(sessions, user_id, version=version)
    kept = begin(sessions, user_id, version=3)
    for _ in range(2):
        sessions.end_older(user_id, 3)
        assert [session["id"] for session in sessions.of(user_id)] == [kept["id"]]
    sessions.end_older(user_id, 2)  # told late
    assert len(sessions.of(user_id)) == 1


def test_login_is_recent_for_a_quarter_of_an_hour_however_often_it_is_refreshed(
    sessions: Sessions, session_redis: Redis, user_id: str
) -> None:
    session = begin(sessions, user_id)
    sessions.require_recent_login(user_id, session["id"])
    session_redis.hincrby(session_key(session["id"]), "born", 5 - int(RECENT.total_seconds()))
    sessions.require_recent_login(user_id, session["id"])
    session_redis.hincrby(session_key(session["id"]), "born", -65)
    sessions.rotate(session["id"], session["refresh_id"], PHONE)
    with pytest.raises(LoginTooOld):
        sessions.require_recent_login(user_id, session["id"])


def test_login_of_another_counts_for_nobody(sessions: Sessions, user_id: str) -> None:
    session = begin(sessions, user_id)
    for session_id in (session["id"], "no-such-session"):
        with pytest.raises(SessionNotFound):
            sessions.require_recent_login("somebody-else", session_id)


def test_end_all_finds_a_session_however_long_it_has_been_refreshed(
    sessions: Sessions, session_redis: Redis, user_id: str
) -> None:
    """A session that is refreshed every month lives on; the list of the user's sessions must live as long."""
    session = begin(sessions, user_id)
    for key in (session_key(session["id"]), sessions_key(user_id)):
        session_redis.expire(key, 60)  # a month has passed, almost
    sessions.rotate(session["id"], session["refresh_id"], PHONE)
    assert session_redis.ttl(sessions_key(user_id)) >= session_redis.ttl(session_key(session["id"])) - 1


def test_user_sees_devices_and_when_they_were_last_there(
    sessions: Sessions, session_redis: Redis, user_id: str
) -> None:
    phone = begin(sessions, user_id)
    laptop = begin(sessions, user_id, Origin(address="192.0.2.9", device="laptop"))
    session_redis.zincrby(sessions_key(user_id), 60, phone["id"])
    shown = sessions.of(user_id)
    assert [(one["id"], one["device"], one["address"]) for one in shown] == [
        (phone["id"], "phone/1", "192.0.2.1"),
        (laptop["id"], "laptop", "192.0.2.9"),
    ]
    assert shown[0]["last_seen_at"] > shown[0]["created_at"]


def test_expired_session_is_not_shown(sessions: Sessions, session_redis: Redis, user_id: str) -> None:
    session = begin(sessions, user_id)
    session_redis.delete(session_key(session["id"]))
    assert sessions.of(user_id) == []

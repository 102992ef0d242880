"""Sessions in a real Redis."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from auth_svc.contract import SessionEnded, session_key
from auth_svc.sessions import LIFETIME, Sessions

MONTH = int(LIFETIME.total_seconds())


def test_session_says_whose_it_is_and_what_they_may_do(sessions: Sessions, session_redis: Redis, user_id: str) -> None:
    session = sessions.begin(user_id, ["customer", "organiser"], "curl/8")
    kept = session_redis.hgetall(session_key(session["id"]))
    assert (kept["user_id"], kept["roles"], kept["device"]) == (user_id, "customer organiser", "curl/8")
    assert kept["refresh_id"] == session["refresh_id"]
    assert MONTH - 5 <= session_redis.ttl(session_key(session["id"])) <= MONTH


def test_ids_are_long_and_never_the_same(sessions: Sessions, user_id: str) -> None:
    ids = [id_ for _ in range(20) for id_ in sessions.begin(user_id, ["customer"], "curl").values()]
    assert len(set(ids)) == 40
    assert all(len(str(id_)) >= 32 for id_ in ids)


def test_refresh_id_is_exchanged_for_its_successor(sessions: Sessions, user_id: str) -> None:
    first = sessions.begin(user_id, ["customer"], "curl")
    owner, second = sessions.rotate(first["id"], first["refresh_id"])
    assert (owner, second["id"]) == (user_id, first["id"])
    assert second["refresh_id"] != first["refresh_id"]
    assert sessions.rotate(second["id"], second["refresh_id"])[0] == user_id


def test_refresh_id_used_twice_ends_the_session(sessions: Sessions, session_redis: Redis, user_id: str) -> None:
    first = sessions.begin(user_id, ["customer"], "curl")
    _, second = sessions.rotate(first["id"], first["refresh_id"])
    with pytest.raises(SessionEnded):
        sessions.rotate(first["id"], first["refresh_id"])
    assert not session_redis.exists(session_key(first["id"]))
    with pytest.raises(SessionEnded):
        sessions.rotate(second["id"], second["refresh_id"])


def test_refresh_id_is_good_for_one_of_many_at_the_same_moment(sessions: Sessions, user_id: str) -> None:
    session = sessions.begin(user_id, ["customer"], "curl")

    def refresh(_: int) -> bool:
        try:
            sessions.rotate(session["id"], session["refresh_id"])
        except SessionEnded:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(refresh, range(16))) == 1


@pytest.mark.parametrize(("session_id", "refresh_id"), [("nobody", "nothing"), ("", ""), ("x" * 1000, "y" * 1000)])
def test_unknown_session_has_ended(sessions: Sessions, session_id: str, refresh_id: str) -> None:
    with pytest.raises(SessionEnded):
        sessions.rotate(session_id, refresh_id)


def test_wrong_refresh_id_of_a_real_session_ends_it(sessions: Sessions, session_redis: Redis, user_id: str) -> None:
    session = sessions.begin(user_id, ["customer"], "curl")
    with pytest.raises(SessionEnded):
        sessions.rotate(session["id"], "guessed")
    assert not session_redis.exists(session_key(session["id"]))


def test_end_ends_one_session_and_no_other(sessions: Sessions, session_redis: Redis, user_id: str) -> None:
    ended, kept = (sessions.begin(user_id, ["customer"], device) for device in ("phone", "laptop"))
    sessions.end(ended["id"])
    sessions.end(ended["id"])
    assert not session_redis.exists(session_key(ended["id"]))
    assert session_redis.exists(session_key(kept["id"]))


def test_end_all_ends_every_session_of_the_user_and_of_nobody_else(
    sessions: Sessions, session_redis: Redis, user_id: str
) -> None:
    theirs = [sessions.begin(user_id, ["customer"], "curl") for _ in range(3)]
    other = sessions.begin(f"{user_id}_other", ["customer"], "curl")
    sessions.end_all(user_id)
    assert not session_redis.exists(*(session_key(session["id"]) for session in theirs))
    assert session_redis.exists(session_key(other["id"]))
    sessions.end_all(f"{user_id}_other")


def test_end_all_of_a_user_without_sessions_changes_nothing(sessions: Sessions, user_id: str) -> None:
    sessions.end_all(user_id)


def test_end_all_finds_a_session_however_long_it_has_been_refreshed(
    sessions: Sessions, session_redis: Redis, user_id: str
) -> None:
    """A session that is refreshed every month lives on; the list of the user's sessions must live as long."""
    session = sessions.begin(user_id, ["admin"], "curl")
    for key in session_redis.scan_iter(match=f"*{user_id}*"):
        session_redis.expire(key, 60)  # a month has passed, almost
    sessions.rotate(session["id"], session["refresh_id"])
    for key in session_redis.scan_iter(match=f"*{user_id}*"):
        assert session_redis.ttl(key) >= session_redis.ttl(session_key(session["id"])) - 1

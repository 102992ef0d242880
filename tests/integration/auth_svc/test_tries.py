"""Tries at passwords are counted in a real Redis before they are looked at."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from redis import Redis

from auth_svc import tries as tries_
from auth_svc.contract import BadCredentials, TooManyTries
from auth_svc.tries import FREE_ADDRESS, FREE_HERE, FROM_HOME, FROM_STRANGERS, MAILS, Tries, _account
from rabbitmq.errors import Unavailable


@pytest.fixture
def email() -> str:
    return f"{uuid4().hex}@example.org"


def fail(tries: Tries, email: str, address: str) -> bool:
    """A wrong password; whether it was looked at."""
    try:
        with tries.counted(email, address):
            raise BadCredentials
    except BadCredentials:
        return True
    except TooManyTries:
        return False


def succeed(tries: Tries, email: str, address: str) -> None:
    with tries.counted(email, address):
        pass


def past(redis: Redis, email: str, address: str, seconds: float) -> None:
    """The last try at the account from *address*, and the last from there at all, were so long ago."""
    account, network = tries_._account(email), tries_._network(address)
    for key in (f"tries:{account}:{network}", f"tries:{network}"):
        redis.hincrby(key, "last", -int(seconds * 1000))


def wait(tries: Tries, email: str, address: str) -> int:
    with pytest.raises(TooManyTries) as refused, tries.counted(email, address):
        raise AssertionError("it was looked at")
    return int(refused.value.args[0])


def test_first_tries_are_free_and_then_each_waits_longer(
    tries: Tries, session_redis: Redis, email: str, address: str
) -> None:
    assert all(fail(tries, email, address) for _ in range(FREE_HERE))
    waits = []
    for _ in range(12):
        waits.append(wait(tries, email, address))
        past(session_redis, email, address, 1000)
        assert fail(tries, email, address)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


def test_a_thousand_wrong_passwords_at_once_are_not_a_hundred_looks(tries: Tries, email: str, address: str) -> None:
    with ThreadPoolExecutor(16) as threads:
        looked_at = sum(threads.map(lambda _: fail(tries, email, address), range(1000)))
    assert FREE_HERE <= looked_at <= FREE_HERE + 2


def test_an_account_is_tried_a_hundred_times_an_hour_at_most_from_wherever(tries: Tries, email: str) -> None:
    homes = [f"192.0.2.{number}" for number in range(20)]
    for home in homes:
        tries.welcome(email, home)
    strangers = [f"198.51.100.{number}" for number in range(200)]
    looked_at = [fail(tries, email, address) for address in [*homes, *strangers] for _ in range(10)]
    assert sum(looked_at) == FROM_HOME + FROM_STRANGERS == 100


def test_guesses_from_elsewhere_do_not_keep_the_user_out(
    tries: Tries, session_redis: Redis, email: str, address: str
) -> None:
    attackers = [f"198.51.100.{number}" for number in range(5)]
    for attacker in attackers:
        assert sum(fail(tries, email, attacker) for _ in range(200)) == FREE_HERE
    succeed(tries, email, address)  # though it was never seen before


def test_user_at_home_gets_in_while_a_thousand_addresses_guess(tries: Tries, email: str, address: str) -> None:
    succeed(tries, email, address)
    for number in range(100):
        fail(tries, email, f"203.0.113.{number}")
    assert not fail(tries, email, "203.0.113.200"), "strangers are not looked at any more"
    succeed(tries, email, address)


def test_success_starts_anew_and_only_here(tries: Tries, email: str, address: str) -> None:
    for _ in range(FREE_HERE - 1):
        fail(tries, email, address)
    succeed(tries, email, address)
    assert all(fail(tries, email, address) for _ in range(FREE_HERE))
    assert not fail(tries, email, address)


def test_guesses_at_many_accounts_from_one_address_are_delayed(session_redis: Redis, address: str) -> None:
    looked_at = [fail(Tries(session_redis), f"{number}@{uuid4().hex}", address) for number in range(FREE_ADDRESS + 20)]
    assert sum(looked_at) == FREE_ADDRESS
    uncounted = Tries(session_redis, by_address=False)
    assert fail(uncounted, f"{uuid4().hex}@example.org", address)


def test_who_is_at_home_is_not_delayed_by_the_neighbours(session_redis: Redis, email: str, address: str) -> None:
    tries = Tries(session_redis)
    succeed(tries, email, address)
    for number in range(FREE_ADDRESS + 1):
        fail(tries, f"{number}@{uuid4().hex}", address)
    succeed(tries, email, address)


def test_homes_are_forgotten_and_nothing_of_others(
    tries: Tries, session_redis: Redis, email: str, address: str
) -> None:
    other = f"other-{email}"
    for one in (email, other):
        succeed(tries, one, address)
    tries.forget_homes(email.upper())
    assert [len(session_redis.keys(f"home:{_account(one)}")) for one in (email, other)] == [0, 1]


def test_networks_of_ipv6_count_as_one_address(tries: Tries, email: str) -> None:
    prefix = f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}"
    assert sum(fail(tries, email, f"{prefix}::{number:x}") for number in range(50)) == FREE_HERE


@pytest.mark.parametrize(("address", "network"), [
    ("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::/64"),
    ("unix:", "unknown"), ("", "unknown"),
])  # fmt: skip
def test_an_address_is_its_network(address: str, network: str) -> None:
    assert tries_._network(address) == network


def test_what_was_not_looked_at_does_not_count(tries: Tries, email: str, address: str) -> None:
    for _ in range(FREE_HERE * 3):
        with pytest.raises(Unavailable), tries.counted(email, address):
            raise Unavailable("auth_svc")
    assert fail(tries, email, address)


def test_first_refusal_since_a_try_says_so(tries: Tries, session_redis: Redis, email: str, address: str) -> None:
    for _ in range(FREE_HERE):
        fail(tries, email, address)
    firsts = []
    for _ in range(3):
        with pytest.raises(TooManyTries) as refused, tries.counted(email, address):
            pass
        firsts.append(refused.value.args[1])
    assert firsts == [True, False, False]


def test_spellings_of_an_address_are_one_account(tries: Tries, email: str, address: str) -> None:
    spellings = [email, email.upper(), f" {email}"]
    assert sum(fail(tries, spellings[number % 3], address) for number in range(60)) == FREE_HERE


def test_mails_are_counted_for_each_kind_and_account(tries: Tries, email: str) -> None:
    assert [tries.may_mail("reset", email) for _ in range(MAILS + 2)] == [True] * MAILS + [False] * 2
    assert tries.may_mail("verification", email)
    assert tries.may_mail("reset", f"other-{email}")

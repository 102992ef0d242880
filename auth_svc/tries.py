"""
Tries at passwords, in Redis: each wrong one makes the next one wait longer. Redis gone, nobody gets in.

What is counted by itself: the tries at an account from one address, all tries from an address, and the tries of the
last hour at an account, apart for addresses where it is at home (it has logged in there) and for all others. So
guesses from elsewhere, however many, do not keep the right user out.
"""

import hashlib
import ipaddress
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis

from auth_svc.contract import BadCredentials, TooManyTries
from auth_svc.emails import normalise

#: Tries without a delay: at an account from one address, and from one address in all. Then 1, 2, 4, ... seconds.
FREE_HERE, FREE_ADDRESS = 10, 100
#: The longest delays, in milliseconds.
LONGEST_HERE, LONGEST_ADDRESS = 900_000, 60_000
#: Tries an hour at an account: from addresses it has not been at home at, and from those it has. 100 in all.
FROM_STRANGERS, FROM_HOME = 60, 40
#: Addresses that an account is at home at, and for how many seconds after the last login there.
HOMES, HOME_LIFE = 20, 90 * 86_400
#: Mails with a token that an account gets in an hour.
MAILS, HOUR = 5, 3600


class Tries:
    """The keys `tries:...`, `home:<account>` and `mails:<kind>:<account>`; *by_address* counts addresses, too."""

    def __init__(self, redis: Redis, by_address: bool = True) -> None:
        self._redis = redis
        self._free_address = FREE_ADDRESS if by_address else 1_000_000_000
        self._admit = redis.register_script((Path(__file__).parent / "lua" / "admit_try.lua").read_text())

    @contextmanager
    def counted(self, email: str, address: str) -> Iterator[None]:
        """
        A block that looks at a password and raises BadCredentials if it is wrong.

        Counted before it begins, so that many at once are not more than one after the other; taken back if it ends
        otherwise. If it ends well, the account is at home at this address.

        Raises:
            TooManyTries: the block is not carried out. Its arguments: seconds to wait; whether this is the first
                refusal since the last try.
        """
        account, network, mark = _account(email), _network(address), secrets.token_hex(8)
        here, everywhere = f"tries:{account}:{network}", f"tries:{network}"
        strangers, home = f"tries:{account}:strangers", f"tries:{account}:home"
        wait, first = self._admit(
            keys=[here, everywhere, strangers, home, f"home:{account}"],
            args=[network, mark, FREE_HERE, self._free_address, FROM_STRANGERS, FROM_HOME, LONGEST_HERE,
                  LONGEST_ADDRESS],
        )  # fmt: skip
        if wait:
            raise TooManyTries(int(wait), bool(first))
        try:
            yield
        except BadCredentials:
            raise
        except Exception:
            self._take_back(here, everywhere, strangers, home, mark)
            raise
        self._take_back(None, everywhere, strangers, home, mark)
        self.welcome(email, address)

    def welcome(self, email: str, address: str) -> None:
        """The account is at home at *address*: its user has shown who they are."""
        account, network = _account(email), _network(address)
        with self._redis.pipeline(transaction=True) as together:
            together.delete(f"tries:{account}:{network}")
            together.zadd(f"home:{account}", {network: int(time.time())})
            together.zremrangebyrank(f"home:{account}", 0, -HOMES - 1)
            together.expire(f"home:{account}", HOME_LIFE)
            together.execute()

    def forget_homes(self, email: str) -> None:
        """Where the account is at home is forgotten."""
        self._redis.delete(f"home:{_account(email)}")

    def may_mail(self, kind: str, email: str) -> bool:
        """Whether the account may get another mail of *kind* in this hour; then it is counted."""
        key = f"mails:{kind}:{_account(email)}"
        with self._redis.pipeline(transaction=True) as together:
            together.incr(key)
            together.expire(key, HOUR, nx=True)
            return int(together.execute()[0]) <= MAILS

    def _take_back(self, here: str | None, everywhere: str, strangers: str, home: str, mark: str) -> None:
        with self._redis.pipeline(transaction=True) as together:
            for key in filter(None, (here, everywhere)):
                together.hincrby(key, "tries", -1)
                together.expire(key, HOUR)
            together.zrem(strangers, mark)
            together.zrem(home, mark)
            together.execute()


def _account(email: str) -> str:
    return hashlib.sha256(normalise(email).encode()).hexdigest()[:32]


def _network(address: str) -> str:
    """The address; of IPv6 the network of 64 bits that one customer has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)

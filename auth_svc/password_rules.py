"""Which passwords are refused: those that somebody who guesses tries first (ASVS 5.0, 6.2)."""

import functools
import re
import unicodedata
from pathlib import Path

LIST = Path(__file__).parent / "common_passwords.txt"
#: A part of an address that is shorter than this may be in a password by chance.
SHORTEST_NAME = 4
#: What repeats so few characters is no password, whatever they are.
SHORTEST_PART = 4
#: What people add to a common password to satisfy a rule.
TRIMMINGS = re.compile(r"[\W\d_]{1,4}\Z")


def normalise(password: str) -> str:
    """The form in which a password is hashed: the same characters whichever keyboard composed them (NFC)."""
    return unicodedata.normalize("NFC", password)


def weakness(password: str, email: str) -> str | None:
    """
    Why *password* is refused to the user at *email*: "common" or "contains_address"; None if it is not.

    Common is what is in the list, whatever its case, also repeated, or with up to four digits or signs at its end; and
    what repeats a few characters.
    """
    folded = normalise(password).casefold()
    address = email.casefold()
    name = address.partition("@")[0]
    if address in folded or (len(name) >= SHORTEST_NAME and name in folded):
        return "contains_address"
    return "common" if _is_common(folded) or _is_common(TRIMMINGS.sub("", folded)) else None


def _is_common(password: str) -> bool:
    part = _repeated_part(password)
    return {part, password} & common_passwords() != set() or len(part) <= SHORTEST_PART


def _repeated_part(password: str) -> str:
    """What *password* is repetitions of; itself, if of nothing shorter."""
    return password[: (password + password).find(password, 1)]


@functools.cache
def common_passwords() -> frozenset[str]:
    """The bundled list."""
    lines = LIST.read_text(encoding="ascii").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))

"""What a person may see of an event: all of it but the secrets."""

import re
from typing import Any

#: Fields that open something: tokens of a password reset, codes of tickets.
SECRET = re.compile(r"(token|code|password|secret|key)$", re.IGNORECASE)
HIDDEN = "(hidden)"


def redacted(value: Any) -> Any:
    """*value*, as it was read from JSON, with every secret in it replaced, however deep it lies."""
    if isinstance(value, dict):
        return {name: HIDDEN if SECRET.search(str(name)) else redacted(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [redacted(inner) for inner in value]
    return value


def one_line(text: Any, longest: int = 120) -> str:
    """*text* for a cell of a table or a line of a log: nothing in it moves the cursor, and it ends somewhere."""
    shown = "".join(char if char.isprintable() else "�" for char in str(text))
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"

"""Lists of any length, sent while they are read: page after page of a service, a fault half-way through waited out."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from gateway.services import renew_patience
from rabbitmq.errors import Unavailable

#: Entries asked for at once, and how often and how long a fault half-way through is waited out.
AT_ONCE, ATTEMPTS, PAUSE = 200, 5, 1.0

#: `items`, and `next_cursor`: where the next page begins, or None.
Page = dict[str, Any]


def pages(page_at: Callable[[str | None], Page]) -> Iterator[Page]:
    """
    All pages. The first is read at once: a fault then is still an answer of its own.

    Raises:
        Unavailable: a fault that lasts. Half-way through it breaks the answer off, so that nobody takes half a list
            for the whole.
    """
    return _from(page_at(None), page_at)


def _from(page: Page, page_at: Callable[[str | None], Page]) -> Iterator[Page]:
    yield page
    while page["next_cursor"] is not None:
        page = _insist(page_at, page["next_cursor"])
        yield page


def _insist(page_at: Callable[[str | None], Page], cursor: str) -> Page:
    """The answer has begun, and may last: each attempt has the time of a request."""
    for _ in range(ATTEMPTS - 1):
        renew_patience()
        try:
            return page_at(cursor)
        except Unavailable:
            time.sleep(PAUSE)
    renew_patience()
    return page_at(cursor)

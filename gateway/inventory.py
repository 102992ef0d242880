"""
The inventory, as far as the gateway may look into it: whether a hold is refused for certain, without an RPC.

Certain is what booking_svc would answer in the same moment. It is asked itself about all else.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from redis.exceptions import RedisError

from booking_svc.contract import REFUSE_HOLD, ConcertCancelled, NotOnSaleYet, Refusal, SalesClosed, SoldOut
from gateway import metrics
from rabbitmq import redis_server

log = logging.getLogger(__name__)

REFUSALS: dict[str, type[Refusal]] = {
    "concert_cancelled": ConcertCancelled,
    "not_on_sale_yet": NotOnSaleYet,
    "sales_closed": SalesClosed,
    "sold_out": SoldOut,
}
#: Seconds that Redis has for its answer; until one that did not answer is asked again.
PATIENCE, AWAY = 0.2, 1.0
#: Concerts and ticket types that were refused; with more, the gateway begins anew.
REMEMBERED = 10_000


class Inventory:
    """What Redis says of holds; without its address, nothing."""

    def __init__(self, url: str | None) -> None:
        self._redis = redis_server.connect(url, decode_responses=True, patience=PATIENCE) if url else None
        self._away_until = 0.0
        #: What was refused the last time. A look costs something, and anywhere else it would be in vain.
        self._refused: set[tuple[str, str]] = set()

    @contextmanager
    def spares(self, concert_id: str, items: Sequence[dict[str, Any]]) -> Iterator[None]:
        """
        Around the call of booking_svc for a hold that no earlier request can have made.

        Raises:
            ConcertCancelled, NotOnSaleYet, SalesClosed, SoldOut: the call would be refused with it.
        """
        asked = (concert_id, items[0]["ticket_type"])
        quantity = items[0].get("quantity") if len(items) == 1 else None  # what seats there are booking_svc knows
        if quantity is not None and asked in self._refused:
            self._check(asked, quantity)
        try:
            yield
        except tuple(REFUSALS.values()):
            if quantity is not None:
                self._remember(asked)
            raise

    def _remember(self, asked: tuple[str, str]) -> None:
        if len(self._refused) >= REMEMBERED:
            self._refused.clear()
        self._refused.add(asked)

    def _check(self, asked: tuple[str, str], quantity: int) -> None:
        word, *arguments = self._answer(asked, quantity)
        if word in REFUSALS:
            metrics.refused_early.labels(word).inc()
            raise REFUSALS[word](*arguments)
        self._refused.discard(asked)

    def _answer(self, asked: tuple[str, str], quantity: int) -> list[str]:
        if self._redis is None or time.monotonic() < self._away_until:
            return ["unknown"]
        concert_id, ticket_type = asked
        try:
            return list(self._redis.fcall_ro(REFUSE_HOLD, 1, f"{{{concert_id}}}", ticket_type, quantity))
        except RedisError as error:
            self._away_until = time.monotonic() + AWAY
            log.warning("booking_svc is asked for each hold: %s", error)
            return ["unknown"]

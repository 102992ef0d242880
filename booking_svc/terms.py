"""
Sales terms in MongoDB: by what a concert's tickets are sold, set by concert_svc, newest version in force.

While newer ones that take something away are only proposed, nothing is sold that they do not have.
"""

from typing import cast

from pymongo import ReturnDocument
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from booking_svc.contract import ConcertNotFound, SalesTerms
from booking_svc.cuts import capped
from booking_svc.domain import Version
from booking_svc.offer import Offer
from rabbitmq.database import Document, prepare
from rabbitmq.times import from_wire

#: Concerts whose terms a process remembers, some 4 KB each, and rows of seats in all of them, 250 bytes each.
REMEMBERED, ROWS = 5_000, 200_000


class Terms:
    """
    The collection `terms`, a document per concert: `_id` is the concert's, `version` and `terms` beside it.

    `versions` has a line for each that was set; `proposed` are terms that are not decided yet.
    """

    def __init__(self, database: Database[Document]) -> None:
        self._terms = prepare(database, "terms", [])
        self._known: dict[str, Offer] = {}
        self._rows = 0

    def set(self, terms: SalesTerms) -> Offer:
        """Store *terms* unless newer ones are there. Returns what is in force."""
        for _ in range(2):
            try:
                stored = self._terms.find_one_and_update(
                    {"_id": terms["concert_id"], "version": {"$lte": terms["version"]}},
                    [{"$set": _set(terms)}, {"$unset": "proposed"}],
                    upsert=True,
                    return_document=ReturnDocument.AFTER,
                )
            except DuplicateKeyError:  # it met newer terms; or, the first time, any that were stored in this moment
                continue
            return self._remember(cast(Document, stored))
        return self.newest(terms["concert_id"])

    def propose(self, terms: SalesTerms) -> None:
        """From now on nothing is offered that *terms* do not have, as soon as the concert is counted."""
        older = {"_id": terms["concert_id"], "version": {"$lt": terms["version"]}}
        self._terms.update_one(older, {"$set": {"proposed": terms}})

    def withdraw(self, terms: SalesTerms) -> None:
        """What was proposed is refused."""
        same = {"_id": terms["concert_id"], "proposed.version": terms["version"]}
        self._terms.update_one(same, {"$unset": {"proposed": 1}})

    def in_force(self, concert_id: str) -> tuple[SalesTerms, list[Version]] | None:
        """The newest terms as they were set, and all versions there were; None when nothing was ever sold for it."""
        stored = self._terms.find_one({"_id": concert_id})
        return None if stored is None else (cast(SalesTerms, stored["terms"]), versions(stored))

    def newest(self, concert_id: str) -> Offer:
        """
        Raises:
            ConcertNotFound: nothing was ever sold for it.
        """
        stored = self._terms.find_one({"_id": concert_id})
        if stored is None:
            raise ConcertNotFound(concert_id)
        return self._remember(stored)

    def known(self, concert_id: str) -> Offer:
        """The terms from memory, perhaps older ones than those in force; else as `newest`."""
        return self._known.get(concert_id) or self.newest(concert_id)

    def at_least(self, concert_id: str, version: int) -> Offer:
        """The terms in force when Redis knew *version*: from memory if they are that new, else from MongoDB."""
        known = self._known.get(concert_id)
        if known is not None and known.version >= version:
            return known
        return self.newest(concert_id)

    def _remember(self, stored: Document) -> Offer:
        terms, proposed = cast(SalesTerms, stored["terms"]), cast(SalesTerms | None, stored.get("proposed"))
        offer = Offer(capped(terms, proposed) if proposed else terms)
        known = self._forget(offer.concert_id)
        if known is not None and known.version > offer.version:  # another request has read newer ones meanwhile
            offer = known
        while self._known and (len(self._known) >= REMEMBERED or self._rows + offer.rows > ROWS):
            self._forget(next(iter(self._known)))
        self._known[offer.concert_id] = offer
        self._rows += offer.rows
        return offer

    def _forget(self, concert_id: str) -> Offer | None:
        known = self._known.pop(concert_id, None)
        if known is not None:
            self._rows -= known.rows
        return known


def versions(stored: Document) -> list[Version]:
    """The versions that a document of the collection tells of."""
    return [Version(**line) for line in stored.get("versions", [])]


def _set(terms: SalesTerms) -> Document:
    """In a pipeline: the fields of a document whose terms are *terms* from now on. Repeating it adds no second line."""
    version = {
        "version": terms["version"],
        "sales_close_at": from_wire(terms["sales_close_at"]),
        "max_tickets_per_user": terms["max_tickets_per_user"],
        "set_at": "$$NOW",
    }
    lines = {"$ifNull": ["$versions", []]}
    is_there = {"$in": [terms["version"], {"$ifNull": ["$versions.version", []]}]}
    return {
        "version": terms["version"],
        "terms": {"$literal": terms},
        "versions": {"$cond": [is_there, lines, {"$concatArrays": [lines, [version]]}]},
    }

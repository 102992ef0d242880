"""Sales terms in MongoDB: by what a concert's tickets are sold, set by concert_svc, newest version in force."""

from typing import cast

from pymongo import ReturnDocument
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from booking_svc.contract import ConcertNotFound, SalesTerms
from booking_svc.offer import Offer
from rabbitmq.database import Document, prepare

#: Concerts whose terms a process remembers; of the largest, with 50,000 seats, each takes half a megabyte.
REMEMBERED = 200


class Terms:
    """The collection `terms`, a document per concert: `_id` is the concert's, `version` and `terms` beside it."""

    def __init__(self, database: Database[Document]) -> None:
        self._terms = prepare(database, "terms", [])
        self._known: dict[str, Offer] = {}

    def set(self, terms: SalesTerms) -> Offer:
        """Store *terms* unless newer ones are there. Returns what is in force."""
        for _ in range(2):
            try:
                stored = self._terms.find_one_and_update(
                    {"_id": terms["concert_id"], "version": {"$lte": terms["version"]}},
                    {"$set": {"version": terms["version"], "terms": terms}},
                    upsert=True,
                    return_document=ReturnDocument.AFTER,
                )
            except DuplicateKeyError:  # it met newer terms; or, the first time, any that were stored in this moment
                continue
            return self._remember(cast(Document, stored))
        return self.newest(terms["concert_id"])

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
        offer = Offer(cast(SalesTerms, stored["terms"]))
        known = self._known.pop(offer.concert_id, None)
        if known is not None and known.version > offer.version:  # another request has read newer ones meanwhile
            offer = known
        while len(self._known) >= REMEMBERED:
            self._known.pop(next(iter(self._known)))
        self._known[offer.concert_id] = offer
        return offer

"""The catalogue: what people find among the concerts on sale. Each search has its index, see concerts.py."""

import re
from collections.abc import Callable

from pymongo import ASCENDING
from pymongo.database import Database

from concert_svc.contract import ConcertSearch
from concert_svc.domain import ConcertDocument, plain
from rabbitmq import cursors
from rabbitmq.database import Document, Page, cursor_after, page
from rabbitmq.times import from_wire

#: Which of these concerts had tickets a moment ago.
WithTickets = Callable[[list[str]], set[str]]
#: With `available`: how many concerts are looked at in one go, and how many goes one page is worth.
LOOKED_AT, LOOKS = 100, 10
WORD = re.compile(r"\w+")


class Catalogue:
    """Searches in the collection `concerts`."""

    def __init__(self, database: Database[Document]) -> None:
        self._concerts = database["concerts"]

    def search(self, search: ConcertSearch, limit: int, cursor: str | None) -> Page:
        """
        *limit* concerts on sale that fit, after *cursor*, whether they have tickets or not.

        Sorted by date unless `relevance` to the text is asked for. A cursor that cannot be read means the beginning;
        the gateway refuses such a one before.
        """
        if _is_by_relevance(search):
            return self._most_relevant(search, limit, cursor)
        return page(self._concerts, wanted(search), by="starts_at", direction=ASCENDING, limit=limit, cursor=cursor)

    def search_available(
        self, search: ConcertSearch, limit: int, cursor: str | None, with_tickets: WithTickets
    ) -> Page:
        """Those that have tickets: perhaps fewer than *limit*, though there are more to find with the next cursor."""
        found: list[ConcertDocument] = []
        for _ in range(LOOKS):
            looked_at = self.search(search, LOOKED_AT, cursor)
            left = with_tickets([concert["_id"] for concert in looked_at.documents])
            found += [concert for concert in looked_at.documents if concert["_id"] in left]
            if len(found) > limit:
                return Page(found[:limit], _cursor_after(search, found[limit - 1]))
            cursor = looked_at.next_cursor
            if cursor is None:
                break
        return Page(found, cursor)

    def _most_relevant(self, search: ConcertSearch, limit: int, cursor: str | None) -> Page:
        pipeline = relevance_pipeline(search, limit, _read_cursor(cursor))
        found = list(self._concerts.aggregate(pipeline))
        if len(found) <= limit:
            return Page(found, None)
        return Page(found[:limit], _cursor_after(search, found[limit - 1]))


def wanted(search: ConcertSearch) -> Document:
    """The query for what fits."""
    query: Document = {"status": "published"}
    if "text" in search:
        # Each word a phrase of its own: then MongoDB wants all of them, and none is an operator.
        query["$text"] = {"$search": " ".join(f'"{word}"' for word in WORD.findall(search["text"]))}
    if "city" in search:
        query["city"] = plain(search["city"])
    starts = {"$gte": search.get("starts_from"), "$lt": search.get("starts_before")}
    if given := {bound: from_wire(moment) for bound, moment in starts.items() if moment is not None}:
        query["starts_at"] = given
    prices = {"$gte": search.get("lowest_price"), "$lte": search.get("highest_price")}
    if given_prices := {bound: price for bound, price in prices.items() if price is not None}:
        query["prices"] = {"$elemMatch": given_prices}
    return query


def relevance_pipeline(search: ConcertSearch, limit: int, after: cursors.ByRelevance | None) -> list[Document]:
    """One more than *limit*, the most relevant first, of the same relevance the next first."""
    pipeline: list[Document] = [{"$match": wanted(search)}, {"$set": {"relevance": {"$meta": "textScore"}}}]
    if after is not None:
        relevance, starts_at, last_id = after
        later = [{"starts_at": {"$gt": starts_at}}, {"starts_at": starts_at, "_id": {"$gt": last_id}}]
        less = {"relevance": {"$lt": relevance}}
        pipeline.append({"$match": {"$or": [less, {"relevance": relevance, "$or": later}]}})
    order = {"relevance": -1, "starts_at": 1, "_id": 1}
    return [*pipeline, {"$sort": order}, {"$limit": limit + 1}]


def _is_by_relevance(search: ConcertSearch) -> bool:
    return "text" in search and search.get("sort") == "relevance"


def _cursor_after(search: ConcertSearch, concert: ConcertDocument) -> str:
    if not _is_by_relevance(search):
        return cursor_after(concert, "starts_at")
    return cursors.write_by_relevance(concert["relevance"], concert["starts_at"], concert["_id"])


def _read_cursor(cursor: str | None) -> cursors.ByRelevance | None:
    try:
        return cursors.read_by_relevance(cursor or "")
    except cursors.UnreadableCursor:
        return None

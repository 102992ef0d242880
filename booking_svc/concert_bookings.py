"""All bookings of one concert: batches in which a change is brought to them, and what their organiser sees."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from pymongo import DESCENDING, UpdateOne
from pymongo.database import Database

from booking_svc import domain
from booking_svc.bookings import SETTLED, cancelled, told
from booking_svc.contract import HourSales, Money, Sales, TicketTypeSales
from booking_svc.domain import BookingDocument
from booking_svc.offer import Offer
from rabbitmq.database import Document, Page, page
from rabbitmq.outbox import Envelope
from rabbitmq.times import to_wire


class ConcertBookings:
    """The collection `bookings`, by concert. *now* dates events."""

    def __init__(self, database: Database[Document], now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._bookings = database["bookings"]
        self._now = now

    def page(self, concert_id: str, limit: int, cursor: str | None) -> Page:
        """*limit* bookings of the concert, confirmed or cancelled, newest first, after *cursor*."""
        wanted: Document = {"concert_id": concert_id, "status": {"$in": SETTLED}}
        return page(self._bookings, wanted, by="confirmed_at", direction=DESCENDING, limit=limit, cursor=cursor)

    def confirmed(self, concert_id: str) -> int:
        """How many confirmed bookings the concert has."""
        return self._bookings.count_documents({"concert_id": concert_id, "status": "confirmed"})

    # --- batches; each returns how many bookings it changed, and changes none twice

    def cancel(self, bookings: Sequence[BookingDocument], by: str, request_id: str | None) -> int:
        """Cancel those that are confirmed: their concert is cancelled."""

        def event_of(booking: BookingDocument) -> Envelope:
            return domain.cancelled_event(booking, self._now(), request_id, reason="concert_cancelled")

        confirmed = [booking for booking in bookings if booking["status"] == "confirmed"]
        return self._write(
            UpdateOne({"_id": booking["_id"], "status": "confirmed"}, [{"$set": cancelled(event_of(booking), by)}])
            for booking in confirmed
        )

    def reschedule(self, bookings: Sequence[BookingDocument], offer: Offer, request_id: str | None) -> int:
        """Have the confirmed ones say what *offer* says of the concert; tell the buyers whom it concerns."""
        concert, now = offer.terms["concert"], self._now()
        older = [b for b in bookings if b["status"] == "confirmed" and _version_told(b) < offer.version]

        def changed(booking: BookingDocument) -> Document:
            new: Document = {"concert_version": offer.version, "concert": {"$literal": concert}}
            new["sold_as"] = {"$ifNull": ["$sold_as", "$concert"]}
            if domain.is_elsewhere(booking["concert"], concert):
                new |= told(domain.rescheduled_event(booking, concert, now, request_id))
            return new

        return self._write(
            UpdateOne(
                {"_id": b["_id"], "status": "confirmed", "concert_version": b.get("concert_version")},
                [{"$set": changed(b)}],
            )
            for b in older
        )

    def remind(self, bookings: Sequence[BookingDocument], starts_at: str, request_id: str | None) -> int:
        """Tell the buyers of the confirmed ones that the concert is near, once for each start."""
        now = self._now()
        return self._write(
            UpdateOne(
                {"_id": b["_id"], "status": "confirmed", "reminded_of": {"$ne": starts_at}},
                [{"$set": {"reminded_of": starts_at, **told(domain.reminder_event(b, now, request_id))}}],
            )
            for b in bookings
            if b["status"] == "confirmed" and b.get("reminded_of") != starts_at
        )

    def _write(self, updates: Iterator[UpdateOne]) -> int:
        batch = list(updates)
        return self._bookings.bulk_write(batch, ordered=False).modified_count if batch else 0

    # --- sales

    def sales(self, concert_id: str) -> Sales:
        """What was sold, by ticket type and hour."""
        ticket = "$tickets"
        pipeline: list[Document] = [
            {"$match": {"concert_id": concert_id, "status": {"$in": SETTLED}}},
            {"$project": {"status": 1, "confirmed_at": 1, "tickets.ticket_type": 1, "tickets.price": 1}},
            {"$unwind": ticket},
            {
                "$group": {
                    "_id": {
                        "status": "$status",
                        "ticket_type": f"{ticket}.ticket_type",
                        "currency": f"{ticket}.price.currency",
                        "hour": {"$dateTrunc": {"date": "$confirmed_at", "unit": "hour"}},
                    },
                    "tickets": {"$sum": 1},
                    "amount": {"$sum": f"{ticket}.price.amount"},
                }
            },
            {"$sort": {"_id.hour": 1, "_id.ticket_type": 1}},
        ]
        return _as_sales(list(self._bookings.aggregate(pipeline)))


def _version_told(booking: BookingDocument) -> int:
    return int(booking.get("concert_version", 0))


def _as_sales(groups: Sequence[Document]) -> Sales:
    types: dict[str, TicketTypeSales] = {}
    hours: list[HourSales] = []
    for group in groups:
        key, tickets = group["_id"], group["tickets"]
        code, currency = key["ticket_type"], key["currency"]
        nothing = TicketTypeSales(ticket_type=code, tickets=0, revenue=Money(amount=0, currency=currency), cancelled=0)
        of_type = types.setdefault(code, nothing)
        if key["status"] == "cancelled":
            of_type["cancelled"] += tickets
            continue
        of_type["tickets"] += tickets
        of_type["revenue"]["amount"] += group["amount"]
        revenue = Money(amount=group["amount"], currency=currency)
        hours.append(HourSales(hour=to_wire(key["hour"]), ticket_type=code, tickets=tickets, revenue=revenue))
    return Sales(ticket_types=[types[code] for code in sorted(types)], hours=hours)

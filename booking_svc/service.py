"""The booking service: its use cases, one method each. contract.py says what they promise."""

from booking_svc import domain
from booking_svc.contract import (
    Availability,
    Booking,
    BookingAnswer,
    BookingPage,
    Item,
    SalesTerms,
)
from booking_svc.dependencies import StoresProvider
from rabbitmq.entrypoints import RequestId, event_handler, rpc
from rabbitmq.outbox import Envelope
from rabbitmq.times import from_wire


class BookingService:
    name = "booking_svc"

    stores = StoresProvider()
    request_id = RequestId()

    @rpc
    def set_sales_terms(self, terms: SalesTerms) -> None:
        self.stores.box_office.set_terms(terms)

    @rpc
    def book_tickets(self, user_id: str, idempotency_key: str, concert_id: str, items: list[Item]) -> BookingAnswer:
        booking, replayed = self.stores.box_office.book(user_id, idempotency_key, concert_id, items, self.request_id)
        return BookingAnswer(booking=domain.as_confirmed(booking), replayed=replayed)

    @rpc
    def get_booking(self, user_id: str, booking_id: str) -> Booking:
        return domain.as_booking(self.stores.bookings.of_user(user_id, booking_id))

    @rpc
    def list_bookings(self, user_id: str, limit: int, cursor: str | None) -> BookingPage:
        page = self.stores.bookings.page_of_user(user_id, limit, cursor)
        return BookingPage(items=[domain.as_booking(b) for b in page.documents], next_cursor=page.next_cursor)

    @rpc
    def cancel_booking(self, user_id: str, booking_id: str) -> Booking:
        return domain.as_booking(self.stores.box_office.cancel(user_id, booking_id, self.request_id))

    @rpc
    def get_availability(self, concert_id: str) -> Availability:
        return self.stores.box_office.availability(concert_id)

    @rpc
    def ping(self) -> str:
        self.stores.ping()
        return "pong"

    @event_handler("booking_svc", "booking_cancelled")
    def release_tickets(self, event: Envelope) -> None:
        """Again what cancel_booking did, for the case that it was interrupted."""
        cancelled = event["data"]
        self.stores.box_office.release(cancelled["concert_id"], cancelled["booking_id"], cancelled["claims"])

    @event_handler("mailer_svc", "confirmation_sent")
    def record_confirmation_mail(self, event: Envelope) -> None:
        sent = event["data"]
        self.stores.bookings.record_confirmation_mail(sent["booking_id"], from_wire(sent["sent_at"]))

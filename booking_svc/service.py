"""The booking service: its use cases, one method each. contract.py says what they promise."""

from nameko.timer import timer

from booking_svc import domain
from booking_svc.contract import (
    Availability,
    Booking,
    BookingAnswer,
    BookingPage,
    Hold,
    Item,
    Rollout,
    Sales,
    SalesTerms,
    SeatMap,
    SoldBookingPage,
)
from booking_svc.dependencies import StoresProvider
from booking_svc.rollouts import Kind
from rabbitmq.calls import BoundedRpcProxy
from rabbitmq.entrypoints import Redelivered, RequestId, event_handler, rpc
from rabbitmq.errors import AlreadyHandled
from rabbitmq.outbox import Envelope
from rabbitmq.times import from_wire

#: Seconds between two looks for news that has had no effect.
SWEEP = 5
#: Seconds between two looks for changes of concerts to be brought to their bookings, and so long it works at a stretch.
ROLL_OUT, AT_A_STRETCH = 1, 2


class BookingService:
    name = "booking_svc"

    stores = StoresProvider()
    mailer = BoundedRpcProxy("mailer_svc")
    request_id = RequestId()
    redelivered = Redelivered()

    @rpc
    def set_sales_terms(self, terms: SalesTerms) -> None:
        before = self.stores.new_terms.set(terms)
        self.stores.news_desk.begin_what_follows(terms, before, self.request_id)

    @rpc
    def hold_tickets(self, user_id: str, idempotency_key: str, concert_id: str, items: list[Item]) -> Hold:
        return self.stores.box_office.hold(user_id, idempotency_key, concert_id, items)

    @rpc
    def get_hold(self, user_id: str, hold_id: str) -> Hold:
        return self.stores.box_office.find_hold(user_id, hold_id)

    @rpc
    def extend_hold(self, user_id: str, hold_id: str) -> Hold:
        return self.stores.box_office.extend_hold(user_id, hold_id)

    @rpc
    def release_hold(self, user_id: str, hold_id: str) -> None:
        self.stores.box_office.release_hold(user_id, hold_id)

    @rpc
    def book_tickets(self, user_id: str, idempotency_key: str, concert_id: str, items: list[Item]) -> BookingAnswer:
        booking, replayed = self.stores.box_office.book(
            user_id, idempotency_key, concert_id, items, self.request_id, self.redelivered
        )
        return BookingAnswer(booking=domain.as_confirmed(booking), replayed=replayed)

    @rpc
    def book_hold(self, user_id: str, idempotency_key: str, hold_id: str) -> BookingAnswer:
        booking, replayed = self.stores.box_office.book_hold(
            user_id, idempotency_key, hold_id, self.request_id, self.redelivered
        )
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
        return domain.as_booking(self.stores.box_office.cancel(user_id, booking_id, self.request_id, self.redelivered))

    @rpc
    def resend_confirmation(self, user_id: str, booking_id: str) -> Booking:
        return domain.as_booking(self.stores.box_office.resend_confirmation(user_id, booking_id, self.request_id))

    @rpc
    def get_availability(self, concert_id: str) -> Availability:
        return self.stores.inventory.availability(concert_id)

    @rpc
    def get_seats(self, concert_id: str, known: str | None) -> SeatMap:
        return self.stores.inventory.seats(concert_id, known)

    @rpc
    def find_available(self, concert_ids: list[str]) -> list[str]:
        return self.stores.shop_window.find_available(concert_ids)

    @rpc
    def list_concert_bookings(self, concert_id: str, limit: int, cursor: str | None) -> SoldBookingPage:
        page = self.stores.concert_bookings.page(concert_id, limit, cursor)
        return SoldBookingPage(items=[domain.as_sold(b) for b in page.documents], next_cursor=page.next_cursor)

    @rpc
    def get_sales(self, concert_id: str) -> Sales:
        return self.stores.concert_bookings.sales(concert_id)

    @rpc
    def list_rollouts(self, concert_id: str | None = None) -> list[Rollout]:
        return self.stores.rollouts.newest(concert_id)

    @rpc
    def ping(self) -> dict[str, str]:
        return self.stores.ping()

    @timer(interval=SWEEP)
    def tell_overdue(self) -> None:
        self.stores.retelling.tell_overdue(self.mailer.find_waiting)

    @event_handler("booking_svc", "booking_cancelled")
    def release_tickets(self, event: Envelope) -> None:
        """Again what cancel_booking did, for the case that it was interrupted."""
        cancelled = event["data"]
        self.stores.box_office.release(
            cancelled["concert_id"], cancelled["booking_id"], cancelled["claims"], cancelled.get("hold_id")
        )

    @event_handler("concert_svc", "concert_cancelled")
    def cancel_bookings(self, event: Envelope) -> None:
        self._begin_rollout("cancellation", event)

    @event_handler("concert_svc", "concert_rescheduled")
    def reschedule_bookings(self, event: Envelope) -> None:
        self._begin_rollout("reschedule", event)

    @event_handler("concert_svc", "concert_reminder_due")
    def remind_buyers(self, event: Envelope) -> None:
        self._begin_rollout("reminder", event)

    def _begin_rollout(self, kind: Kind, event: Envelope) -> None:
        concert_id, version = event["data"]["concert_id"], event["data"]["schedule_version"]
        self.stores.news_desk.begin(concert_id, kind, version, self.request_id)

    @timer(interval=ROLL_OUT)
    def roll_out(self) -> None:
        self.stores.news_desk.work(AT_A_STRETCH)

    @event_handler("mailer_svc", "confirmation_sent")
    def record_confirmation_mail(self, event: Envelope) -> None:
        sent = event["data"]
        sent_at = from_wire(sent["sent_at"])
        if not self.stores.bookings.record_confirmation_mail(sent["booking_id"], sent["kind"], sent_at):
            raise AlreadyHandled

    @event_handler("mailer_svc", "mail_entered")
    def record_entered_mail(self, event: Envelope) -> None:
        entered = event["data"]
        if not self.stores.bookings.record_heard(entered["booking_id"], entered["event_id"]):
            raise AlreadyHandled

    @event_handler("mailer_svc", "confirmation_failed")
    def record_failed_confirmation(self, event: Envelope) -> None:
        failed = event["data"]
        if not self.stores.bookings.record_failed_confirmation(failed["booking_id"], failed["kind"], failed["reason"]):
            raise AlreadyHandled

"""The concert service: its use cases, one method each. contract.py says what they promise."""

import logging
import time

from nameko.timer import timer

from concert_svc import domain
from concert_svc.contract import Concert, ConcertNotFound, ConcertPage, NewConcert, WrongState
from concert_svc.dependencies import Clock, StoresProvider
from rabbitmq.calls import BoundedRpcProxy
from rabbitmq.entrypoints import RequestId, event_handler, rpc
from rabbitmq.outbox import Envelope

log = logging.getLogger(__name__)

#: Seconds between two looks for concerts whose `concert_starting` was lost.
SWEEP = 60
#: Seconds: the broker delivers `concert_starting` up to one second early.
EARLIEST = 2
CLOCK_MARGIN = 0.01


class NotYetClosed(Exception):
    """`concert_starting` came before its moment; it comes again after a while."""


class ConcertService:
    name = "concert_svc"

    stores = StoresProvider()
    clock = Clock()
    request_id = RequestId()
    booking = BoundedRpcProxy("booking_svc")

    @rpc
    def create_concert(self, organiser_id: str, concert: NewConcert) -> Concert:
        draft = domain.draft(organiser_id, concert, self.clock.now())
        self.stores.concerts.add(draft)
        return domain.as_concert(draft)

    @rpc
    def publish_concert(self, organiser_id: str, concert_id: str) -> Concert:
        concert = self.stores.concerts.owned_by(organiser_id, concert_id)
        if concert["status"] == "published":
            return domain.as_concert(concert)
        domain.check_publishable(concert, self.clock.now())
        # Terms first: a published concert can always be booked. A crash in between leaves a draft to publish again.
        self.booking.set_sales_terms(domain.sales_terms(concert))
        event = domain.starting_event(concert, self.clock.now(), self.request_id)
        published = self.stores.concerts.publish(concert, event)
        if published is None:  # somebody was faster: with the same request, or with another change
            published = self.stores.concerts.owned_by(organiser_id, concert_id)
            if published["status"] != "published":
                raise WrongState(published["status"])
        return domain.as_concert(published)

    @rpc
    def get_concert(self, concert_id: str, viewer_id: str | None) -> Concert:
        return domain.as_concert(self.stores.concerts.seen_by(viewer_id, concert_id))

    @rpc
    def list_concerts(self, limit: int, cursor: str | None) -> ConcertPage:
        page = self.stores.concerts.published(limit, cursor)
        return ConcertPage(items=[domain.as_concert(c) for c in page.documents], next_cursor=page.next_cursor)

    @rpc
    def ping(self) -> dict[str, str]:
        return self.stores.ping()

    @event_handler("concert_svc", "concert_starting")
    def close_sales(self, event: Envelope) -> None:
        """Save `closed`. Booking stopped by itself at that moment; this is for those who read the concert."""
        concert_id, version = event["data"]["concert_id"], event["data"]["schedule_version"]
        try:
            concert = self.stores.concerts.seen_by(None, concert_id)
        except ConcertNotFound:
            return
        if concert["schedule_version"] != version or concert["status"] != "published":
            log.info("dropped a stale concert_starting of %s", concert_id)
            return
        early = (concert["sales_close_at"] - self.clock.now()).total_seconds()
        if early > EARLIEST:
            raise NotYetClosed(concert_id)
        time.sleep(max(early, 0) + CLOCK_MARGIN)
        if not self.stores.concerts.close(concert_id, version):
            raise NotYetClosed(concert_id)  # the database's clock is behind, or someone closed it: look again

    @timer(interval=SWEEP)
    def close_overdue(self) -> None:
        """Catch what a lost `concert_starting` left open."""
        for concert_id, version in self.stores.concerts.overdue(self.clock.now()):
            self.stores.concerts.close(concert_id, version)

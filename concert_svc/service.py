"""The concert service: its use cases, one method each. contract.py says what they promise."""

from nameko.timer import timer

from concert_svc import domain
from concert_svc.back_office import BackOffice
from concert_svc.contract import (
    ChangePage,
    Concert,
    ConcertChange,
    ConcertPage,
    ConcertSearch,
    NewConcert,
)
from concert_svc.dependencies import StoresProvider
from rabbitmq.calls import BoundedRpcProxy
from rabbitmq.database import Page
from rabbitmq.entrypoints import RequestId, event_handler, rpc
from rabbitmq.outbox import Envelope

#: Seconds between two looks for concerts whose hints were lost, and for changes that crashed half-way.
SWEEP, CARRY_ON = 30, 5


class ConcertService:
    name = "concert_svc"

    stores = StoresProvider()
    request_id = RequestId()
    booking = BoundedRpcProxy("booking_svc")

    # --- what organisers do

    @rpc
    def create_concert(self, organiser_id: str, concert: NewConcert) -> Concert:
        draft = domain.draft(organiser_id, concert, self.stores.concerts.now())
        self._back_office().create(draft, self.request_id)
        return domain.as_concert(draft)

    @rpc
    def update_concert(self, organiser_id: str, concert_id: str, changes: ConcertChange) -> Concert:
        return domain.as_concert(self._back_office().update(organiser_id, concert_id, changes, self.request_id))

    @rpc
    def delete_concert(self, organiser_id: str, concert_id: str) -> None:
        self._back_office().delete(organiser_id, concert_id, self.request_id)

    @rpc
    def publish_concert(self, organiser_id: str, concert_id: str) -> Concert:
        return domain.as_concert(self._back_office().publish(organiser_id, concert_id, self.request_id))

    @rpc
    def cancel_concert(self, organiser_id: str, concert_id: str) -> Concert:
        return domain.as_concert(self._back_office().cancel(organiser_id, concert_id, self.request_id))

    @rpc
    def get_own_concert(self, organiser_id: str, concert_id: str) -> Concert:
        return domain.as_concert(self.stores.concerts.owned_by(organiser_id, concert_id))

    @rpc
    def list_own_concerts(self, organiser_id: str, limit: int, cursor: str | None) -> ConcertPage:
        return _as_page(self.stores.concerts.page_of_organiser(organiser_id, limit, cursor))

    @rpc
    def list_changes(self, organiser_id: str, concert_id: str, limit: int, cursor: str | None) -> ChangePage:
        self.stores.concerts.owned_by(organiser_id, concert_id)
        page = self.stores.changes.page_of_concert(concert_id, limit, cursor)
        return ChangePage(items=[domain.as_change(entry) for entry in page.documents], next_cursor=page.next_cursor)

    # --- what anybody sees

    @rpc
    def get_concert(self, concert_id: str, viewer_id: str | None) -> Concert:
        return domain.as_concert(self.stores.concerts.seen_by(viewer_id, concert_id))

    @rpc
    def search_concerts(self, search: ConcertSearch, limit: int, cursor: str | None) -> ConcertPage:
        if not search.get("available"):
            return _as_page(self.stores.catalogue.search(search, limit, cursor))
        return _as_page(self.stores.catalogue.search_available(search, limit, cursor, self._with_tickets))

    @rpc
    def ping(self) -> dict[str, str]:
        return self.stores.ping()

    # --- what happens by itself

    @event_handler("concert_svc", "concert_starting")
    def close_sales(self, event: Envelope) -> None:
        self.stores.closing.close(event["data"]["concert_id"], event["data"]["schedule_version"])

    @event_handler("concert_svc", "concert_finished")
    def finish_concert(self, event: Envelope) -> None:
        self.stores.closing.finish(event["data"]["concert_id"], event["data"]["schedule_version"])

    @timer(interval=SWEEP)
    def catch_up(self) -> None:
        self.stores.closing.catch_up()

    @timer(interval=CARRY_ON)
    def carry_on_with_changes(self) -> None:
        self._back_office().carry_on_with_all()

    def _back_office(self) -> BackOffice:
        stores = self.stores
        return BackOffice(stores.concerts, stores.changes, self.booking.set_sales_terms, stores.lasts)

    def _with_tickets(self, concert_ids: list[str]) -> set[str]:
        return self.stores.availability.among(concert_ids, self.booking.find_available)


def _as_page(page: Page) -> ConcertPage:
    return ConcertPage(items=[domain.as_concert(c) for c in page.documents], next_cursor=page.next_cursor)

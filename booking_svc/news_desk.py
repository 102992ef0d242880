"""The news desk: brings what has become of a concert to each of its bookings, batch by batch."""

import logging
import time
from datetime import timedelta

from booking_svc import domain
from booking_svc.concert_bookings import ConcertBookings
from booking_svc.contract import SalesTerms
from booking_svc.offer import Offer
from booking_svc.rollouts import Kind, RolloutDocument, Rollouts
from booking_svc.terms import Terms
from rabbitmq.database import Page

log = logging.getLogger(__name__)

#: Bookings in one batch.
BATCH = 100
#: A booking that was under way when its concert changed has been written so long after. Then all are looked at again.
SETTLING = timedelta(seconds=15)
#: Who changes bookings because their concert was changed.
BY = "concert_svc"


class NewsDesk:
    """Begins rollouts and works at them; several processes may do so at once."""

    def __init__(
        self, rollouts: Rollouts, bookings: ConcertBookings, terms: Terms, settling: timedelta = SETTLING
    ) -> None:
        self._rollouts = rollouts
        self._bookings = bookings
        self._terms = terms
        self._settling = settling

    def begin(self, concert_id: str, kind: Kind, version: int, request_id: str | None = None) -> None:
        """Have the change brought to every booking; repeating it changes nothing."""
        total = self._bookings.confirmed(concert_id)
        self._rollouts.begin(concert_id, kind, version, total, BY, request_id)

    def begin_what_follows(self, terms: SalesTerms, before: SalesTerms | None, request_id: str | None = None) -> None:
        """Whoever knows that the concert is cancelled, or elsewhere, need not wait for the event that says so."""
        if terms["status"] == "cancelled":
            self.begin(terms["concert_id"], "cancellation", terms["version"], request_id)
        elif before is not None and domain.is_elsewhere(before["concert"], terms["concert"]):
            self.begin(terms["concert_id"], "reschedule", terms["version"], request_id)

    def work(self, seconds: float) -> int:
        """
        Work at what there is, for so many seconds at most.

        Returns:
            how many bookings were changed.
        """
        deadline, changed = time.monotonic() + seconds, 0
        while time.monotonic() < deadline and (rollout := self._rollouts.take()) is not None:
            changed += self._work_at(rollout, deadline)
        return changed

    def _work_at(self, rollout: RolloutDocument, deadline: float) -> int:
        changed = 0
        while time.monotonic() < deadline:
            offer = self._terms.newest(rollout["concert_id"])
            if _is_stale(rollout, offer):
                self._rollouts.end(rollout, "stale")
                return changed
            page = self._bookings.page(rollout["concert_id"], BATCH, rollout["cursor"])
            of_batch = self._bring(rollout, page, offer)
            changed += of_batch
            saved = self._rollouts.save(rollout, page.next_cursor, len(page.documents), of_batch)
            if saved is None:
                return changed
            rollout = saved
            log.info(
                "%s of concert %s: looked at %d bookings, changed %d",
                rollout["kind"], rollout["concert_id"], rollout["looked_at"], rollout["changed"],
            )  # fmt: skip
            if page.next_cursor is None:
                self._end_pass(rollout)
                return changed
        self._rollouts.give_back(rollout)
        return changed

    def _bring(self, rollout: RolloutDocument, page: Page, offer: Offer) -> int:
        bookings, request_id = page.documents, rollout["request_id"]
        if rollout["kind"] == "cancellation":
            return self._bookings.cancel(bookings, rollout["by"], request_id)
        if rollout["kind"] == "reschedule":
            return self._bookings.reschedule(bookings, offer, request_id)
        return self._bookings.remind(bookings, offer.terms["concert"]["starts_at"], request_id)

    def _end_pass(self, rollout: RolloutDocument) -> None:
        """Bookings that were under way when it began are written by the time of a second pass."""
        settled = rollout["pass_begun_at"] - rollout["begun_at"] >= self._settling
        if rollout["kind"] == "reminder" or settled:
            self._rollouts.end(rollout, "done")
        else:
            self._rollouts.pass_again(rollout, self._settling)


def _is_stale(rollout: RolloutDocument, offer: Offer) -> bool:
    """Whether there is nothing to bring any more. A later reschedule is brought with this one."""
    if rollout["kind"] == "cancellation":
        return False
    return offer.terms["status"] == "cancelled" or (
        rollout["kind"] == "reminder" and offer.version != rollout["version"]
    )

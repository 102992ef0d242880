"""
The entry point of mails: what is due in the ledger becomes a call of the service's method, a few at a time.

So many mails are under way at once, and of those that the mail server kept waiting last time half as many: a slow
server, or one that is slow for some recipients, delays what it is slow for, and the rest goes past.
"""

import logging
import time
from typing import Any

from nameko.extensions import Entrypoint
from pymongo.errors import PyMongoError

from mailer_svc import metrics
from mailer_svc.dependencies import SharedPostOffice
from mailer_svc.ledger import CLAIM, Entry

log = logging.getLogger(__name__)

#: Seconds between two looks at the ledger when nothing was due. What is entered here wakes us at once.
IDLE = 0.5
#: Seconds after which we say again what we are at, and look for what others have left.
KEEPING = CLAIM.total_seconds() / 4


class DueMails(Entrypoint):
    """Gives the method each entry that is due, claimed for it; the method says in the ledger how it ended."""

    shared = SharedPostOffice()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._under_way: dict[str, Entry] = {}
        self._stopping = False
        self._looking: Any = None
        self._kept_at = 0.0

    def start(self) -> None:
        self._looking = self.container.spawn_managed_thread(self._run)

    def stop(self) -> None:
        """Begin no more; the container waits for those under way."""
        self._stopping = True
        self.shared.post_office.wake()
        self._looking.wait()

    def kill(self) -> None:
        if self._looking is not None:
            self._looking.kill()

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._keep()
                if not self._begin_one():
                    self.shared.post_office.wait(IDLE)
            except PyMongoError as error:
                log.warning("the ledger does not answer: %s", error)
                self.shared.post_office.wait(IDLE)
        log.info("no more mails are begun, %d are under way", len(self._under_way))

    def _begin_one(self) -> bool:
        """Whether there was a place and a mail for it."""
        office = self.shared.post_office
        if len(self._under_way) >= office.places:
            return False
        slow = sum(entry["slow"] for entry in self._under_way.values())
        entry = office.ledger.claim(office.ledger.now(), slow_too=slow < office.places // 2)
        if entry is None:
            return False
        self._under_way[entry["claim"]] = entry
        metrics.under_way.set(len(self._under_way))
        context = {"request_id": entry["request_id"]} if entry["request_id"] else {}
        self.container.spawn_worker(self, (entry,), {}, context_data=context, handle_result=self._handle_result)
        return True

    def _handle_result(self, worker_ctx: Any, result: Any, exc_info: Any) -> tuple[Any, Any]:
        self._under_way.pop(worker_ctx.args[0]["claim"], None)
        metrics.under_way.set(len(self._under_way))
        self.shared.post_office.wake()
        return result, exc_info

    def _keep(self) -> None:
        if time.monotonic() < self._kept_at + KEEPING:
            return
        self._kept_at = time.monotonic()
        ledger = self.shared.post_office.ledger
        ledger.keep(self._under_way)
        left = ledger.take_back()
        if left:
            log.info("%d mails were left behind by a process and are due again", left)
        mails, oldest = ledger.backlog()
        metrics.waiting.set(mails)
        metrics.oldest.set((ledger.now() - oldest).total_seconds() if oldest else 0)


mail_due = DueMails.decorator

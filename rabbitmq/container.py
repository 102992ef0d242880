"""What runs a service: Nameko's container, which knows whom each worker works for, and shows what it counts."""

import logging
import os
from functools import partial
from typing import Any

import eventlet
import eventlet.wsgi
from nameko.containers import ServiceContainer
from prometheus_client import make_wsgi_app

from rabbitmq import garbage, logs, metrics, patience
from rabbitmq.errors import Expired
from rabbitmq.message_context import DEADLINE

log = logging.getLogger(__name__)


class Container(ServiceContainer):
    """Named in each config.yml."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_up = False

    def start(self) -> None:
        super().start()
        self._is_up = True
        host, port = self.config.get("METRICS_HOST", "127.0.0.1"), self.config.get("METRICS_PORT")
        if (address := metrics.address(host, port)) is not None:
            self._show_metrics(address)
        garbage.settle()

    def stop(self) -> None:
        """
        Nameko can't take back a start: several consumers who leave before they are there make it wait for ever.

        What such a process took is not acknowledged, and others get it, as if it had been killed.
        """
        if not self._is_up:
            log.info("asked to stop while it starts: ends at once")
            logging.shutdown()
            os._exit(0)  # of what there is so far nothing can be ended in order, not even pymongo's threads
        super().stop()

    def _show_metrics(self, address: metrics.Address) -> None:
        try:
            listener = eventlet.listen(address)
        except OSError as error:  # tickets are sold without them, too
            log.error("no metrics on %s:%d: %s", *address, error)
            return
        self.spawn_managed_thread(partial(eventlet.wsgi.server, listener, make_wsgi_app(), log_output=False))

    def _run_worker(self, worker_ctx: Any, handle_result: Any) -> None:
        deadline = worker_ctx.data.pop(DEADLINE, None)
        logs.request_id.set(worker_ctx.data.get("request_id"))
        patience.begin(deadline)
        if patience.is_over(deadline):  # it waited here, for a worker
            handle_result(worker_ctx, None, (Expired, Expired(), None))
            return
        super()._run_worker(worker_ctx, handle_result)

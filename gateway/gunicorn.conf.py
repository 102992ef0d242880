"""gunicorn's settings: few processes, many threads, which mostly wait for services."""

import os
import shutil
import tempfile

import gunicorn.glogging
import gunicorn.util

from gateway.config import LARGEST_BODY, answered_at_once
from gateway.unreadable import write_problem
from rabbitmq import garbage, logs

#: gunicorn has no setting for the form of its own refusals, which is HTML.
gunicorn.util.write_error = write_problem

#: Where the processes keep what they count, to show it together; anew at each start. The library looks for it when
#: it is imported, which must be later than this.
counted = tempfile.mkdtemp(prefix="gateway-metrics-")
os.environ.update(PROMETHEUS_MULTIPROC_DIR=counted)

bind = f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '3000')}"
workers = int(os.environ.get("GATEWAY_WORKERS", "2"))
#: One of threads that neither slow clients nor too many of them can occupy.
worker_class = "gateway.worker.Worker"
threads = answered_at_once()
#: Longer than proxies and clients keep a connection that rests (60 s, mostly): whoever may be about to send on it is to
#: hang up first.
keepalive = 65
timeout = 30
#: Longer than any call may take, so that a stop finishes what was begun.
graceful_timeout = 6
errorlog = "-"
#: It wants a socket that waits, and ours do not.
sendfile = False
#: Its path would be shared by every gunicorn of this user.
control_socket_disable = True
loglevel = os.environ.get("LOG_LEVEL", "info").lower()
#: gunicorn's own lines in the form of all others.
logconfig_dict = logs.settings("gateway", loglevel) | {
    "loggers": {"gunicorn.error": {"level": loglevel.upper(), "handlers": [], "propagate": True}}
}


class Log(gunicorn.glogging.Logger):
    """With `logconfig_dict` gunicorn's own puts a line together for each request, and writes it nowhere."""

    def access(self, resp, req, environ, request_time):
        """`gateway/request_log.py` has told of it."""


logger_class = Log


def pre_request(worker, req):
    """A body that is refused is never read: say that the connection ends, before a client goes on using it."""
    headers = dict(req.headers)
    length = headers.get("CONTENT-LENGTH", "0")
    if (length.isdigit() and int(length) > LARGEST_BODY) or "TRANSFER-ENCODING" in headers:
        req.force_close()


def post_worker_init(worker):
    """The application is there."""
    garbage.settle()


def child_exit(server, worker):
    """What a process that has ended counted stays; that it is there does not."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)


def on_exit(server):
    """The folder of the counts goes with the last process."""
    shutil.rmtree(counted, ignore_errors=True)

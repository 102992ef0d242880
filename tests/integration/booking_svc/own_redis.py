"""A Redis of a test's own: to be killed, emptied, rolled back, frozen and starved."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from rabbitmq import redis_server
from tests.local_stack import free_port
from tests.polling import poll


class OwnRedis:
    """Every write in the append-only file, as in production."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.folder, self._more = folder, more
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.client: Redis = redis_server.connect(f"redis://127.0.0.1:{self._port}/0")
        self.start()

    def start(self) -> None:
        place = ["--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        how = ["--appendonly", "yes", "--appendfsync", "always", *self._more]
        self._process = subprocess.Popen(["redis-server", *place, *how], stdout=subprocess.DEVNULL)
        poll(self._answers, seconds=10)

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        self.kill()
        self.start()

    def restart_empty(self) -> None:
        self.kill()
        shutil.rmtree(self._data)
        self.start()

    def copy(self) -> Path:
        """Its data as they are on disk now."""
        kept = self.folder / "kept"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(self._data, kept)
        return kept

    def restart_with(self, kept: Path) -> None:
        """It comes back with the data of an earlier time."""
        self.kill()
        shutil.rmtree(self._data)
        shutil.copytree(kept, self._data)
        self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def set(self, **settings: Any) -> None:
        for name, value in settings.items():
            self.client.config_set(name.replace("_", "-"), value)

    @property
    def _data(self) -> Path:
        return self.folder / "appendonlydir"

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except RedisError:
            return False

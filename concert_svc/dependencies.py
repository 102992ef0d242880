"""What concert_svc needs from Nameko and the servers."""

from datetime import UTC, datetime
from typing import Any

from nameko.extensions import DependencyProvider
from pymongo.database import Database

from concert_svc.concerts import Concerts
from rabbitmq import database
from rabbitmq.database import Document


class Stores:
    """The service's server, opened once per process."""

    def __init__(self, mongo: Database[Document]) -> None:
        self._mongo = mongo
        self.concerts = Concerts(mongo)

    def ping(self) -> dict[str, str]:
        """The state of each server."""
        return {"mongodb": database.state(self._mongo)}


class StoresProvider(DependencyProvider):
    """Gives the service its stores; indexes and validators stand before the first request."""

    def setup(self) -> None:
        self._stores = Stores(database.connect(self.container.config["MONGO_URI"], "concert_svc"))

    def get_dependency(self, worker_ctx: Any) -> Stores:
        return self._stores


class Clock(DependencyProvider):
    """The time now. It dates things; what it decides, the database's clock decides again in the write."""

    def get_dependency(self, worker_ctx: Any) -> "Clock":
        return self

    def now(self) -> datetime:
        return datetime.now(UTC)

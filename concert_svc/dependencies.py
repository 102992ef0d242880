"""What concert_svc needs from Nameko and the servers."""

from datetime import timedelta
from typing import Any

from nameko.exceptions import deserialize_to_instance
from nameko.extensions import DependencyProvider
from pymongo.database import Database

from booking_svc.contract import CapacityBelowSold, TicketsUnavailable
from concert_svc.availability import Availability
from concert_svc.catalogue import Catalogue
from concert_svc.changes import Changes
from concert_svc.closing import Closing
from concert_svc.concerts import Concerts
from rabbitmq import database
from rabbitmq.database import Document

#: What booking_svc may refuse when a concert changes arrives here as itself.
for refusal in (CapacityBelowSold, TicketsUnavailable):
    deserialize_to_instance(refusal)


class Stores:
    """The service's server, opened once per process."""

    def __init__(self, mongo: Database[Document], lasts: timedelta) -> None:
        self._mongo = mongo
        self.lasts = lasts
        self.concerts, self.changes = Concerts(mongo), Changes(mongo)
        self.catalogue, self.availability = Catalogue(mongo), Availability()
        self.closing = Closing(self.concerts, lasts)

    def ping(self) -> dict[str, str]:
        """The state of each server."""
        return {"mongodb": database.state(self._mongo)}


class StoresProvider(DependencyProvider):
    """Gives the service its stores; indexes and validators stand before the first request."""

    def setup(self) -> None:
        lasts = timedelta(seconds=float(self.container.config["CONCERT_LASTS"]))
        self._stores = Stores(database.connect(self.container.config["MONGO_URI"], "concert_svc"), lasts)

    def get_dependency(self, worker_ctx: Any) -> Stores:
        return self._stores

"""What booking_svc needs from Nameko and the servers, so that service.py reads as a list of use cases."""

from datetime import timedelta
from typing import Any

from nameko.extensions import DependencyProvider
from pymongo.database import Database
from redis import Redis

from booking_svc.bookings import Bookings
from booking_svc.box_office import BoxOffice
from booking_svc.concert_bookings import ConcertBookings
from booking_svc.counts import Counts
from booking_svc.holds import Holds
from booking_svc.inventory import Inventory
from booking_svc.new_terms import NewTerms
from booking_svc.news_desk import NewsDesk
from booking_svc.retelling import Retelling
from booking_svc.rollouts import Rollouts
from booking_svc.scripts import Scripts
from booking_svc.shop_window import ShopWindow
from booking_svc.stocktake import Stocktake
from booking_svc.terms import Terms
from booking_svc.withholding import Withholding
from rabbitmq import database, redis_server
from rabbitmq.database import Document


class Stores:
    """The service's servers, opened once per process."""

    def __init__(self, mongo: Database[Document], scans: Database[Document], redis: Redis, overdue: timedelta) -> None:
        self._mongo = mongo
        self._redis = redis
        scripts = Scripts(redis)
        self.holds, self.counts = Holds(scripts), Counts(scripts)
        self.bookings, self.scanned, self.terms = Bookings(mongo), Bookings(scans), Terms(mongo)
        stocktake = Stocktake(self.counts, self.scanned, self.terms)
        self.inventory = Inventory(self.holds, self.bookings, self.terms, stocktake)
        self.retelling = Retelling(self.bookings, overdue)
        withholding, self.rollouts = Withholding(scripts), Rollouts(mongo)
        self.new_terms = NewTerms(self.inventory, stocktake, self.terms, withholding)
        self.concert_bookings = ConcertBookings(scans)
        self.news_desk = NewsDesk(self.rollouts, self.concert_bookings, self.terms)
        self.shop_window = ShopWindow(self.holds, self.inventory)
        self.box_office = BoxOffice(self.inventory, self.holds, self.bookings, self.terms)

    def ping(self) -> dict[str, str]:
        """The state of each server."""
        return {"inventory": redis_server.state(self._redis), "mongodb": database.state(self._mongo)}


class StoresProvider(DependencyProvider):
    """Gives the service its stores; indexes and validators stand before the first request."""

    def setup(self) -> None:
        uri, redis_url = self.container.config["MONGO_URI"], self.container.config["REDIS_URL"]
        mongo, scans = (database.connect(uri, "booking_svc", scans=scans) for scans in (False, True))
        overdue = timedelta(seconds=float(self.container.config["CONFIRMATION_OVERDUE"]))
        self._stores = Stores(mongo, scans, redis_server.connect(redis_url), overdue)

    def get_dependency(self, worker_ctx: Any) -> Stores:
        return self._stores

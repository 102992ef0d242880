"""What one booking_svc process works with, without Nameko."""

from collections.abc import Mapping
from datetime import timedelta

from pymongo.database import Database
from redis import Redis

from booking_svc.dependencies import Stores
from rabbitmq.database import Document


class Process(Stores):
    """The stores of a process, on the servers of the run."""

    def __init__(self, redis: Redis, mongo: Database[Document]) -> None:
        super().__init__(mongo, mongo, redis, timedelta(minutes=10))
        self.redis = redis

    def available(self, concert_id: str) -> Mapping[str, int]:
        return {t["code"]: t["available"] for t in self.inventory.availability(concert_id)["ticket_types"]}

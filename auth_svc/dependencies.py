"""What auth_svc needs from Nameko and the servers."""

from typing import Any

from nameko.extensions import DependencyProvider
from pymongo.database import Database
from redis import Redis

from auth_svc import passwords
from auth_svc.audit_log import AuditLog
from auth_svc.contract import EmailTaken
from auth_svc.sessions import Sessions
from auth_svc.tries import Tries
from auth_svc.users import Users
from rabbitmq import database, redis_server
from rabbitmq.database import Document


class Stores:
    """The service's servers, opened once per process."""

    def __init__(self, mongo: Database[Document], redis: Redis, limit_addresses: bool = True) -> None:
        self._mongo = mongo
        self._redis = redis
        self.users = Users(mongo)
        self.sessions = Sessions(redis)
        self.tries = Tries(redis, limit_addresses)
        self.audit_log = AuditLog(mongo)

    def ping(self) -> dict[str, str]:
        """The state of each server."""
        return {"sessions": redis_server.state(self._redis), "mongodb": database.state(self._mongo)}

    def ensure_admin(self, email: str, password: str) -> None:
        """The first admin exists; one who is there keeps their password."""
        if self.users.with_email(email) is None:
            try:
                self.users.add_verified(
                    email, "Administrator", passwords.hash_password(password), ["customer", "admin"]
                )
            except EmailTaken:  # another process was faster
                pass


class StoresProvider(DependencyProvider):
    """Gives the service its stores; indexes, validators and the first admin stand before the first request."""

    def setup(self) -> None:
        config = self.container.config
        self._stores = Stores(
            database.connect(config["MONGO_URI"], "auth_svc"),
            redis_server.connect(config["SESSION_REDIS_URL"], decode_responses=True),
            limit_addresses=str(config.get("RATELIMIT_ENABLED", "")).lower() != "false",
        )
        if config["ADMIN_EMAIL"] and config["ADMIN_PASSWORD"]:
            self._stores.ensure_admin(config["ADMIN_EMAIL"], config["ADMIN_PASSWORD"])

    def get_dependency(self, worker_ctx: Any) -> Stores:
        return self._stores

"""The auth service: its use cases, one method each. contract.py says what they promise."""

import logging
from contextlib import suppress
from typing import Any

from auth_svc import password_rules, passwords
from auth_svc.contract import (
    CREDENTIALS_CHANGED,
    ActiveSession,
    AuditPage,
    BadCredentials,
    Contact,
    EmailTaken,
    Login,
    Origin,
    Role,
    SessionEnded,
    SessionNotFound,
    TooManyTries,
    User,
    UserNotFound,
    WeakPassword,
)
from auth_svc.dependencies import StoresProvider
from auth_svc.sessions import TokenReused
from auth_svc.users import UserDocument, as_user, is_erased, version_of
from rabbitmq.entrypoints import Redelivered, RequestId, event_handler, rpc
from rabbitmq.logs import fields
from rabbitmq.outbox import Envelope

log = logging.getLogger(__name__)


class AuthService:
    name = "auth_svc"

    stores = StoresProvider()
    request_id = RequestId()
    redelivered = Redelivered()

    @rpc(sensitive_arguments="password")
    def register(self, email: str, password: str, name: str, origin: Origin) -> Login:
        _refuse_weak("password", password, email)
        hashed = passwords.hash_password(password)
        try:
            user = self.stores.users.add(email, name, hashed, ["customer"], self.request_id)
        except EmailTaken:
            user = self._registered_before(email, password)
        self._note("registered", origin, user["_id"], user["_id"])
        self.stores.tries.welcome(email, origin["address"])
        return self._begin_session(user, origin)

    @rpc(sensitive_arguments="password")
    def login(self, email: str, password: str, origin: Origin) -> Login:
        user = self.stores.users.with_email(email)
        self._check_password("login", email, password, user, origin)
        assert user is not None
        if passwords.is_outdated(user["password_hash"]):
            self.stores.users.rehash(user, passwords.hash_password(password))
        login = self._begin_session(user, origin)
        self._note("logged_in", origin, user["_id"], user["_id"])
        return login

    @rpc(sensitive_arguments="refresh_id")
    def refresh(self, session_id: str, refresh_id: str, origin: Origin) -> Login:
        try:
            rotated = self.stores.sessions.rotate(session_id, refresh_id, origin)
        except TokenReused as reused:
            self._note("refresh_token_reused", origin, reused.args[0], None)
            raise SessionEnded from reused
        user = self.stores.users.get_even_erased(rotated.user_id)
        if rotated.credentials_version < version_of(user):  # Redis was rolled back, or we are in the middle of it
            self.stores.sessions.end_older(user["_id"], version_of(user))
            raise SessionEnded
        return Login(user=as_user(user), session=rotated.session)

    @rpc
    def logout(self, user_id: str, session_id: str, origin: Origin) -> None:
        self.stores.sessions.end(user_id, session_id)
        self._note("logged_out", origin, user_id, user_id)

    @rpc
    def list_sessions(self, user_id: str) -> list[ActiveSession]:
        return self.stores.sessions.of(user_id)

    @rpc
    def end_session(self, user_id: str, session_id: str, origin: Origin) -> None:
        self.stores.sessions.end(user_id, session_id)
        self._note("session_ended", origin, user_id, user_id)

    @rpc
    def end_all_sessions(self, user_id: str, origin: Origin) -> None:
        self.stores.sessions.end_all(user_id)
        self._note("all_sessions_ended", origin, user_id, user_id)

    @rpc
    def get_profile(self, user_id: str) -> User:
        return as_user(self.stores.users.get(user_id))

    @rpc
    def update_profile(self, user_id: str, name: str) -> User:
        return as_user(self.stores.users.rename(user_id, name))

    @rpc(sensitive_arguments=("current_password", "new_password"))
    def change_password(self, user_id: str, current_password: str, new_password: str, origin: Origin) -> None:
        user = self.stores.users.get(user_id)
        _refuse_weak("new_password", new_password, user["email"])
        if not (self.redelivered and passwords.verify(new_password, user["password_hash"])):  # done, and not answered
            self._check_password("password_change", user["email"], current_password, user, origin)
            hashed = passwords.hash_password(new_password)
            user = self.stores.users.change_password(user, hashed, self.request_id)
        self.stores.sessions.end_older(user_id, version_of(user))
        self._note("password_changed", origin, user_id, user_id)

    @rpc
    def request_password_reset(self, email: str, origin: Origin) -> None:
        if self.stores.tries.may_mail("reset", email):
            user = self.stores.users.with_email(email)
            self.stores.users.begin_reset(user, self.request_id)
            self._note("password_reset_requested", origin, user and user["_id"], None)

    @rpc(sensitive_arguments=("token", "new_password"))
    def reset_password(self, token: str, new_password: str, origin: Origin) -> None:
        user = self.stores.users.with_reset_token(token)
        _refuse_weak("new_password", new_password, user["email"])
        user = self.stores.users.reset_password(token, passwords.hash_password(new_password), self.request_id)
        self.stores.sessions.end_older(user["_id"], version_of(user))
        self.stores.tries.welcome(user["email"], origin["address"])
        self._note("password_reset", origin, user["_id"], user["_id"])

    @rpc
    def request_email_verification(self, user_id: str, origin: Origin) -> None:
        user = self.stores.users.get(user_id)
        if not as_user(user)["email_verified"] and self.stores.tries.may_mail("verification", user["email"]):
            self.stores.users.begin_verification(user, self.request_id)
            self._note("email_verification_requested", origin, user_id, user_id)

    @rpc(sensitive_arguments="token")
    def verify_email(self, token: str, origin: Origin) -> None:
        user = self.stores.users.verify_email(token)
        self._note("email_verified", origin, user["_id"], user["_id"])

    @rpc
    def erase_account(self, user_id: str, actor_id: str, session_id: str, origin: Origin) -> None:
        user = self.stores.users.get_even_erased(user_id)
        if not is_erased(user):
            self.stores.sessions.require_recent_login(actor_id, session_id)
            self.stores.tries.forget_homes(user["email"])
            with suppress(UserNotFound):  # somebody else was faster
                self.stores.users.erase(user_id, self.request_id)
        self.stores.sessions.end_all(user_id)
        self._note("account_erased", origin, user_id, actor_id)
        log.info("account erased", extra=fields(user=user_id))  # a restored dump does not know it

    @rpc
    def set_roles(self, user_id: str, roles: list[Role], actor_id: str, origin: Origin) -> User:
        user = self.stores.users.set_roles(user_id, roles, self.request_id)
        self.stores.sessions.end_older(user_id, version_of(user))
        self._note("roles_changed", origin, user_id, actor_id, roles=roles)
        return as_user(user)

    @rpc
    def find_user(self, email: str, actor_id: str, origin: Origin) -> User:
        user = self.stores.users.with_email(email)
        if user is None:
            raise UserNotFound
        self._note("user_found", origin, user["_id"], actor_id)
        return as_user(user)

    @event_handler("auth_svc", CREDENTIALS_CHANGED)
    def end_older_sessions(self, event: Envelope) -> None:
        """Whoever changed them ended the sessions, unless they were killed in between, or Redis was away."""
        self.stores.sessions.end_older(event["data"]["user_id"], event["data"]["credentials_version"])

    @rpc
    def record_denial(self, user_id: str, what: str, origin: Origin) -> None:
        self._note("access_denied", origin, user_id, user_id, what=what)

    @rpc
    def list_audit_entries(self, user_id: str | None, event: str | None, limit: int, cursor: str | None) -> AuditPage:
        return self.stores.audit_log.page(user_id, event, limit, cursor)

    @rpc
    def get_contact(self, user_id: str) -> Contact:
        user = self.stores.users.get(user_id)
        return Contact(email=user["email"], name=user["name"])

    @rpc
    def get_contacts(self, user_ids: list[str]) -> dict[str, Contact]:
        return {
            user["_id"]: Contact(email=user["email"], name=user["name"])
            for user in self.stores.users.with_ids(user_ids)
        }

    @rpc
    def ping(self) -> dict[str, str]:
        return self.stores.ping()

    def _check_password(self, what: str, email: str, password: str, user: UserDocument | None, origin: Origin) -> None:
        """
        Raises:
            BadCredentials: there is no user, or the password is not theirs.
            TooManyTries, Unavailable: it was not looked at.
        """
        user_id, hashed = (None, None) if user is None else (user["_id"], user["password_hash"])
        try:
            with self.stores.tries.counted(email, origin["address"]):
                if not passwords.verify(password, hashed):
                    raise BadCredentials
        except BadCredentials:
            self._note(f"{what}_failed", origin, user_id, None)
            raise
        except TooManyTries as refusal:
            if refusal.args[1]:  # the first since the last try
                self._note(f"{what}_delayed", origin, user_id, None)
            raise

    def _registered_before(self, email: str, password: str) -> UserDocument:
        """
        The user whom the process before us registered and died before it answered.

        Raises:
            EmailTaken: it was somebody else.
        """
        user = self.stores.users.with_email(email)
        if not self.redelivered or user is None or not passwords.verify(password, user["password_hash"]):
            raise EmailTaken
        return user

    def _begin_session(self, user: UserDocument, origin: Origin) -> Login:
        """
        Raises:
            SessionEnded: the password or the roles that *user* was read with have changed since.
        """
        session = self.stores.sessions.begin(user["_id"], user["roles"], version_of(user), origin)
        # Whoever changes them does so first and ends sessions then: either they find this one, or we find the change.
        if self.stores.users.version(user["_id"]) != version_of(user):
            with suppress(SessionNotFound):  # the news of the change was faster
                self.stores.sessions.end(user["_id"], session["id"])
            self.stores.tries.forget_homes(user["email"])  # the login was one, and the account may have been erased
            raise SessionEnded
        return Login(user=as_user(user), session=session)

    def _note(self, event: str, origin: Origin, user_id: str | None, actor_id: str | None, **details: Any) -> None:
        self.stores.audit_log.add(event, user_id, actor_id, origin, self.request_id, details)


def _refuse_weak(field: str, password: str, email: str) -> None:
    """
    Raises:
        WeakPassword: its arguments are the field, and what weakness it is.
    """
    weakness = password_rules.weakness(password, email)
    if weakness is not None:
        raise WeakPassword(field, weakness)

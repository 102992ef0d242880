"""What auth_svc promises its callers: methods, shapes, refusals, and where sessions lie. Standard library only."""

from typing import Any, Literal, Protocol, TypedDict

Role = Literal["customer", "organiser", "admin"]
ROLES: tuple[Role, ...] = ("customer", "organiser", "admin")

#: Events. Their `token`, which comes by mail, is a secret: no tool and no log shows it.
PASSWORD_RESET_REQUESTED = "password_reset_requested"
EMAIL_VERIFICATION_REQUESTED = "email_verification_requested"
CREDENTIALS_CHANGED = "credentials_changed"


class MailedToken(TypedDict):
    """The data of `password_reset_requested` and `email_verification_requested`."""

    user_id: str
    token: str  #: good once
    expires_at: str


class CredentialsChanged(TypedDict):
    """The data of `credentials_changed`: of another password or other roles. Older sessions end."""

    user_id: str
    credentials_version: int


class Origin(TypedDict):
    """Where a request comes from."""

    address: str  #: IP
    device: str  #: what the client calls itself


class User(TypedDict):
    id: str
    email: str
    email_verified: bool
    name: str
    roles: list[Role]
    created_at: str


class Session(TypedDict):
    """One device's login. Both ids are unguessable."""

    id: str
    refresh_id: str  #: the one refresh token that is good now
    refreshed_at: int  #: since when, in seconds since 1970


class Login(TypedDict):
    user: User
    session: Session


class ActiveSession(TypedDict):
    """A session as its user sees it."""

    id: str
    device: str
    address: str
    created_at: str
    last_seen_at: str


class Contact(TypedDict):
    email: str
    name: str


class AuditEntry(TypedDict):
    """A security event: what happened to whom, by whom, from where. Never a password, token or other secret."""

    id: str
    at: str
    event: str
    user_id: str | None  #: whose account; None: of nobody we know
    actor_id: str | None  #: who did it; None: somebody who had not proved who they are
    address: str | None
    device: str | None
    request_id: str | None
    details: dict[str, Any]


class AuditPage(TypedDict):
    items: list[AuditEntry]
    next_cursor: str | None


def session_key(session_id: str) -> str:
    """
    The Redis hash of a session: `user_id`, `roles` (space-separated) and what only auth_svc needs.

    It exists as long as the session is good. auth_svc writes it; the gateway reads `user_id` and `roles`.
    """
    return f"session:{session_id}"


def sessions_key(user_id: str) -> str:
    """
    The Redis sorted set of a user's sessions: id, by when it was last seen (seconds since 1970).

    auth_svc adds and removes; the gateway moves those that are there (ZADD XX).
    """
    return f"sessions:{user_id}"


class AuthService(Protocol):
    """The RPC methods. Each may also raise `Unavailable` (rabbitmq.errors)."""

    def register(self, email: str, password: str, name: str, origin: Origin) -> Login:
        """
        A new customer, logged in. Tells `email_verification_requested`.

        Raises:
            EmailTaken, WeakPassword
        """

    def login(self, email: str, password: str, origin: Origin) -> Login:
        """
        Begin a session. An unknown address and a wrong password are the same, and take as long.

        Raises:
            BadCredentials
            TooManyTries: the password was not looked at.
            SessionEnded: password or roles changed at the same moment; log in again.
        """

    def refresh(self, session_id: str, refresh_id: str, origin: Origin) -> Login:
        """
        Exchange a refresh token for its successor, once.

        The same client gets the same successor again for ten seconds, since the answer may have been lost.
        Used again otherwise, it ends the session.

        Raises:
            SessionEnded
        """

    def logout(self, user_id: str, session_id: str, origin: Origin) -> None:
        """End the session, at once and for ever."""

    def list_sessions(self, user_id: str) -> list[ActiveSession]:
        """The user's sessions, the one last seen first."""

    def end_session(self, user_id: str, session_id: str, origin: Origin) -> None:
        """
        End one of the user's sessions, at once and for ever.

        Raises:
            SessionNotFound: the user has no such session.
        """

    def end_all_sessions(self, user_id: str, origin: Origin) -> None:
        """End all the user's sessions, at once and for ever."""

    def get_profile(self, user_id: str) -> User:
        """
        Raises:
            UserNotFound
        """

    def update_profile(self, user_id: str, name: str) -> User:
        """
        Raises:
            UserNotFound
        """

    def change_password(self, user_id: str, current_password: str, new_password: str, origin: Origin) -> None:
        """
        Set another password and end every session of the user.

        Raises:
            BadCredentials: *current_password* is not the user's.
            TooManyTries: it was not looked at.
            WeakPassword, UserNotFound
        """

    def request_password_reset(self, email: str, origin: Origin) -> None:
        """
        Tell `password_reset_requested` if somebody has this address, at most five times an hour.

        What is answered, and how soon, does not tell whether somebody has. A newer token replaces the older one.
        """

    def reset_password(self, token: str, new_password: str, origin: Origin) -> None:
        """
        Set another password by a token that came by mail, and end every session of the user.

        Raises:
            InvalidToken: it has been used, replaced, or is older than 30 minutes.
            WeakPassword: the token stays good.
        """

    def request_email_verification(self, user_id: str, origin: Origin) -> None:
        """
        Tell `email_verification_requested` again, unless the address is verified; at most five times an hour.

        Raises:
            UserNotFound
        """

    def verify_email(self, token: str, origin: Origin) -> None:
        """
        The user has read the mail that *token* came by.

        Raises:
            InvalidToken: it has been used, replaced, or is older than a day.
        """

    def erase_account(self, user_id: str, actor_id: str, session_id: str, origin: Origin) -> None:
        """
        Forget who the user is, and end every session: name, address and password are gone. The id stays, and with it
        what was booked. Repeated, it changes nothing. Whoever does it (*actor_id*) has this session.

        Raises:
            LoginTooOld: the session was begun more than 15 minutes ago.
            HasDuties: the user is an organiser or an admin.
            SessionNotFound: the actor has no such session.
            UserNotFound: there has never been such a user.
        """

    def set_roles(self, user_id: str, roles: list[Role], actor_id: str, origin: Origin) -> User:
        """
        Give the user these roles and end their sessions, which carry the old ones.

        Raises:
            UserNotFound
        """

    def find_user(self, email: str, actor_id: str, origin: Origin) -> User:
        """
        Whose address this is, in any spelling of case.

        Raises:
            UserNotFound
        """

    def record_denial(self, user_id: str, what: str, origin: Origin) -> None:
        """Write into the audit log that the user asked for *what*, which their role does not allow."""

    def list_audit_entries(self, user_id: str | None, event: str | None, limit: int, cursor: str | None) -> AuditPage:
        """The audit log, newest first; of one user or one kind of event if these are given."""

    def get_contact(self, user_id: str) -> Contact:
        """
        Where the user's mail goes.

        Raises:
            UserNotFound
        """

    def get_contacts(self, user_ids: list[str]) -> dict[str, Contact]:
        """The names and addresses of these users; who is gone is left out."""

    def ping(self) -> dict[str, str]:
        """The state of each of the service's own servers, by its name: "ok", or what is the matter."""


class Refusal(Exception):
    """The request was fine, the state says no."""

    def __str__(self) -> str:
        return str(type(self).__doc__)


class EmailTaken(Refusal):
    """Somebody has registered with this e-mail address."""


class BadCredentials(Refusal):
    """The e-mail address and the password do not belong together."""


class TooManyTries(Refusal):
    """There were too many tries; wait before the next one."""


class WeakPassword(Refusal):
    """The password is too easy to guess."""


class InvalidToken(Refusal):
    """The token has been used, replaced, or has expired."""


class SessionEnded(Refusal):
    """The session has ended; log in again."""


class SessionNotFound(Refusal):
    """There is no such session."""


class LoginTooOld(Refusal):
    """You logged in more than 15 minutes ago; for what cannot be undone, log in again."""


class HasDuties(Refusal):
    """The account of an organiser or an admin cannot be erased; an admin takes these roles away first."""


class UserNotFound(Refusal):
    """There is no such user."""

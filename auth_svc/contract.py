"""What auth_svc promises its callers: methods, shapes, refusals, and where sessions lie. Standard library only."""

from typing import Literal, Protocol, TypedDict

Role = Literal["customer", "organiser", "admin"]
ROLES: tuple[Role, ...] = ("customer", "organiser", "admin")


class User(TypedDict):
    id: str
    email: str
    name: str
    roles: list[Role]
    created_at: str


class Session(TypedDict):
    """One device's login. Both ids are unguessable."""

    id: str
    refresh_id: str  #: the one refresh token that is good now


class Login(TypedDict):
    user: User
    session: Session


class Contact(TypedDict):
    email: str
    name: str


def session_key(session_id: str) -> str:
    """
    The Redis hash of a session: `user_id`, `roles` (space-separated), `refresh_id`, `device`, `created_at`.

    It exists as long as the session is good. auth_svc writes it; the gateway reads `user_id` and `roles`.
    """
    return f"session:{session_id}"


class AuthService(Protocol):
    """The RPC methods. Each may also raise `Unavailable` (rabbitmq.errors)."""

    def register(self, email: str, password: str, name: str, device: str) -> Login:
        """
        A new customer, logged in.

        Raises:
            EmailTaken
        """

    def login(self, email: str, password: str, device: str) -> Login:
        """
        Raises:
            BadCredentials
        """

    def refresh(self, session_id: str, refresh_id: str) -> Login:
        """
        Exchange a refresh token for its successor. A token used twice ends the session.

        Raises:
            SessionEnded
        """

    def logout(self, session_id: str) -> None:
        """End the session, at once and for ever."""

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

    def set_roles(self, user_id: str, roles: list[Role]) -> User:
        """
        Give the user these roles and end their sessions, which carry the old ones.

        Raises:
            UserNotFound
        """

    def get_contact(self, user_id: str) -> Contact:
        """
        Where the user's mail goes.

        Raises:
            UserNotFound
        """

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


class SessionEnded(Refusal):
    """The session has ended; log in again."""


class UserNotFound(Refusal):
    """There is no such user."""

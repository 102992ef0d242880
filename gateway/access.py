"""Who may call a route. Every route says so, innermost of its decorators; one that does not is not served."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

from auth_svc.contract import Role

View = TypeVar("View", bound=Callable[..., Any])

#: The rates in the setting RATES. A route counts as a read or a write by its method, unless it says otherwise.
Rate = Literal["reads", "writes", "accounts"]


#: The names of the tokens in the OpenAPI document.
SCHEMES = {"access": "bearer", "maybe": "bearer", "refresh": "refresh_token"}


class Access(NamedTuple):
    """What a caller must bring."""

    token: Literal["access", "maybe", "refresh"] | None
    roles: tuple[Role, ...] = ()  #: one of these; none means any
    rate: Rate | None = None

    def as_openapi(self) -> dict[str, Any]:
        """The route's part of the OpenAPI document: `security`, and the roles as `x-roles`."""
        security: list[dict[str, list[str]]] = [{SCHEMES[self.token]: []}] if self.token else []
        if self.token == "maybe":
            security.insert(0, {})
        return {"security": security, **({"x-roles": list(self.roles)} if self.roles else {})}


class UndeclaredRoute(Exception):
    """A route does not say who may call it: it needs @anyone(), @signed_in() or @with_refresh_token()."""


def anyone(rate: Rate | None = None) -> Callable[[View], View]:
    """The route is for everybody."""
    return _declare(Access(None, rate=rate))


def maybe_signed_in(rate: Rate | None = None) -> Callable[[View], View]:
    """The route is for everybody, and `sessions.identity_if_any()` tells who, if a token came. A bad one is refused."""
    return _declare(Access("maybe", rate=rate))


def signed_in(*roles: Role, rate: Rate | None = None) -> Callable[[View], View]:
    """The route is for signed-in users, of one of *roles* if there are any; `sessions.identity()` tells who."""
    return _declare(Access("access", roles, rate))


def with_refresh_token(rate: Rate | None = None) -> Callable[[View], View]:
    """The route is for whoever has a refresh token; `sessions.refresh_claims()` tells of which session."""
    return _declare(Access("refresh", rate=rate))


def declared(view: Callable[..., Any] | None) -> Access:
    """
    What *view* says of its callers.

    Raises:
        UndeclaredRoute: nothing.
    """
    access = getattr(view, "access", None)
    if not isinstance(access, Access):
        raise UndeclaredRoute(getattr(view, "__name__", "None"))
    return access


def _declare(access: Access) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        view.access = access  # type: ignore[attr-defined]  # functools.wraps carries it outwards
        return view

    return decorate

"""What may go wrong between two processes, whatever they talk about."""


class Unavailable(Exception):
    """A part of the platform does not answer; the same request may be sent again."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else str(type(self).__doc__)


class AlreadyHandled(Exception):
    """This event has had its effect before, or is out of date: nothing was done, and nothing is wrong."""


class Expired(Exception):
    """Its caller had gone before the request's turn came; nothing was done."""

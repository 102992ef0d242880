"""What may go wrong between two processes, whatever they talk about."""


class Unavailable(Exception):
    """A part of the platform does not answer; the same request may be sent again."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else str(type(self).__doc__)

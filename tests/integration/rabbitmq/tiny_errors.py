"""The refusals of the tiny service."""


class Refusal(Exception):
    """The root of a tiny contract."""


class Refused(Refusal):
    """The tiny service refuses."""

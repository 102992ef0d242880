"""E-mail addresses, in the one form in which they are stored and compared."""


def normalise(email: str) -> str:
    """*email* in lower case, without the spaces around it."""
    return email.strip().lower()

"""Where a request comes from."""

from flask import request

from auth_svc.contract import Origin

LONGEST_DEVICE = 200


def origin() -> Origin:
    """The client's address, by way of as many proxies as are trusted, and what it calls itself."""
    device = "".join(filter(str.isprintable, request.headers.get("User-Agent", "")))
    return Origin(address=request.remote_addr or "unknown", device=device[:LONGEST_DEVICE] or "unknown")

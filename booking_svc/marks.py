"""
Marks: how the inventory calls who owns something, in eight printable bytes. Pure.

A mark is 48 bits of the hash of a hold's or a booking's id, which tell the owners of one concert apart.
"""

import base64
import hashlib

#: Bytes of a mark.
SIZE = 8
#: The marks of units that nobody owns: of a free one, of unit 0, of a seat that is never sold.
NOBODY, ORIGIN, BLOCKED = bytes(SIZE), b"........", b"blocked!"


def mark_of(owner: str) -> str:
    """The mark of the hold or booking whose id is *owner*."""
    return base64.urlsafe_b64encode(hashlib.blake2b(owner.encode(), digest_size=6).digest()).decode()

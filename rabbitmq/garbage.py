"""Python's garbage collector: it looks at what requests leave behind, not again and again at what was there before."""

import gc

#: Objects made and not given back until it looks. A request leaves a few that refer to each other.
UNTIL_LOOKED_AT = 20_000


def settle() -> None:
    """To be called when a process has loaded all that it needs: nothing of that is looked at any more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(UNTIL_LOOKED_AT, 20, 20)

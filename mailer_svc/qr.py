"""QR codes: as a picture for a mail, and as runs of dark modules for paper."""

import io
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby

import segno

#: Modules of white around the code that a scanner needs.
QUIET = 4
#: A code of this level is read with a seventh of it dirty or torn.
LEVEL = "m"
#: Which of the eight masks is best differs with plain text only: signed text looks random under each of them. Trying
#: all eight takes five times as long.
MASK = 3

Matrix = Sequence[Sequence[int]]


def png(text: str, scale: int = 4) -> bytes:
    """The code as a PNG of *scale* pixels a module, black on white."""
    picture = io.BytesIO()
    _code(text).save(picture, kind="png", scale=scale, border=QUIET)
    return picture.getvalue()


def matrix(text: str) -> Matrix:
    """The code's modules row by row, the quiet zone included; 1 is dark."""
    return tuple(tuple(row) for row in _code(text).matrix_iter(border=QUIET))


def dark_runs(modules: Matrix) -> Iterator[tuple[int, int, int]]:
    """The dark modules as (column, row, length of the run), counted from the upper left."""
    for row, line in enumerate(modules):
        column = 0
        for dark, run in groupby(line):
            length = len(list(run))
            if dark:
                yield column, row, length
            column += length


@lru_cache(maxsize=128)  # a mail shows each code twice
def _code(text: str) -> segno.QRCode:
    return segno.make(text, error=LEVEL, micro=False, boost_error=False, mask=MASK)

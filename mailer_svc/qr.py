"""QR codes: as a picture for a mail, and as runs of dark modules for paper."""

import io
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby

import segno
from PIL import Image

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
    modules = matrix(text)
    side, file = len(modules), io.BytesIO()
    picture = Image.frombytes("L", (side, side), bytes(0 if dark else 255 for row in modules for dark in row))
    picture.convert("1").resize((side * scale, side * scale), Image.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()


def matrix(text: str) -> Matrix:
    """The code's modules row by row, the quiet zone included; 1 is dark."""
    code = _code(text).matrix
    white = (0,) * QUIET
    above = ((0,) * (len(code) + 2 * QUIET),) * QUIET
    return (*above, *((*white, *row, *white) for row in code), *above)


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

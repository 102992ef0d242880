"""Text on a PDF page: fonts for what people write, and lines that fit."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

FONTS = Path(__file__).parent / "fonts"
REGULAR, BOLD = "NotoSans", "NotoSans-Bold"
#: Not in the file: every PDF reader brings such fonts along. For Chinese and Japanese, and for Korean.
HAN, HANGUL = "STSong-Light", "HYGothic-Medium"
#: What stands for a character that no font has.
UNKNOWN = "?"
ELLIPSIS = "…"

_embedded = {REGULAR: TTFont(REGULAR, FONTS / "NotoSans-Regular.ttf"), BOLD: TTFont(BOLD, FONTS / "NotoSans-Bold.ttf")}
for _font in (*_embedded.values(), UnicodeCIDFont(HAN), UnicodeCIDFont(HANGUL)):
    pdfmetrics.registerFont(_font)

Run = tuple[str, str]  #: (font, text)


@lru_cache(maxsize=2048)  # most of a ticket says the same as the one before
def runs(text: str, font: str) -> Sequence[Run]:
    """*text* in pieces, each with a font that has its characters: *font* where it can be."""
    pieces: list[Run] = []
    for character in text:
        its_font, shown = _font_of(character, font)
        if pieces and pieces[-1][0] == its_font:
            pieces[-1] = (its_font, pieces[-1][1] + shown)
        else:
            pieces.append((its_font, shown))
    return pieces


def _font_of(character: str, font: str) -> Run:
    if ord(character) in _embedded[font].face.charToGlyph:
        return font, character
    if "\uac00" <= character <= "\ud7a3" or "\u1100" <= character <= "\u11ff":
        return HANGUL, character
    if "\u2e80" <= character <= "\u9fff" or "\uf900" <= character <= "\uffef":
        return HAN, character
    return font, UNKNOWN


def width(text: str, font: str, size: float) -> float:
    return sum(pdfmetrics.stringWidth(piece, its_font, size) for its_font, piece in runs(text, font))


def draw(canvas: Canvas, x: float, y: float, text: str, font: str, size: float) -> None:
    """Write *text* on the base line *y*, beginning at *x*."""
    for its_font, piece in runs(text, font):
        canvas.setFont(its_font, size)
        canvas.drawString(x, y, piece)
        x += pdfmetrics.stringWidth(piece, its_font, size)


def lines(text: str, font: str, size: float, room: float, most: int) -> list[str]:
    """*text* in at most so many lines, none longer than *room*; what does not fit is told by an ellipsis."""
    filled: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if width(longer, font, size) <= room:
            line = longer
            continue
        if line:
            filled.append(line)
        line = word
        while width(line, font, size) > room:  # one word longer than a line
            cut = _longest(line, font, size, room)
            filled.append(line[:cut])
            line = line[cut:]
    filled.append(line)
    if len(filled) <= most:
        return filled
    last = filled[most - 1]
    while last and width(last + ELLIPSIS, font, size) > room:
        last = last[:-1]
    return [*filled[: most - 1], last.rstrip() + ELLIPSIS]


def _longest(word: str, font: str, size: float, room: float) -> int:
    """How many characters of *word* fit, at least one."""
    cut = 1
    while cut < len(word) and width(word[: cut + 1], font, size) <= room:
        cut += 1
    return cut


def paragraph(
    canvas: Canvas, x: float, y: float, text: str, font: str, size: float, room: float, most: int, leading: float = 1.35
) -> float:
    """Write *text* from *y* downwards within *room*; gives the base line after it."""
    for line in lines(text, font, size, room, most):
        draw(canvas, x, y, line, font, size)
        y -= size * leading
    return y

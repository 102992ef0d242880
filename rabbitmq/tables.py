"""Tables for a terminal."""

from collections.abc import Iterable, Sequence

from rabbitmq.redaction import one_line


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """*rows* under *heads*, in columns; numbers to the right."""
    columns = zip(heads, *rows, strict=True)
    return "\n".join("  ".join(line).rstrip() for line in zip(*map(_aligned, columns), strict=True))


def _aligned(column: Sequence[object]) -> list[str]:
    cells = [one_line(cell) for cell in column]
    width = max(map(len, cells))
    to_the_right = all(isinstance(cell, int) for cell in column[1:])
    return [cell.rjust(width) if to_the_right else cell.ljust(width) for cell in cells]

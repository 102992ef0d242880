"""A concert that has moved: what its buyers were told, line by line, and what is so now. Pure."""

from typing import Any, NamedTuple

from mailer_svc.wording import Wording, place


class Line(NamedTuple):
    """A fact as it is shown, then and now; None: there is none."""

    was: str | None
    now: str | None

    @property
    def changed(self) -> bool:
        return self.was != self.now


class Move(NamedTuple):
    kind: str  #: which text says what has changed: `time`, `doors`, `place`, `time_and_place`
    lines: list[Line]


def move(was: dict[str, Any], now: dict[str, Any], wording: Wording) -> Move:
    """From *was* to *now*, two concert summaries. Doors are a line only where their time has changed."""
    start, where, doors = (
        Line(show(was), show(now))
        for show in (
            lambda concert: wording.moment(concert["starts_at"], concert["venue"]),
            lambda concert: place(concert["venue"]),
            lambda concert: _doors(concert, wording),
        )
    )
    kind = "place"  # a change that no line shows is one of the venue, such as its country
    if start.changed or doors.changed:
        kind = "time_and_place" if where.changed else "time" if start.changed else "doors"
    return Move(kind, [start, where, *([doors] if doors.changed else [])])


def _doors(concert: dict[str, Any], wording: Wording) -> str | None:
    if not concert["doors_at"]:
        return None
    return f"{wording('doors')}: {wording.moment(concert['doors_at'], concert['venue'])}"

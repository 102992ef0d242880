"""What a run found, kept as JSON."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.growth import Point
from bench.measure import Measured
from bench.soak import Look
from bench.yardstick import Yardstick


@dataclass
class Results:
    """All that was measured; what was not asked for is empty."""

    machine: dict[str, Any]
    yardstick: Yardstick | None = None
    #: By number of connections.
    table: dict[int, list[Measured]] = field(default_factory=dict)
    #: At about 70 % of the rate that the same scenario had without pauses.
    paced: list[Measured] = field(default_factory=list)
    #: When nothing else happens.
    mails: list[Measured] = field(default_factory=list)
    curves: dict[str, list[Point]] = field(default_factory=dict)
    soak: list[Look] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)  #: bytes, by program, at the end
    backlog: dict[str, int] = field(default_factory=dict)  #: what waited for relay and mailer at the end
    is_sound: bool = False  #: every audit, and there was one, found all invariants to hold

    def tables(self) -> dict[str, list[Measured]]:
        """What can be shown in tables, by what each is about."""
        sized = {
            name: [replace(one, scenario=f"{size:,}") for size, one in points] for name, points in self.curves.items()
        }
        tables = {
            **{f"{number} connections": row for number, row in self.table.items()},
            "What a mail takes": self.mails,
            "With rests between requests": self.paced,
            **sized,
            "Minutes of bookings": [replace(look.measured, scenario=f"{look.at:.0f} s") for look in self.soak],
        }
        return {title: rows for title, rows in tables.items() if rows}

    def write(self, file: Path) -> None:
        """Keep them in *file*."""
        told = {
            **vars(self),
            "yardstick": self.yardstick and self.yardstick._asdict(),
            "table": {number: [one.as_json() for one in row] for number, row in self.table.items()},
            "mails": [one.as_json() for one in self.mails],
            "paced": [one.as_json() for one in self.paced],
            "curves": {
                name: [{"size": size, **one.as_json()} for size, one in points] for name, points in self.curves.items()
            },
            "soak": [{"at": look.at, "memory": look.memory, **look.measured.as_json()} for look in self.soak],
        }
        file.write_text(json.dumps(told, indent=2) + "\n")

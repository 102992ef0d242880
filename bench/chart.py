"""The figures as a picture: a panel for each kind of question that was asked."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")  # no window

from matplotlib import colormaps, pyplot
from matplotlib.axes import Axes

from bench.measure import Measured
from bench.report import COLUMNS
from bench.results import Results

INK, GREY = "#1f2937", "#9ca3af"
COLOURS = dict(
    zip(
        COLUMNS,
        ("#2563eb", "#f97316", "#a78bfa", "#c4b5fd", "#db2777", "#16a34a", "#dc2626", "#6b7280", *3 * ["#d1d5db"]),
        strict=True,
    )
)
#: What stands in the background of a request, or drives it, is no part of its cost.
COUNTED = [column for column in COLUMNS if column not in ("relay", "mailer", "wrk")]
AXES = {"capacity": "tickets of the concert", "stored": "bookings stored", "concerts": "concerts on sale",
        "processes": "processes of booking_svc"}  # fmt: skip


def draw(results: Results, file: Path) -> None:
    """Write the PNG *file*."""
    panels: list[Callable[[Axes], None]] = []
    if results.table:
        most = max(results.table, key=lambda number: len(results.table[number]))
        panels += [
            lambda axes: _rates(axes, results.table[most], most),
            lambda axes: _costs(axes, results.table[most]),
        ]
    if len(results.table) > 1:
        panels.append(lambda axes: _by_connections(axes, results.table))
    panels += [_curve(name, points) for name, points in results.curves.items()]
    if results.soak:
        panels += [lambda axes: _soak_rate(axes, results.soak), lambda axes: _soak_memory(axes, results.soak)]
    if not panels:
        return
    rows = (len(panels) + 1) // 2
    look = {
        "font.size": 9, "axes.edgecolor": GREY, "text.color": INK, "axes.titleweight": "bold",
        "axes.prop_cycle": pyplot.cycler(color=colormaps["tab20"](range(20))),  # ten are not enough for all lines
    }  # fmt: skip
    with pyplot.rc_context(look):
        figure, grid = pyplot.subplots(rows, 2, figsize=(12, 3.6 * rows), squeeze=False, layout="constrained")
        for axes, panel in zip(grid.flat, panels, strict=False):
            axes.spines[["top", "right"]].set_visible(False)
            panel(axes)
        for axes in list(grid.flat)[len(panels) :]:
            axes.set_axis_off()
        figure.savefig(file, dpi=110)
        pyplot.close(figure)


def _rates(axes: Axes, measured: Sequence[Measured], connections: int) -> None:
    names = [one.scenario for one in measured]
    bars = axes.barh(names, [one.rate for one in measured], color=[COLOURS["gateway"]] * len(names))
    labels = [f"{one.rate:.0f}" + (f"  ({one.of_echo:.2f})" if one.of_echo else "") for one in measured]
    axes.bar_label(bars, labels, padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.2)
    axes.set_title(f"Answers a second (of echo), {connections} connections", loc="left")


def _costs(axes: Axes, measured: Sequence[Measured]) -> None:
    names, left = [one.scenario for one in measured], [0.0] * len(measured)
    for column in COUNTED:
        widths = [sum(one.cpu.get(program, 0.0) for program in COLUMNS[column]) for one in measured]
        axes.barh(names, widths, left=left, label=column, color=COLOURS[column])
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    usual = sorted(left)[-2] if len(left) > 1 else left[0]  # one that hashes passwords dwarfs all others
    axes.set_xlim(0, 1.25 * min(max(left), 2 * usual))
    axes.set_title("CPU a request, ms", loc="left")
    axes.legend(frameon=False, fontsize=8, loc="upper right")


def _by_connections(axes: Axes, table: Mapping[int, Sequence[Measured]]) -> None:
    numbers = sorted(table)
    for name in [one.scenario for one in table[numbers[0]]]:
        rates = [next(one.rate for one in table[number] if one.scenario == name) for number in numbers]
        axes.plot(numbers, rates, marker="o", label=name)
    axes.set_xscale("log", base=4)
    axes.set_xticks(numbers, [str(number) for number in numbers])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("connections")
    axes.set_title("Answers a second", loc="left")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))


def _curve(name: str, points: Sequence[tuple[int, Measured]]) -> Callable[[Axes], None]:
    def panel(axes: Axes) -> None:
        places = range(len(points))
        axes.plot(places, [one.cpu_in_all for _, one in points], marker="o", color=COLOURS["booking"])
        axes.set_xticks(places, [f"{size:,}" for size, _ in points])
        axes.set_ylim(0, 1.4 * max(one.cpu_in_all for _, one in points))
        for place, (_, one) in zip(places, points, strict=True):
            axes.annotate(
                f"{one.cpu_in_all:.2f} ms\n{one.of_echo or 0:.2f} of echo",
                (place, one.cpu_in_all),
                textcoords="offset points",
                xytext=(0, 6),
                ha="center",
            )
        axes.margins(x=0.1)
        axes.set_xlabel(AXES[name])
        axes.set_title("CPU a booking", loc="left")

    return panel


def _soak_rate(axes: Axes, looks: Sequence[Any]) -> None:
    axes.plot([look.at for look in looks], [look.measured.rate for look in looks], color=COLOURS["booking"])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds")
    axes.set_title("Bookings a second", loc="left")


def _soak_memory(axes: Axes, looks: Sequence[Any]) -> None:
    for program in sorted(looks[0].memory):
        axes.plot([look.at for look in looks], [look.memory[program] / 2**20 for look in looks], label=program)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds")
    axes.set_title("Memory, MiB", loc="left")
    axes.legend(frameon=False, fontsize=8, ncols=2)

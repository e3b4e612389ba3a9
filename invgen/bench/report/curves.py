"""A figure of a suite: its measure against what its tasks differ in, with the standard error as a band."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from itertools import cycle
from typing import TYPE_CHECKING

from invgen.bench.report.content import SuiteReport
from invgen.bench.summary import Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["curve_axis", "curves"]

#: ColorBrewer Dark2, and marks that tell lines apart without color.
_COLORS = ("#1b9e77", "#d95f02", "#7570b3", "#e7298a", "#66a61e", "#e6ab02", "#a6761d", "#666666")
_MARKS = "os^Dv<>Pp*Xh"


def curve_axis(suite: SuiteReport) -> str | None:
    """The first axis of its tasks with two values or more that are all numbers; None where there is none."""
    values: dict[str, set[float | str]] = defaultdict(set)
    for record in suite.records:
        for name, value in record.cell.axes.items():
            values[name].add(value)
    numeric = (n for n, v in values.items() if len(v) > 1 and not any(isinstance(x, str) for x in v))
    return next(numeric, None)


def curves(suite: SuiteReport, methods: Collection[str] = ()) -> Figure:
    """The suite's primary measure against `curve_axis`, a panel for each value of an axis of words.

    Parameters
    ----------
    suite : SuiteReport
        One that has such an axis.
    methods : collection of str
        Labels of the methods that are shown, such as "tv (tuned)"; by default every method, with its knob
        tuned where it was. A method of which not every image of a task has a result is not shown there.
    """
    from matplotlib.figure import Figure

    axis = curve_axis(suite)
    assert axis is not None, "which callers ask for"
    panels: dict[str, dict[str, list[tuple[float, Line]]]] = defaultdict(lambda: defaultdict(list))
    for task in suite.tasks:
        tuned = {row.line.cell.title for row in task.rows if row.line.cell.run == "tuned"}
        for row in task.rows:
            cell = row.line.cell
            wanted = row.label in methods if methods else cell.run == "tuned" or cell.title not in tuned
            if wanted and row.is_complete and suite.primary.name in row.line.means:
                words = ", ".join(str(v) for v in cell.axes.values() if isinstance(v, str))
                panels[words][row.label].append((float(cell.axes[axis]), row.line))
    labels = list(dict.fromkeys(label for panel in panels.values() for label in panel))
    styles = dict(zip(labels, zip(cycle(_COLORS), cycle(_MARKS), strict=False), strict=False))
    figure = Figure(figsize=(4.2 * len(panels) + 2.8, 4.2), layout="constrained")
    every = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for place, (axes, (title, panel)) in enumerate(zip(every, panels.items(), strict=True)):
        for label, points in panel.items():
            _draw(axes, label, sorted(points, key=lambda point: point[0]), suite, styles[label])
        values = sorted({x for points in panel.values() for x, _ in points})
        if values[-1] >= 4 * values[0] > 0:
            axes.set_xscale("log")
        axes.set_xticks(values, [f"{x:g}" for x in values])
        axes.minorticks_off()
        axes.set(title=title, xlabel=axis, ylabel="" if place else suite.primary.title)
        axes.grid(alpha=0.3)
    if suite.primary.measure.better == "lower":
        every[0].set_yscale("log")
    handles, names = every[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", frameon=False, fontsize=8)
    return figure


def _draw(
    axes: Axes, label: str, points: list[tuple[float, Line]], suite: SuiteReport, style: tuple[str, str]
) -> None:
    color, mark = style
    name = suite.primary.name
    places, means = [x for x, _ in points], [line.means[name] for _, line in points]
    axes.plot(places, means, color=color, marker=mark, markersize=4, linewidth=1.3, label=label)
    errors = [line.errors.get(name, 0.0) for _, line in points]
    low, high = ([m + sign * e for m, e in zip(means, errors, strict=True)] for sign in (-1, 1))
    axes.fill_between(places, low, high, color=color, alpha=0.15, linewidth=0)

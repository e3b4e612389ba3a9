"""Figures of many records: means, standard errors, and tests of whether one method is better than another.

Images are the independent unit: seeds of one image are averaged first, and errors and tests are over images.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

from invgen.bench.record import Cell, Record

__all__ = ["Comparison", "Line", "by_image", "compare", "corrected", "lines"]


@dataclass(frozen=True)
class Line:
    """What one method reached on one task, as it comes or with its knob tuned.

    Attributes
    ----------
    cell : Cell
        Of any of its records: task, axes, method, prior, package, kind, run, settings.
    images, cells : int
        The number of images, and of their cells, seeds included, that have a result.
    failures : tuple of Record
        Cells that have none.
    means, errors : mapping of str to float
        Of each measure, and of each cost; the error is the standard error of the mean over images, absent of
        fewer than two.
    """

    cell: Cell
    images: int
    cells: int
    failures: tuple[Record, ...] = ()
    means: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Two methods on the images of one task that both have a result for.

    Attributes
    ----------
    suite, task, measure : str
    first, second : str
        Titles of the methods, with "tuned" where their knob is.
    images : int
    difference, error : float
        Mean of first less second, and its standard error.
    probability : float
        Of such a difference or a larger one, if neither were better: Student's paired test, two-sided.
    """

    suite: str
    task: str
    measure: str
    first: str
    second: str
    images: int
    difference: float
    error: float
    probability: float


def lines(records: Iterable[Record]) -> list[Line]:
    """One line for each method on each task, with means over images."""
    groups: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        c = record.cell
        groups[c.suite, c.task, c.method, c.prior, c.run].append(record)
    return [_line(group) for _, group in sorted(groups.items())]


def _line(group: Sequence[Record]) -> Line:
    done = [record for record in group if not record.failed]
    names = dict.fromkeys(name for record in done for name in (*record.measures, *record.costs))
    means, errors = {}, {}
    for name in names:
        values = list(by_image(done, name).values())
        means[name] = math.fsum(values) / len(values)
        if len(values) > 1 and all(map(math.isfinite, values)):
            errors[name] = _error(values)
    return Line(
        group[0].cell,
        len({record.cell.image for record in done}),
        len(done),
        tuple(record for record in group if record.failed),
        means,
        errors,
    )


def by_image(records: Iterable[Record], name: str) -> dict[str, float]:
    """A measure or cost of each image, the mean over its seeds."""
    found: dict[str, list[float]] = defaultdict(list)
    for record in records:
        value = record.measures.get(name, record.costs.get(name))
        if value is not None:
            found[record.cell.image].append(value)
    return {image: math.fsum(values) / len(values) for image, values in found.items()}


def _error(values: Sequence[float]) -> float:
    """Standard error of the mean."""
    n, mean = len(values), math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)


def compare(records: Iterable[Record], measure: str) -> list[Comparison]:
    """Every pair of methods on every task, by one measure.

    Images that one of both failed on are left out of a pair; `Line.failures` has them.
    """
    from scipy.stats import ttest_rel

    groups: dict[tuple[str, str], dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        if not record.failed:
            c = record.cell
            groups[c.suite, c.task][c.title + (" (tuned)" if c.run == "tuned" else "")].append(record)
    found: list[Comparison] = []
    for (suite, task), methods in sorted(groups.items()):
        values = {name: by_image(own, measure) for name, own in sorted(methods.items())}
        for (first, a), (second, b) in combinations(values.items(), 2):
            images = [image for image in a if image in b]
            shared = [a[image] - b[image] for image in images]
            if len(shared) < 2 or not all(map(math.isfinite, shared)):
                continue
            pair = ([own[image] for image in images] for own in (a, b))
            # of equal differences the test has no variance: they are no accident, unless they are zero
            p = float(ttest_rel(*pair).pvalue) if len(set(shared)) > 1 else float(not any(shared))
            mean = math.fsum(shared) / len(shared)
            found.append(
                Comparison(suite, task, measure, first, second, len(shared), mean, _error(shared), p)
            )
    return found


def corrected(found: Sequence[Comparison]) -> list[Comparison]:
    """The same with probabilities that are corrected for the number of comparisons, Holm (1979)."""
    order = sorted(range(len(found)), key=lambda i: found[i].probability)
    after, largest = list(found), 0.0
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, (len(found) - place) * found[i].probability))
        after[i] = replace(found[i], probability=largest)
    return after

"""Measures and costs as tables show them: titles, units, digits, and which values are better."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from invgen.bench.measures import MEASURES, Measure
from invgen.bench.record import Record

__all__ = ["Column", "columns_of", "measure_of"]

_COSTS = {
    "seconds": Measure(
        "time / s", "wall-clock time of one solve, what is prepared for it included", "lower", 2
    ),
    "network_evaluations": Measure("network evaluations", "images given to the network", "lower"),
    "network_derivatives": Measure(
        "derivatives", "those of the network's evaluations that were differentiated", "lower"
    ),
    "operator_calls": Measure(
        "operator calls", "applications of the forward operator, its adjoint or its gram", "lower"
    ),
    "peak_memory": Measure("peak memory / MiB", "largest memory in use while solving", "lower"),
}
_UNITS = {"peak_memory": 2.0**20}  # records hold bytes


@dataclass(frozen=True)
class Column:
    """A measure or cost, as tables show it.

    Attributes
    ----------
    name : str
    measure : Measure
    is_cost : bool
    """

    name: str
    measure: Measure
    is_cost: bool = False

    @property
    def title(self) -> str:
        """As tables head it."""
        return self.measure.title

    @property
    def unit(self) -> str:
        """The unit in the title, "" without one."""
        return self.title.partition(" / ")[2]

    @property
    def is_uniform(self) -> bool:
        """Whether values say something only together: from 0 to 1, uniform for a sampler that is right."""
        return self.measure.better == "uniform"

    @property
    def scale(self) -> float:
        """What values of records are divided by to be shown."""
        return _UNITS.get(self.name, 1.0)

    @property
    def arrow(self) -> str:
        """Which values are better: an arrow, or the value that is right."""
        better = self.measure.better
        return {"higher": "↑", "lower": "↓", "one": "→ 1", "uniform": "", "": ""}.get(better, f"→ {better}")

    def text(self, value: float) -> str:
        """A value as it is shown."""
        value /= self.scale
        if not math.isfinite(value):
            return "∞" if value > 0 else "-∞"
        if self.is_cost:
            return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
        fixed = f"{value:.{self.measure.digits}f}"
        is_lost = value != 0 and abs(value) < 5 * 10.0 ** -(self.measure.digits + 1)
        return f"{value:.1e}" if is_lost or abs(value) >= 1e7 else fixed


def columns_of(records: Iterable[Record]) -> Iterable[Column]:
    """Measures of records in the order of `MEASURES`, then costs."""
    measured = dict.fromkeys(name for record in records for name in record.measures)
    spent = dict.fromkeys(name for record in records for name in record.costs)
    for name in [
        *(name for name in MEASURES if name in measured),
        *sorted(measured.keys() - MEASURES.keys()),
    ]:
        yield Column(name, measure_of(name))
    for name in [*(name for name in _COSTS if name in spent), *sorted(spent.keys() - _COSTS.keys())]:
        yield Column(name, _COSTS.get(name, Measure(name, "", "lower")), is_cost=True)


def measure_of(name: str) -> Measure:
    """The measure of a name; one that ranks nothing where that is not known."""
    return MEASURES.get(name, Measure(name, "", ""))

"""Statistics of scans that fit their model, under a protocol: what others are compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import torch

from invgen.core.errors import FileError, ParameterError
from invgen.core.json_files import check_entries, read_json, write_json
from invgen.core.text import quoted
from invgen.plausibility.reconstructions.coarse import CoarseDensity

__all__ = ["FEWEST", "Calibration", "calibrations_of", "fitting"]

#: Least number of scans: with fewer no p-value is as small as 5 %.
FEWEST = 19

#: Largest numbers of scans, and of statistics, in a file.
_MOST_SCANS, _MOST_NAMES = 100_000, 200

#: By how much conditions may be beyond those of the calibration, which are logarithms.
_MARGIN = 0.2

_FORMAT = "invgen calibration 1"

_TYPES: dict[str, Any] = {
    "about": str,
    "protocol": Mapping[str, str | float | bool | None],
    "conditions": Mapping[str, Sequence[float]],
    "statistics": Mapping[str, Sequence[float]],
}


@dataclass(frozen=True)
class Calibration:
    """Statistics of scans that fit operator, noise and prior, and what is known of how they were measured.

    Parameters
    ----------
    protocol : mapping of str to str, number or None
        What must be the same of a scan that is compared: "operator", "solver" and its hyper-parameters, and
        the fingerprint of the "prior", but in the card of a prior, which needs none.
    statistics : mapping of str to sequence of float
        Each with one number for each scan.
    conditions : mapping of str to sequence of float
        Numbers of each scan, logarithms, on which statistics may depend: see `assess`.
    about : str
        Which scans these are.
    coarse : CoarseDensity, optional
        Of what images are at a coarse scale, where examples of them were given.

    Raises
    ------
    ParameterError
        Where the numbers of scans differ or are fewer than `FEWEST`, and for what is no number.
    """

    protocol: Mapping[str, Any]
    statistics: Mapping[str, Sequence[float]]
    conditions: Mapping[str, Sequence[float]]
    about: str = ""
    coarse: CoarseDensity | None = None
    scans: int = field(init=False)

    def __post_init__(self) -> None:
        columns = [*self.statistics.values(), *self.conditions.values()]
        counts = {len(column) for column in columns}
        if not self.statistics or len(counts) != 1 or not FEWEST <= min(counts) <= _MOST_SCANS:
            raise ParameterError(
                f"A calibration has statistics of the same {FEWEST} or more scans; got "
                f"{len(self.statistics)} statistics of {sorted(counts)[:5]} scans."
            )
        if len(columns) > _MOST_NAMES:
            raise ParameterError(f"A calibration has at most {_MOST_NAMES} statistics; got {len(columns)}.")
        if not all(math.isfinite(number) for column in columns for number in column):
            raise ParameterError("A calibration's statistics are finite numbers.")
        object.__setattr__(self, "scans", counts.pop())

    def __repr__(self) -> str:
        return (
            f"Calibration({self.scans} scans, {len(self.statistics)} statistics, about={self.about!r}, "
            f"protocol={dict(self.protocol)})"
        )

    def unlike(self, protocol: Mapping[str, Any], conditions: Mapping[str, float]) -> str:
        """What a scan has that the calibration has not; empty where they are comparable."""
        for name, own in self.protocol.items():
            other = protocol.get(name)
            if own != other and name == "prior":
                return "another prior, or another precision of its network"
            if own != other:
                return f"{name} {_shown(other)}, calibrated with {_shown(own)}"
        for name, column in self.conditions.items():
            low, high = min(column) - _MARGIN, max(column) + _MARGIN
            if name not in conditions or not low <= conditions[name] <= high:
                value = math.exp(conditions[name]) if name in conditions else math.nan
                return f"{name} {value:.3g}, calibrated from {math.exp(low):.3g} to {math.exp(high):.3g}"
        return ""

    def tensor(self, names: Sequence[str], of: Mapping[str, Sequence[float]]) -> torch.Tensor:
        """Columns of numbers, float64, shape (scans, names)."""
        if not names:
            return torch.zeros(self.scans, 0, dtype=torch.float64)
        return torch.tensor([list(of[name]) for name in names], dtype=torch.float64).T

    def header(self) -> dict[str, Any]:
        """The same as JSON can hold it, of four digits."""

        def rounded(columns: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
            return {name: [float(f"{n:.4g}") for n in column] for name, column in columns.items()}

        return {
            "about": self.about,
            "protocol": dict(self.protocol),
            "conditions": rounded(self.conditions),
            "statistics": rounded(self.statistics),
            **({} if self.coarse is None else {"coarse": self.coarse.header()}),
        }

    @classmethod
    def from_header(cls, header: Any, source: object) -> Calibration:
        """The inverse of `header`.

        Raises
        ------
        FileError
            For anything else; `source` is what holds it.
        """
        check_entries(header, _TYPES, f"The calibration in {source}")
        entry = header.get("coarse")
        coarse = None if entry is None else CoarseDensity.from_header(entry, source)
        try:
            return cls(
                header["protocol"], header["statistics"], header["conditions"], header["about"], coarse
            )
        except (ParameterError, OverflowError) as error:
            raise FileError(f"The calibration in {source} is none: {error}") from error

    def save(self, path: str | PathLike[str]) -> None:
        """Write it to a JSON file, beside and renamed."""
        write_json(path, {"format": _FORMAT, **self.header()})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Calibration:
        """Read a file of `save`.

        Raises
        ------
        FileError
            For any other file.
        """
        found = read_json(path, "a calibration")
        if not isinstance(found, dict) or found.get("format") != _FORMAT:
            raise FileError(f"{path} is no calibration: such files are written by Calibration.save.")
        return cls.from_header(found, path)


def calibrations_of(card: Mapping[str, Any]) -> list[Calibration]:
    """The calibrations in the card of a prior: its entry "scan_calibrations", of calibrations by name.

    Raises
    ------
    FileError
        Where the entry is of another form.
    """
    entry = card.get("scan_calibrations", {})
    if not isinstance(entry, dict):
        raise FileError(f"The prior's card has scan_calibrations that are none: {quoted(entry)}.")
    return [
        Calibration.from_header(header, f"the prior's card, {quoted(name)},")
        for name, header in entry.items()
    ]


def fitting(
    known: list[Calibration],
    protocol: Mapping[str, Any],
    conditions: Mapping[str, torch.Tensor],
    statistics: Set[str],
) -> tuple[Calibration | None, str]:
    """The first calibration of such scans, and else why there is none.

    Parameters
    ----------
    known : list of Calibration
    protocol : mapping of str to str, number or None
    conditions : mapping of str to tensor, shape of the batch
    statistics : set of str
        Names of those that the scans have.
    """
    if not known:
        return None, "no calibration comes with the prior"
    reasons = []
    for each in known:
        numbers = zip(*(values.reshape(-1).tolist() for values in conditions.values()), strict=True)
        unlike = [each.unlike(protocol, dict(zip(conditions, row, strict=True))) for row in numbers]
        if not set(each.statistics) & statistics:
            unlike.append("none of its statistics")
        if not any(unlike):
            return each, ""
        reasons.append(next(filter(None, unlike)))
    return None, f"no calibration is of such scans: {'; '.join(dict.fromkeys(reasons))}"


def _shown(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else quoted(value)

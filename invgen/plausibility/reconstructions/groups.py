"""Which statistics of scans are compared together, and the p-values of scans by a calibration."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from invgen.plausibility.reconstructions.calibration import Calibration
from invgen.plausibility.reconstructions.comparison import Group, compared

__all__ = ["against", "grouped", "may_be_oriented"]

#: Statistics of the image with the direction of what is unexpected. Details that the prior does not know are
#: denoised worse, and away.
_DETAILS = {"denoising error 0.3": 1.0, "bias 0.3": -1.0}

#: What is large and not as the prior expects, be the details simple.
_SHAPE = {"unexpected error 3": 1.0}

#: What is large and not where it is in examples.
_PLACES = {"coarse log-density": -1.0}

#: Which way up an image is, by the denoiser: with what it is at least where a prior knows of it; one where it
#: knows all. A sample of a prior that knows of none is denoised a little better as it is, since the same
#: network has drawn it.
_TURNED = {"orientation, quarter turns": 0.1, "orientation, half turn": 0.1}

#: The same by the density of examples: with the logarithm of even odds.
_COARSELY_TURNED = {"coarse orientation": 0.0}

#: Of priors that are no denoisers.
_DENSITY = "log-density"

#: What statistics of the image begin with; the others are of the residual.
_OF_IMAGE = ("bias", "denoising error", "unexpected error", "orientation", "coarse", _DENSITY)


def grouped(names: Sequence[str], turned: Collection[str]) -> dict[str, list[Group]]:
    """Groups of statistics by the p-values that they make: "residual" and "typicality".

    Few, for each takes its part of the level: all that is of the residual, by its distance; and of the image
    some that look for one thing each.

    Parameters
    ----------
    names : sequence of str
        Of the statistics, in the order of their columns.
    turned : collection of str
        Those of orientation that count.
    """
    residual = tuple(i for i, name in enumerate(names) if not name.startswith(_OF_IMAGE))
    found = {"residual": [Group(residual)] if residual else [], "typicality": []}
    for signs in (_DETAILS, _SHAPE, _PLACES, *({name: -1.0} for name in turned)):
        columns = tuple(i for i, name in enumerate(names) if name in signs)
        if columns:
            found["typicality"].append(Group(columns, tuple(signs[names[i]] for i in columns)))
    if _DENSITY in names:
        found["typicality"].append(Group((names.index(_DENSITY),)))
    return {name: groups for name, groups in found.items() if groups}


def against(
    calibration: Calibration, statistics: Mapping[str, Tensor], conditions: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """p-values and deviations of each scan of a batch, by their names, among scans of a calibration.

    A turn counts where most scans are denoised clearly better as they are than turned so, and the prior knows
    of it; or are more likely as they are by the density of examples.
    """
    varying = [name for name, column in calibration.statistics.items() if max(column) > min(column)]
    names = [name for name in varying if name in statistics]
    rows = list(calibration.conditions)
    known = calibration.tensor(names, calibration.statistics)
    measured = calibration.tensor(rows, calibration.conditions)
    batch = next(iter(conditions.values())).shape
    values = torch.stack([statistics[name].double().reshape(-1) for name in names], 1)
    places = torch.stack([conditions[name].reshape(-1) for name in rows], 1)
    p_values: dict[str, list[float]] = {}
    deviations = []
    for value, place in zip(values, places, strict=True):
        table, at = torch.cat((known, value[None])), torch.cat((measured, place[None]))
        least = {name: value for name, value in (_TURNED | _COARSELY_TURNED).items() if name in names}
        turned = [name for name, value in least.items() if _clear(table[:, names.index(name)], value)]
        found, far = compared(table, at, grouped(names, turned))
        for name, p in found.items():
            p_values.setdefault(name, []).append(p)
        deviations.append(far)
    return (
        {name: torch.tensor(p, dtype=torch.float64).reshape(batch) for name, p in p_values.items()},
        dict(zip(names, torch.stack(deviations, 1).reshape(-1, *batch), strict=True)),
    )


def may_be_oriented(statistics: Mapping[str, Sequence[float]]) -> bool:
    """Whether by the denoiser's of calibration scans orientation counts for any scan that may be compared."""
    known = [(statistics.get(name, ()), least) for name, least in _TURNED.items()]
    return any(_clear(torch.tensor([*column, math.inf]), least) for column, least in known if column)


def _clear(values: Tensor, least: float) -> bool:
    return float(values.median()) > least

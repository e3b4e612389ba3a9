"""Whether a measurement is plausible under operator, noise and prior, once it is reconstructed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from invgen.core.errors import CapabilityError, DataError, ParameterError
from invgen.core.fingerprint import fingerprint
from invgen.plausibility.p_values import false_discoveries
from invgen.plausibility.reconstructions.calibration import FEWEST, Calibration, calibrations_of
from invgen.plausibility.reconstructions.comparison import compared
from invgen.plausibility.reconstructions.residuals import (
    least_squares_bound,
    least_squares_image,
    noise_statistics,
    residual_statistics,
)
from invgen.plausibility.reconstructions.typicality import typicality
from invgen.priors.learned import Learned
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.solvers.base import Solver
from invgen.solvers.scale import prior_unit

__all__ = ["Assessment", "assess", "calibrate"]

#: Hyper-parameters that are no part of a protocol: of units, of memory, and the prior itself.
_FREE = ("prior", "scale", "chunk_size")

#: Of the fingerprint of a prior.
_DIGITS = 16

#: What statistics of the image begin with; the others are of the residual.
_OF_IMAGE = ("bias", "denoising error", "unexpected error", "log-density")


@dataclass(frozen=True)
class Assessment:
    """How plausible measurements are under operator, noise and prior.

    Attributes
    ----------
    p_values : dict of str to tensor, float64, shape of the batch
        Under a calibration "residual", of operator and noise; "typicality", of the image under the prior; and
        "scan", of both, by which to decide. Always, where operator and noise have it, "bound": a conservative
        p-value of operator and noise, see `least_squares_bound`.
    statistics : dict of str to tensor, float64, shape of the batch
    deviations : dict of str to tensor, float64, shape of the batch
        Of each statistic from what the calibration expects, in standard deviations.
    conditions : dict of str to tensor, float64, shape of the batch
    protocol : dict of str to str or number
    map : tensor, shape (*batch, H, W), or None
        Local errors of denoising over those that the prior expects: about one where the image is as expected.
    calibration : str or None
        What the scan was compared with.
    remark : str
        Why it was compared with none; empty where it was.
    """

    p_values: dict[str, Tensor]
    statistics: dict[str, Tensor]
    deviations: dict[str, Tensor]
    conditions: dict[str, Tensor]
    protocol: dict[str, Any]
    map: Tensor | None
    calibration: str | None
    remark: str

    @property
    def deciding(self) -> Tensor | None:
        """The p-value to decide by, shape of the batch: "scan", else "bound"; None where there is none."""
        return self.p_values.get("scan", self.p_values.get("bound"))

    def misfits(self, level: float = 0.05) -> Tensor:
        """Which scans do not fit, bool, shape of the batch.

        Of several, a part `level` of those found is expected to fit: Benjamini and Hochberg (1995).
        """
        p = self.deciding
        if p is None:
            first = next(iter(self.conditions.values()))
            return torch.zeros(first.shape, dtype=torch.bool)
        return false_discoveries(p.reshape(-1), level).reshape(p.shape)


def assess(
    solver: Solver,
    problem: Problem,
    reconstruction: Reconstruction,
    *,
    calibration: Calibration | Iterable[Calibration] | None = None,
) -> Assessment:
    """Ask whether a scan is one that operator, noise and prior could have made.

    If it is, a posterior sample is a draw from the prior, and its residual is noise. Samplers miss this by
    more than scans differ. Therefore statistics of the first sample are compared with those of calibration
    scans, which the same solver has reconstructed: permutation p-values. Statistics are regressed on the
    conditions of the scans, their signal to noise and the number of data for each unknown, so that scans of
    many protocols serve each other. Where no calibration is of such scans, there is no such p-value.

    The residual's statistics are those of `residual_statistics`, at the sample and at the image next to it
    that nearly has the least squares ("least squares: ..."), where the errors of a sampler are gone and those
    of noise, coil maps and geometry are left; and of `noise_statistics`. The image's are those of
    `typicality`.

    Parameters
    ----------
    solver : Solver
        With a learned prior.
    problem : Problem
    reconstruction : Reconstruction
        What the solver returned for it. Of point estimates it is their image that is compared.
    calibration : Calibration, or several, optional
        Of `calibrate`; by default those that come with the prior.

    Raises
    ------
    CapabilityError
        For a solver without a prior.
    DataError
        Where the reconstruction is not finite.
    """
    prior = _prior(solver)
    if calibration is None:
        known = calibrations_of(prior.card) if isinstance(prior, Learned) else []
    else:
        known = [calibration] if isinstance(calibration, Calibration) else list(calibration)
    x = reconstruction.x if reconstruction.samples is None else reconstruction.samples[0]
    if not bool(torch.isfinite(x).all()):
        raise DataError("The reconstruction holds NaN or infinities, whose plausibility is not defined.")
    statistics, bound = _of_residual(problem, x)
    unit = prior_unit(_scale(reconstruction), prior)
    own = x if unit is None else x / problem.operator.domain.per_sample(unit.to(x.device))
    of_image, shown = typicality(prior, own)
    batch = problem.batch_shape
    statistics |= {name: values.reshape(*batch, -1).mean(-1) for name, values in of_image.items()}
    statistics = {name: values.cpu() for name, values in statistics.items()}
    conditions = _conditions(solver.described(problem), statistics)
    protocol = _protocol(solver, problem)
    p_values = {} if bound is None else {"bound": bound.cpu()}
    fitting, remark = _fitting(known, protocol, conditions, set(statistics))
    deviations: dict[str, Tensor] = {}
    if fitting is not None:
        found, deviations = _against(fitting, statistics, conditions)
        p_values = found | p_values
    return Assessment(
        p_values,
        statistics,
        deviations,
        conditions,
        protocol,
        None if shown is None else shown.cpu(),
        None if fitting is None else fitting.about,
        remark,
    )


def calibrate(solver: Solver, problems: Iterable[Problem], *, about: str = "", seed: int = 0) -> Calibration:
    """Reconstruct scans that are known to fit, and keep their statistics: what other scans are compared with.

    The scans must be none that the prior has learned from, and measured as those that are to be compared: the
    same kind of operator; with a signal to noise and a number of data that those lie between.

    Parameters
    ----------
    solver : Solver
        With a learned prior. Of samplers one sample of each scan is drawn.
    problems : iterable of Problem
        At least 19, so that a p-value can be as small as 5 %; better 100. Those in a batch count each.
    about : str
        Which scans these are.
    seed : int
        Of the first; the next have the next ones.

    Raises
    ------
    ParameterError
        For too few scans, and scans of several kinds of operators.
    """
    columns: dict[str, list[float]] = {}
    conditions: dict[str, list[float]] = {}
    protocols: list[dict[str, Any]] = []
    for number, problem in enumerate(problems):
        found = assess(solver, problem, solver(problem, seed=seed + number), calibration=())
        if found.protocol not in protocols:
            protocols.append(found.protocol)
        for kept, new in ((columns, found.statistics), (conditions, found.conditions)):
            for name, values in new.items():
                kept.setdefault(name, []).extend(values.reshape(-1).tolist())
    if len(protocols) != 1:
        raise ParameterError(
            f"calibrate takes {FEWEST} or more scans that one kind of operator has measured; got "
            f"{[each['operator'] for each in protocols] or 'none'}."
        )
    scans = len(next(iter(conditions.values())))
    # a statistic that only some have compares nobody
    shared = {name: column for name, column in columns.items() if len(column) == scans}
    return Calibration(protocols[0], shared, conditions, about)


def _prior(solver: Solver) -> Any:
    prior = getattr(solver, "prior", None)
    if prior is None:
        raise CapabilityError(f"{type(solver).__name__} has no prior, under which a scan could be plausible.")
    return prior


def _scale(reconstruction: Reconstruction) -> Any:
    """What is white in the image; one where the solver reports none."""
    return torch.as_tensor(reconstruction.stats.get("scale", 1.0))


def _of_residual(problem: Problem, x: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
    """Statistics of the residual, and the bound; none for noise that has no standardized residuals."""
    try:
        at_sample = residual_statistics(problem, x)
    except CapabilityError:
        return {}, None
    near = least_squares_image(problem, x)
    if near is None:
        return at_sample, None
    at_near = {f"least squares: {name}": value for name, value in residual_statistics(problem, near).items()}
    return at_sample | at_near | noise_statistics(problem), least_squares_bound(problem, near)


def _conditions(problem: Problem, statistics: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Logarithms of numbers on which statistics may depend."""
    space, batch = problem.operator.domain, problem.batch_shape
    unknowns = space.size * (2 if space.field == "complex" else 1)
    found = {
        "data per unknown": (problem.count() / unknowns).log(),
        "pixels": torch.full(batch, math.log(space.size), dtype=torch.float64),
    }
    try:
        y = problem.measurement
        white = problem.likelihood.standardized(torch.zeros_like(y), y).abs().double().square()
    except (CapabilityError, TypeError):
        return {name: value.cpu() for name, value in found.items()}
    energy = (white.sum(problem.operator.range.axes) / problem.count()).clamp(min=1e-30).log() / 2
    # of the noise that the data show, where they do: that which is stated may be wrong
    found["signal to noise"] = energy - statistics.get("noise", 0.0)
    return {name: value.cpu() for name, value in found.items()}


def _protocol(solver: Solver, problem: Problem) -> dict[str, Any]:
    """What a calibration must have been made with."""
    found: dict[str, Any] = {
        "prior": fingerprint(_prior(solver))[:_DIGITS],
        "operator": problem.operator.name,
        "solver": type(solver).__name__,
    }
    if is_dataclass(solver):
        values = {each.name: getattr(solver, each.name) for each in fields(solver) if each.name not in _FREE}
        found |= {
            name: float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
            for name, value in values.items()
            if isinstance(value, int | float | str)
        }
        found |= {name: str(value) for name, value in values.items() if isinstance(value, tuple)}
    return found


def _fitting(
    known: list[Calibration],
    protocol: Mapping[str, Any],
    conditions: Mapping[str, Tensor],
    statistics: Set[str],
) -> tuple[Calibration | None, str]:
    """The first calibration of such scans, and else why there is none."""
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


def _against(
    calibration: Calibration, statistics: Mapping[str, Tensor], conditions: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """p-values and deviations of each scan of a batch."""
    varying = [name for name, column in calibration.statistics.items() if max(column) > min(column)]
    names = [name for name in varying if name in statistics]
    of_image = [i for i, name in enumerate(names) if name.startswith(_OF_IMAGE)]
    of_residual = [i for i in range(len(names)) if i not in of_image]
    groups = {"residual": of_residual, "typicality": of_image}
    groups = {name: columns for name, columns in groups.items() if columns}
    rows, columns = list(calibration.conditions), calibration.conditions
    known = calibration.tensor(names, calibration.statistics), calibration.tensor(rows, columns)
    batch = next(iter(conditions.values())).shape
    values = torch.stack([statistics[name].double().reshape(-1) for name in names], 1)
    at = torch.stack([conditions[name].reshape(-1) for name in rows], 1)
    p_values, deviations = [], []
    for value, place in zip(values, at, strict=True):
        p, far = compared(
            torch.cat((known[0], value[None])), torch.cat((known[1], place[None])), list(groups.values())
        )
        p_values.append(p)
        deviations.append(far)
    p_table = torch.tensor(p_values, dtype=torch.float64).T.reshape(-1, *batch)
    far_table = torch.stack(deviations, 1).reshape(-1, *batch)
    return dict(zip((*groups, "scan"), p_table, strict=True)), dict(zip(names, far_table, strict=True))

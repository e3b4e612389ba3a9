"""Whether a measurement is plausible under operator, noise and prior, once it is reconstructed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from invgen.core.errors import ParameterError
from invgen.plausibility.p_values import false_discoveries
from invgen.plausibility.reconstructions.calibration import FEWEST, Calibration, calibrations_of, fitting
from invgen.plausibility.reconstructions.coarse import CoarseDensity
from invgen.plausibility.reconstructions.groups import against, may_be_oriented
from invgen.plausibility.reconstructions.measured import axes_of, measured, of_whole
from invgen.plausibility.reconstructions.protocol import prior_of
from invgen.priors.learned import Learned
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.solvers.base import Solver

__all__ = ["Assessment", "assess", "calibrate", "gathered"]


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
    """Test whether operator, noise and prior can explain a scan.

    If it is, a posterior sample is a draw from the prior, and its residual is noise. Samplers miss this by
    more than scans differ. Therefore statistics of the first sample are compared with those of calibration
    scans, which the same solver has reconstructed: permutation p-values. Statistics are regressed on the
    conditions of the scans, their signal to noise and the number of data for each unknown, so that scans of
    many protocols serve each other. Where no calibration is of such scans, there is no such p-value.

    The residual's statistics are those of `residual_statistics`, at the sample and at the image next to it
    that nearly has the least squares ("least squares: ..."), where the errors of a sampler are gone and those
    of noise, coil maps and geometry are left; and of `noise_statistics`: their distance from what is expected
    counts. The image's are those of `typicality` and `orientation`, of which few count: whether details are
    denoised worse, and more of them away; whether what is large is denoised worse than the prior itself
    expects; and, of priors that know of it, whether the image would be denoised better if it were turned, by
    a quarter or by a half. Of a calibration with examples the last one gives way to two others: whether what
    is large is where it is in them, and whether the image would be more likely if it were turned, see
    `CoarseDensity`. The p-value "typicality" is that of the smallest of their p-values among the smallest
    ones of the calibration scans, and "scan" that of these and the residual's: by a permutation again, thus
    exact. An image that is simpler than those of the prior is not found by its details.

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
    prior = prior_of(solver)
    if calibration is None:
        known = calibrations_of(prior.card) if isinstance(prior, Learned) else []
    else:
        known = [calibration] if isinstance(calibration, Calibration) else list(calibration)
    scan = measured(solver, problem, reconstruction)
    p_values = {} if scan.bound is None else {"bound": scan.bound}
    statistics, deviations = scan.statistics, dict[str, Tensor]()
    same, remark = fitting(known, scan.protocol, scan.conditions, set(statistics))
    if same is not None:
        statistics = statistics | of_whole(prior, scan, same.coarse, may_be_oriented(same.statistics))
        found, deviations = against(same, statistics, scan.conditions)
        p_values = found | p_values
    return Assessment(
        p_values,
        statistics,
        deviations,
        scan.conditions,
        scan.protocol,
        scan.map,
        None if same is None else same.about,
        remark,
    )


def calibrate(
    solver: Solver,
    problems: Iterable[Problem],
    *,
    about: str = "",
    examples: Tensor | None = None,
    seed: int = 0,
) -> Calibration:
    """Reconstruct scans that are known to fit, and keep their statistics: what other scans are compared with.

    The scans must be none that the prior has learned from, and measured as those that are to be compared: the
    same kind of operator; with a signal to noise and a number of data that those lie between.

    Parameters
    ----------
    solver : Solver
        With a learned prior. Of samplers one sample of each scan is drawn.
    problems : iterable of Problem
        At least 19, so that a p-value can be as small as 5 %; better 200, for each of three to five groups
        of statistics has its part of that. Those in a batch count each.
    about : str
        Which scans these are.
    examples : tensor, shape (n, *image), optional
        Images as the prior has learned from, 100 or more, better thousands; in any unit and size, none of the
        scans'. Their `CoarseDensity` then says whether what is large in an image is where it is in them, and
        which way up it is. It takes the place of the prior's orientation.
    seed : int
        Of the first; the next have the next ones.

    Raises
    ------
    ParameterError
        For too few scans, and scans of several kinds of operators.
    ShapeError, DataError
        For examples that are none.
    """
    solved = ((solver, each, solver(each, seed=seed + number)) for number, each in enumerate(problems))
    return gathered(solved, about, examples)


def gathered(
    scans: Iterable[tuple[Solver, Problem, Reconstruction]],
    about: str = "",
    examples: Tensor | None = None,
) -> Calibration:
    """A calibration of scans that are reconstructed already, each given by solver, problem and result.

    >>> known = gathered((solver, problem, solver(problem, seed=k)) for k, problem in enumerate(problems))

    The image's orientation takes longer than other statistics: where the prior knows nothing of it by the
    first scans, it is left out.

    Raises
    ------
    ParameterError
        See `calibrate`.
    """
    columns: dict[str, list[float]] = {}
    conditions: dict[str, list[float]] = {}
    protocols: list[dict[str, Any]] = []
    coarse: CoarseDensity | None = None
    oriented, count = examples is None, 0
    for solver, problem, reconstruction in scans:
        scan = measured(solver, problem, reconstruction)
        if examples is not None and coarse is None:
            coarse = CoarseDensity.fit(examples, axes_of(prior_of(solver)))
        statistics = scan.statistics | of_whole(prior_of(solver), scan, coarse, oriented)
        if scan.protocol not in protocols:
            protocols.append(scan.protocol)
        for kept, new in ((columns, statistics), (conditions, scan.conditions)):
            for name, values in new.items():
                kept.setdefault(name, []).extend(values.reshape(-1).tolist())
        count = len(next(iter(conditions.values())))
        oriented = oriented and (count < FEWEST or may_be_oriented(columns))
    if len(protocols) != 1:
        raise ParameterError(
            f"calibrate takes {FEWEST} or more scans that one kind of operator has measured; got "
            f"{[each['operator'] for each in protocols] or 'none'}."
        )
    # a statistic that only some have compares nobody
    shared = {name: column for name, column in columns.items() if len(column) == count}
    return Calibration(protocols[0], shared, conditions, about, coarse)

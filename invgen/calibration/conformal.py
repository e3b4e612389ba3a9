"""Calibrate the intervals of a solver by problems whose truth is known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from invgen.calibration.factors import Guarantee, check_guarantee, conformal_factors, least_problems
from invgen.calibration.intervals import ConformalIntervals
from invgen.calibration.kinds import Kind, conditions_of, settings_of, solver_settings
from invgen.calibration.widths import Width, band_of, check_width, targets_of
from invgen.core.checks import as_count, nonfinite
from invgen.core.errors import DataError, DtypeError, ParameterError, ShapeError
from invgen.core.space import Space
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.solvers.base import Solver

__all__ = ["conformal"]

#: Of each problem, from samplers.
_SAMPLES = 8


def conformal(
    solver: Solver,
    calibration_problems: Iterable[Any],
    level: float,
    *,
    guarantee: Guarantee = "average",
    confidence: float | None = None,
    width: Width | None = None,
    floor: float = 0.1,
    regions: Tensor | None = None,
    mask: Tensor | None = None,
    samples: int | None = None,
    seed: int = 0,
    about: str = "",
) -> ConformalIntervals:
    """Rescale the intervals of any solver so that they cover new problems like these at a level.

    Samplers may be overconfident, and estimates have no intervals at all. Each calibration problem is solved,
    and its truth gives the factor by which its intervals are too narrow or too wide; from these follows one
    that holds for new problems, whatever the solver and the prior: see `conformal_factors` for what is
    promised, and by which theorem. It is promised of problems that are exchangeable with those of the
    calibration: new draws of the same images, measured alike. It is an average over such problems, and no
    promise for one kind of image among them. Neither solver, prior nor width may have learned from the
    calibration's images.

    Parameters
    ----------
    solver : Solver
    calibration_problems : iterable of (Problem, truth), or of (Problem, truth, Reconstruction)
        Truths have the shape (*batch, *image); those of a batch count each. Of complex images they may be
        the modulus. With a reconstruction of the solver the problem is not solved again.
    level : number between 0 and 1
    guarantee : {"average", "each", "all"}
        Of the pixels of an image: a fraction on average, each by itself, or all at once.
    confidence : number between 0 and 1, optional
        For the average: over new images alone, with this probability over the calibration's.
    width : {"quantiles", "deviation", "edges", "constant"}, optional
        What widths are taken from, see `invgen.calibration.band_of`: by default "quantiles" of samplers, and
        "edges" of estimates.
    floor : float
        Part of the root mean square width that is added to each width: where samples agree by chance, or an
        estimate is flat, the width alone is too small for any factor.
    regions : bool tensor, shape (k, *image), optional
        The intervals are of the means over these regions, in place of pixels.
    mask : bool tensor, shape (*image), optional
        Pixels that count, such as those within the field of view.
    samples : int, optional
        Of each problem, from samplers; by default 8.
    seed : int
        Of the first problem's samples; the next have the next ones.
    about : str
        Which images these are, for those who read the file.

    Returns
    -------
    ConformalIntervals

    Raises
    ------
    ParameterError
        For a level out of range, too few problems for it (the message has how many are needed), and problems
        of several kinds.
    ShapeError, DataError
        For truths that are not those of the problems, NaN, and widths of zero where the error is not.
    """
    level, confidence = check_guarantee(level, guarantee, confidence)
    count = _count_of(solver, samples)
    width = check_width(width, count, floor)
    scores, settings, conditions = [], [], []
    for number, given in enumerate(calibration_problems):
        problem, truth, found = _checked(given)
        space = problem.operator.domain
        counted = _targets(space, regions, mask)
        if found is None:
            found = solver(problem, samples=max(count, 1), seed=seed + number * count)
        if (0 if found.samples is None else len(found.samples)) != count:
            raise ParameterError(f"Reconstructions have {count} samples each: give samples=...")
        settings.append(settings_of(problem))
        conditions.append(conditions_of(problem, found))
        band = band_of(found, space, width, level, floor=floor, regions=regions)
        each = band.scores(targets_of(truth.to(found.x.device), space, regions))
        scores.append(each.reshape(-1, each.shape[-1])[:, counted].cpu())
    if not scores:
        raise ParameterError(
            f"There are no calibration problems; {least_problems(level, confidence)} or more are needed."
        )
    kind = Kind.of(settings, conditions)
    of_solver = solver_settings(solver, count, "weight" in kind.ranges)
    table = torch.cat(scores)
    factors = conformal_factors(table, level, guarantee, confidence)
    _check_finite(factors, table)
    if guarantee == "each" and regions is None:
        whole = factors.new_zeros(space.size)
        whole[counted] = factors
        factors = whole.reshape(space.shape)
    return ConformalIntervals(
        level,
        guarantee,
        confidence,
        width,
        float(floor),
        factors,
        None if regions is None else regions.cpu(),
        None if mask is None else mask.cpu(),
        replace(kind, settings={**kind.settings, **of_solver}),
        len(table),
        about,
    )


def _count_of(solver: Solver, samples: int | None) -> int:
    """Number of samples of each problem; zero of solvers that draw none."""
    if solver.draws_samples:
        return _SAMPLES if samples is None else as_count(samples, "samples", least=2)
    if samples is not None:
        raise ParameterError(f"{solver.name} gives one estimate: leave out samples.")
    return 0


def _checked(given: Any) -> tuple[Problem, Tensor, Reconstruction | None]:
    """A problem, its truth, and its reconstruction where it is given."""
    if not (isinstance(given, tuple) and len(given) in (2, 3) and isinstance(given[0], Problem)):
        raise DtypeError(
            "Calibration problems are pairs (Problem, truth), or (Problem, truth, Reconstruction); got "
            f"{type(given).__name__}."
        )
    problem, truth, *rest = given
    shape = (*problem.batch_shape, *problem.operator.domain.shape)
    if not isinstance(truth, Tensor) or tuple(truth.shape) != shape:
        got = tuple(truth.shape) if isinstance(truth, Tensor) else type(truth).__name__
        raise ShapeError(f"The truth of a problem has the shape of its images, {shape}; got {got}.")
    if truth.is_complex() and problem.operator.domain.field != "complex":
        raise DtypeError("The truth is complex, and the images of the problem are real.")
    if found := nonfinite(truth, problem.operator.domain.names):
        raise DataError(f"The truth holds {found}.")
    if rest and not (isinstance(rest[0], Reconstruction) and tuple(rest[0].x.shape) == shape):
        raise ShapeError(f"The third of a calibration problem is its Reconstruction, of images {shape}.")
    return problem, truth, rest[0] if rest else None


def _targets(space: Space, regions: Tensor | None, mask: Tensor | None) -> Any:
    """Which pixels, or regions, count: an index."""
    if regions is not None:
        if mask is not None:
            raise ParameterError(
                "mask chooses pixels, and regions are chosen by themselves: give one of them."
            )
        if regions.dtype != torch.bool or tuple(regions.shape[1:]) != space.shape or not len(regions):
            raise ShapeError(
                f"regions are a bool tensor (k, {', '.join(map(str, space.shape))}), one or more."
            )
        if not bool(regions.flatten(1).any(1).all()):
            raise ParameterError("A region has no pixel, over which there is no mean.")
        return slice(None)
    if mask is None:
        return slice(None)
    if mask.dtype != torch.bool or tuple(mask.shape) != space.shape or not bool(mask.any()):
        raise ShapeError(f"mask is a bool tensor of the shape {tuple(space.shape)}, true somewhere.")
    return mask.flatten().cpu()


def _check_finite(factors: Tensor, scores: Tensor) -> None:
    """Refuse factors that nothing reaches."""
    if bool(torch.isfinite(factors).all()):
        return
    share = float(torch.isinf(scores).double().mean())
    count = int(torch.isinf(factors).sum())
    which = f" (of {count} of {factors.numel()} pixels or regions)" if factors.ndim else ""
    raise DataError(
        f"No factor reaches this level{which}: {share:.2%} of the widths are zero where the error is not. "
        'Add to all widths by floor=0.1, or take another width, such as "deviation" or "edges".'
    )

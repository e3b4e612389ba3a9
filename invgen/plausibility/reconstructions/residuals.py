"""What is left of the data when an image is taken for the truth: its size, and whether it is white."""

from __future__ import annotations

import torch
from torch import Tensor

from invgen.core.errors import CapabilityError
from invgen.core.krylov import conjugate_gradients
from invgen.operators import ProductSpace
from invgen.problem import Problem
from invgen.solvers.scale import nearest_least_squares

__all__ = [
    "discrepancy",
    "least_squares_bound",
    "least_squares_image",
    "noise_statistics",
    "pivotal_p_value",
    "residual_statistics",
]

#: Least number of entries along an axis, and of pairs of neighbors, of which statistics are taken.
_FEWEST, _PAIRS = 4, 64

#: Steps of conjugate gradients from a sample towards the least squares.
_STEPS = 30

#: Mean square of residuals, in units of the noise, that is nothing.
_ROUNDING = 1e-4

#: Factor by which a bound allows the sum of squares to be wrong: of noise levels, and of operators on grids.
_ALLOWED = 1.25


@torch.no_grad()
def discrepancy(problem: Problem, x: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the squared standardized residuals of an image, and the number of data.

    ``T = |y - A x|^2 / std^2`` for Gaussian noise; for counts Pearson's statistic.

    Parameters
    ----------
    problem : Problem
    x : tensor, shape (*batch, *image)

    Returns
    -------
    tensors, float64, shape of the batch

    Raises
    ------
    CapabilityError
        For noise of an unknown level or without a known variance, and measurements that are tuples.
    """
    if not problem.likelihood.level_known:
        raise CapabilityError(
            "A residual's size says nothing where the noise level is unknown: give the problem its noise."
        )
    return _energy(problem, _residual(problem, x)), problem.count()


def pivotal_p_value(problem: Problem, sample: Tensor) -> Tensor:
    """Two-sided p-value of the discrepancy at one draw of the posterior, shape of the batch.

    Of a draw from the exact posterior under the right model, T of `discrepancy` has the chi-square
    distribution of the number of data, as it has at the truth: Johnson (2007), "Bayesian model assessment
    using pivotal quantities", theorem 1; of counts where they are large. At the posterior mean it
    has not, and the p-values of Gelman, Meng and Stern (1996), "Posterior predictive assessment of model
    fitness", which average over draws, are conservative. Approximate samplers, such as those of diffusion
    priors, miss the exact posterior by more than the width of this distribution: compare them with
    calibration scans, by `assess`.

    Parameters
    ----------
    problem : Problem
    sample : tensor, shape (*batch, *image)
    """
    total, count = discrepancy(problem, sample)
    return (2 * torch.minimum(_below(total, count), _above(total, count))).clamp(max=1)


@torch.no_grad()
def residual_statistics(problem: Problem, x: Tensor) -> dict[str, Tensor]:
    """Statistics of the standardized residuals by their names, each of the batch's shape, float64.

    * ``misfit``: logarithm of their mean square, zero for noise alone; none where its level is unknown;
    * ``misfit by axis k``: logarithm of the dispersion of the mean squares along that axis of the data (views
      or bins of a sinogram; coils, rows or columns of k-space), over that of white residuals;
    * ``neighbors along axis k``: correlation of neighbors, by Fisher's transformation.

    Wrong coil maps and a wrong geometry leave residuals of a structure, although their sum may be small.

    Raises
    ------
    CapabilityError
        For measurements that are tuples, and noise without a known variance.
    """
    r, space = _residual(problem, x), problem.operator.range
    axes, parts = space.axes, 2.0 if r.is_complex() else 1.0
    # exactly zero at dead pixels, and where nothing is observed
    counted, square = r != 0, r.abs().double().square()
    mean, least = _energy(problem, r) / problem.count(), _least(problem)
    # where an image explains the data to rounding, nothing is left that could have a structure
    structured = mean > least
    mean = mean.maximum(least)
    found = {"misfit": mean.log()} if problem.likelihood.level_known else {}
    for axis, size in zip(axes, space.shape, strict=True):
        if size < _FEWEST:
            continue
        others = tuple(each for each in axes if each != axis)
        energy, number = square, parts * counted.double()
        if others:
            energy, number = energy.sum(others), number.sum(others)
        there = number > 0
        ratio = torch.where(there, energy / number.clamp(min=1) / mean[..., None], 1.0)
        dispersion = (number / 2 * (ratio - 1).square()).sum(-1) / (there.sum(-1) - 1).clamp(min=1)
        found[f"misfit by axis {axis}"] = torch.where(structured, dispersion.clamp(min=1e-6).log(), 0.0)
        here, following = r.narrow(axis, 0, size - 1), r.narrow(axis, 1, size - 1)
        pairs = parts * ((here != 0) & (following != 0)).double().sum(axes)
        correlation = (here.conj() * following).real.double().sum(axes) / pairs.clamp(min=1) / mean
        known = torch.where(structured & (pairs >= _PAIRS), correlation.clamp(-0.999, 0.999), 0.0)
        found[f"neighbors along axis {axis}"] = known.atanh()
    return found


@torch.no_grad()
def noise_statistics(problem: Problem) -> dict[str, Tensor]:
    """``noise``: logarithm of the noise's standard deviation that the data show, over the one stated.

    It takes no image, but the operator's estimate (`Operator.estimate_noise`). Empty where there is none, and
    for noise that is not Gaussian or of an unknown level.
    """
    if not (problem.likelihood.level_known and problem.likelihood.quadratic):
        return {}
    y = problem.measurement
    found = problem.operator.estimate_noise(problem.likelihood.standardized(torch.zeros_like(y), y))
    return {} if found is None else {"noise": found.double().clamp(min=1e-30).log()}


@torch.no_grad()
def least_squares_image(problem: Problem, x: Tensor) -> Tensor | None:
    """An image next to `x` that fits the data better, whatever the prior: by conjugate gradients from there.

    None for operators that are not linear, and noise to which no Gaussian one is near.
    """
    known = nearest_least_squares(problem)
    if known is None:
        return None
    step = conjugate_gradients(known.normal, -known.gradient(x), known.operator.domain, iterations=_STEPS)
    return x + step


@torch.no_grad()
def least_squares_bound(problem: Problem, x: Tensor) -> Tensor | None:
    r"""A conservative p-value of operator and noise alone, at any image that nearly has the least squares.

    The least discrepancy ``min T`` is at most T at the truth, and has at least the distribution
    :math:`\chi^2_{m - n}` for m data of n unknowns. Hence ``P(chi^2_{m-n} <= T(x))`` is a conservative
    p-value of a fit that is too good, at any x. T at the truth is at least ``T(x) - 2 |g| |x|``, g half the
    gradient of T, unless the truth is further from x than zero: ``P(chi^2_m >= T(x) - 2 |g| |x|)`` is one of
    a fit that is too bad. Sums of squares may be wrong by a quarter before they count.

    Returns
    -------
    tensor, float64, shape of the batch, or None
        Twice the smaller of the two. None for noise that is not Gaussian or of an unknown level, and
        operators that are not linear.
    """
    if not (problem.is_least_squares and problem.likelihood.level_known):
        return None
    space = problem.operator.domain
    unknowns = space.size * (2 if space.field == "complex" else 1)
    total, count = discrepancy(problem, x)
    slack = 2 * space.norm(problem.gradient(x)).double() * space.norm(x).double()
    large = _above(((total - slack) / _ALLOWED).clamp(min=0), count)
    freedom = count - unknowns
    small = torch.where(freedom > 0, _below(total * _ALLOWED, freedom.clamp(min=1)), 1.0)
    return (2 * torch.minimum(small, large)).clamp(max=1)


def _below(total: Tensor, freedom: Tensor) -> Tensor:
    """Probability that a chi-square variable is smaller."""
    return torch.special.gammainc(freedom / 2, total / 2)


def _above(total: Tensor, freedom: Tensor) -> Tensor:
    """Probability that a chi-square variable is larger."""
    return torch.special.gammaincc(freedom / 2, total / 2)


def _residual(problem: Problem, x: Tensor) -> Tensor:
    """Standardized residuals; zero where nothing is observed."""
    if isinstance(problem.operator.range, ProductSpace):
        raise CapabilityError("Residuals of measurements that are tuples have no noise model.")
    problem.operator.domain.check(x, "The residual")
    r = problem.likelihood.standardized(problem.operator(x), problem.measurement)
    return r if problem.observed is None else torch.where(problem.observed, r, 0)


def _least(problem: Problem) -> Tensor:
    """Mean square of residuals below which they are errors of rounding: of the noise, or of the data."""
    if problem.likelihood.level_known:
        return torch.full_like(problem.count(), _ROUNDING)
    square = problem.operator.range.norm(problem.measurement).double().square()
    return _ROUNDING**2 * square / problem.count() + 1e-30


def _energy(problem: Problem, r: Tensor) -> Tensor:
    return r.abs().double().square().sum(problem.operator.range.axes)

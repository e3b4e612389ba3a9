"""The discrepancy principle: an image misfits its data by as much as they are noisy."""

from __future__ import annotations

import torch

from invgen.convex.inner_runs import first_weight, weighted_run
from invgen.convex.protocols import Composite
from invgen.core.krylov import conjugate_gradients
from invgen.problem import Problem

__all__ = ["assumed_misfit", "discrepancy_weight", "noise_misfit"]

#: Noise level where it is neither known nor can be estimated from the data, a fraction of these.
_ASSUMED_NOISE = 0.01

#: Of the misfit ten iterations ago, what counts as still falling.
_FALLING = 0.97


@torch.no_grad()
def discrepancy_weight(problem: Problem, prior: Composite, iterations: int = 300) -> torch.Tensor:
    """Weight whose minimiser misfits the data by as much as the noise does (Morozov 1966).

    One run to the minimiser, in which every tenth iteration corrects the weight by the misfit that it led to,
    after Wen and Chan (2012), sec. 3; it ends when misfit and noise agree to two percent. The noise is that
    of `noise_misfit`.

    Returns
    -------
    tensor of the batch's shape
    """
    like = problem.zeros().real
    target = noise_misfit(problem)
    run = weighted_run(problem, prior)
    weight = first_weight(problem, prior, run.method, target)
    lowest, highest = 1e-4 * weight, 1e4 * weight
    settled = torch.zeros_like(target, dtype=torch.bool)
    misfit = torch.full_like(target, torch.inf)
    for k in range(10, iterations + 1, 10):
        x = run.advance(weight, 10)
        last, misfit = misfit, problem.misfit(x)
        ratio = target / misfit.clamp(min=torch.finfo(like.dtype).tiny)
        settled = settled | (((ratio - 1).abs() < 0.02) & (k >= 50))
        if bool(settled.all()):
            break
        # a misfit that still falls by itself does not ask for less weight
        waits = settled | ((ratio < 1) & (misfit < _FALLING * last))
        corrected = (weight * ratio.clamp(1 / 3, 3)).clamp(lowest, highest)
        weight = torch.where(waits, weight, corrected)
    return weight


def noise_misfit(problem: Problem) -> torch.Tensor:
    """What the noise adds to the misfit, shape of the batch.

    That of `assumed_misfit`; but where not even least squares comes down to it, the model errs by more than
    the noise, and no weight could: what least squares leaves, and a tenth more, then takes the place of the
    noise.
    """
    target = assumed_misfit(problem).to(problem.zeros().real)
    return torch.maximum(target, 1.1 * _least_misfit(problem, target))


def assumed_misfit(problem: Problem) -> torch.Tensor:
    """Expected misfit, shape of the batch, with some noise level also where none is known.

    That of the problem, else the operator's estimate from the data (`Operator.estimate_noise`), else one
    percent of the data's root mean square.
    """
    expected = problem.expected_misfit()
    if expected is not None:
        return expected
    return (_ASSUMED_NOISE * problem.operator.range.norm(problem.measurement).double()) ** 2


def _least_misfit(problem: Problem, target: torch.Tensor) -> torch.Tensor:
    """Misfit of the least-squares image, or zero where one below `target` is found on the way to it."""
    if not problem.likelihood.quadratic:
        return torch.zeros_like(target)
    x = conjugate_gradients(
        problem.normal,
        problem.backprojection,
        problem.operator.domain,
        iterations=200,
        enough=lambda x: problem.misfit(x) <= target,
    )
    misfit = problem.misfit(x)
    return torch.where(misfit <= target, 0, misfit)

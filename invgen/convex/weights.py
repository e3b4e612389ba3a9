"""The weight of a prior without ground truth.

Beside a number that is given there are two rules, "discrepancy" and "sure". The second is nearer to the best
image where the data determine it (denoising, deblurring, projections), and takes about three times as long.
It sees the error of the prediction alone: where much of the image is not measured, as in compressed sensing
and undersampled k-space, it may choose far too little weight, and the first is safer.

"auto" means the first, but for counts behind an absorber the second. An image has far fewer degrees of
freedom than there are rays, so that the misfit hardly depends on the weight: of few counts its expectation is
known to some percent only, and a percent changes the weight several times.
"""

from __future__ import annotations

from typing import Any

import torch

from invgen.convex.discrepancy import discrepancy_weight
from invgen.convex.protocols import Composite, Weight
from invgen.convex.sure import sure_weight
from invgen.core.errors import ParameterError
from invgen.core.late import fails
from invgen.problem import Problem

__all__ = ["check_weight", "find_weight", "rule_of"]

_RULES: dict[str, Any] = {"discrepancy": discrepancy_weight, "sure": sure_weight}


def check_weight(weight: Weight) -> None:
    """Raise unless `weight` is positive or names a rule."""
    if isinstance(weight, str):
        if weight not in ("auto", *_RULES):
            raise ParameterError(
                f"weight is a positive number, 'auto', 'discrepancy' or 'sure'; got {weight!r}."
            )
    elif fails(torch.as_tensor(weight) > 0):
        raise ParameterError(f"weight must be positive; got {weight}.")


def rule_of(weight: Weight, problem: Problem) -> str:
    """Name of the rule that a weight follows: "given", "discrepancy" or "sure"."""
    if not isinstance(weight, str):
        return "given"
    noise = problem.likelihood
    counts = noise.exponential and not noise.quadratic
    return weight if weight != "auto" else "sure" if counts else "discrepancy"


def find_weight(problem: Problem, prior: Composite, weight: str) -> float | torch.Tensor:
    """The number that a rule gives for `prior`, of whatever weight; one for each batch element."""
    found: torch.Tensor = _RULES[rule_of(weight, problem)](problem, prior)
    return float(found) if found.ndim == 0 else found

"""The units of solvers with a learned prior: noise level, a rough image and its scale, the prior's range."""

from __future__ import annotations

from typing import Any

import torch

from invgen.convex.discrepancy import noise_misfit
from invgen.core.errors import CapabilityError, ParameterError, ShapeError
from invgen.core.krylov import conjugate_gradients
from invgen.core.late import fails
from invgen.noise import Gaussian
from invgen.operators import Gradient, LinearOperator
from invgen.priors.image_format import format_of
from invgen.problem import Problem

__all__ = [
    "as_batch",
    "check_scale",
    "found_scale",
    "image_scale",
    "in_prior_unit",
    "nearest_least_squares",
    "prior_unit",
    "rough_image",
    "scale_statistics",
    "start_image",
    "with_level",
    "with_noise",
]

#: Weight of the roughness in a first image, against the data's largest curvature.
_SMOOTHING = 1e-2


def with_noise(problem: Problem, who: str) -> Problem:
    """The problem with Gaussian noise; where its level is unknown that of `noise_misfit`.

    Raises
    ------
    CapabilityError
        For noise that is not Gaussian; `who` needs it.
    """
    if not problem.likelihood.quadratic:
        raise CapabilityError(
            f"{who} needs Gaussian noise; this is {problem.likelihood.name}. Describe the data by Gaussian "
            "weights."
        )
    if problem.likelihood.level_known:
        return problem
    std = (noise_misfit(problem).double() / problem.count()).sqrt()
    std = torch.where(std > 0, std, 1.0)  # of data of zeros
    return Problem(problem.operator, problem.measurement, Gaussian(problem.operator.range.per_sample(std)))


def with_level(problem: Problem, who: str) -> Problem:
    """The problem, with the noise level of `with_noise` where it is unknown.

    Raises
    ------
    CapabilityError
        For an unknown level and an operator that is not linear, of which it cannot be estimated.
    """
    if not problem.likelihood.quadratic or problem.likelihood.level_known:
        return problem
    if not isinstance(problem.operator, LinearOperator):
        raise CapabilityError(f"{who} needs the noise level: Problem(..., noise=noise.Gaussian(std)).")
    return with_noise(problem, who)


def nearest_least_squares(problem: Problem) -> Problem | None:
    """The problem as one of least squares: of counts behind an absorber, that of their logarithm.

    None for operators that are not linear, and other noise that is not Gaussian.
    """
    if not isinstance(problem.operator, LinearOperator):
        return None
    if problem.is_least_squares:  # also of measurements that are tuples
        return problem
    found = problem.likelihood.nearest_linear(problem.measurement)
    return None if found is None else Problem(problem.operator, *found)


@torch.no_grad()
def rough_image(problem: Problem) -> torch.Tensor:
    """A cheap first image: least squares with a small penalty on the gradient, by a few conjugate gradients.

    The penalty carries the image on to where nothing was measured.
    """
    space = problem.operator.domain
    D = Gradient(space.shape, tuple(range(-min(2, len(space.shape)), 0)), space.field)
    norm = D.norm() ** 2 or 1.0  # one pixel has no gradient
    kappa = space.per_sample(_SMOOTHING * problem.lipschitz() / norm)
    return conjugate_gradients(
        lambda v: problem.normal(v) + kappa * D.gram(v),
        problem.backprojection,
        space,
        tolerance=1e-3,
        iterations=30,
    )


def start_image(problem: Problem, prior: Any) -> torch.Tensor:
    """A first image for a prior, in its unit: `rough_image`, within the value range.

    Where there is no `nearest_least_squares`, the middle of that range.
    """
    image, value_range = problem.zeros(), format_of(prior).value_range
    if (known := nearest_least_squares(problem)) is not None:
        image = rough_image(known)
    elif value_range is not None and not image.is_complex():
        image = image + sum(value_range) / 2
    return image if value_range is None or image.is_complex() else image.clamp(*value_range)


def image_scale(problem: Problem) -> torch.Tensor:
    """The 99.9 % quantile of a rough image's magnitude, shape of the batch: what is white in it.

    Hyper-parameters that count in it suit images of any unit. One where all data are zero.
    """
    size = rough_image(problem).abs().flatten(len(problem.batch_shape))
    scale = size.topk(max(1, size.shape[-1] // 1000)).values[..., -1]
    return torch.where(scale > 0, scale, 1.0)


def check_scale(value: Any, name: str) -> None:
    """Raise unless the value of a hyper-parameter is "auto" or positive."""
    if isinstance(value, str):
        if value != "auto":
            raise ParameterError(f"{name} is 'auto' or positive; got {value!r}.")
    elif fails(torch.as_tensor(value) > 0):
        raise ParameterError(f"{name} must be positive; got {value}.")


def as_batch(value: float | torch.Tensor, problem: Problem, name: str) -> torch.Tensor:
    """A number, or one for each batch element, as a tensor of the batch's shape.

    Raises
    ------
    ShapeError
        Where it has another shape; `name` is what it is.
    """
    value = torch.as_tensor(value)
    if value.shape not in ((), problem.batch_shape):
        raise ShapeError(
            f"{name} of each batch element has the batch's shape {tuple(problem.batch_shape)}; got "
            f"{tuple(value.shape)}."
        )
    return value.to(problem.zeros().real).expand(problem.batch_shape)


def prior_unit(scale: Any, prior: Any) -> torch.Tensor | None:
    """One in the prior's value range, in the unit of an image whose white is `scale`; None without a range.

    An image over this unit lies in the range that the prior was made for.
    """
    value_range = format_of(prior).value_range
    return None if value_range is None else scale / value_range[1]


def found_scale(scale: Any, prior: Any, problem: Problem) -> Any:
    """A hyper-parameter `scale` with one number for each batch element, where the prior has a value range.

    "auto" is `image_scale`; where there is no `nearest_least_squares`, the upper end of that range.
    """
    value_range = format_of(prior).value_range
    if value_range is None:
        return scale
    if isinstance(scale, str):
        known = nearest_least_squares(problem)
        scale = value_range[1] if known is None else image_scale(known)
    return as_batch(scale, problem, "scale")


def scale_statistics(scale: Any) -> dict[str, Any]:
    """What the statistics report of a `found_scale`: nothing where the prior has no range."""
    if not isinstance(scale, torch.Tensor):
        return {}
    return {"scale": scale if scale.ndim else float(scale)}


def in_prior_unit(problem: Problem, scale: Any, prior: Any) -> tuple[Problem, Any]:
    """The problem in the unit of the prior, and what its images are multiplied by to have their own unit.

    Raises
    ------
    CapabilityError
        Where the two units differ, and the operator is not linear.
    """
    unit = prior_unit(scale, prior)
    if unit is None:
        return problem, 1.0
    if not isinstance(problem.operator, LinearOperator):
        if bool((unit == 1).all()):
            return problem, 1.0
        raise CapabilityError(f"Images of an operator that is not linear keep their unit; got scale={scale}.")
    # of one number even noise with a covariance can be scaled
    same = bool((unit == unit.flatten()[:1]).all()) and unit.numel() > 0
    unit = unit.flatten()[0] if same else unit.expand(problem.batch_shape)
    return problem.scaled(1 / unit), problem.operator.domain.per_sample(unit)

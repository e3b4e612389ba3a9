"""Rules of priors with a density of images, or with an energy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from invgen.core.errors import DataError, ParameterError, ShapeError
from invgen.priors.base import energy_gradient
from invgen.testing.report import distance
from invgen.testing.subject import ROUNDING, SINGLE, Rule, Subject, check_gradient, single

__all__ = ["DENSITY", "ENERGY", "INTEGRAL", "SAME_DENSITY"]

#: The largest number of images over which a density is summed, and how far from one the sum may be.
_IMAGES, _SUM = 4096, 1e-3


def _check_number(name: str, subject: Subject) -> None:
    """One finite real number for each image, in the precision of the images."""
    function, checks, x = getattr(subject.prior, name), subject.checks, subject.x()
    value = function(x)
    checks.true(f"{name}: shape", value.shape == (3,), f"of 3 images it has the shape {tuple(value.shape)}")
    real = not value.is_complex() and bool(torch.isfinite(value).all())
    checks.true(f"{name}: number", real, "it is not a finite real number")
    one = function(x[0])
    checks.true(f"{name}: one", one.shape == (), f"of one image it has the shape {tuple(one.shape)}")
    axes = function(x[:, None])
    checks.true(f"{name}: axes", axes.shape == (3, 1), "batch axes are not kept")
    close = function(single(x))
    kept = value.dtype == torch.float64 and close.dtype == torch.float32
    checks.true(f"{name}: precision", kept, f"float64 and float32 give {value.dtype} and {close.dtype}")
    # relative to how much it differs from image to image there would be no bound
    checks.at_most(
        f"{name}: single", distance(close.double(), value), SINGLE, "single and double precision disagree"
    )


def _check_batch(name: str, subject: Subject) -> None:
    function, x = getattr(subject.prior, name), subject.x()
    value, alone = function(x), torch.stack([function(one) for one in x])
    meaning = "a batch is not its elements"
    subject.checks.at_most(f"{name} batch", distance(value, alone), ROUNDING, meaning)
    apart = distance(function(x[:, None])[:, 0], value)
    subject.checks.at_most(f"{name} batch: axes", apart, ROUNDING, "batch axes change it")


def _check_gradient(name: str, gradient: Callable[[Any, Tensor], Tensor] | None, subject: Subject) -> None:
    images = subject.images
    if images.levels is not None and name == "log_prob":
        subject.checks.leave_out(f"{name} gradient", "its images are of levels, and have probabilities")
        return
    own = None if gradient is None else partial(gradient, subject.prior)
    function, unit = getattr(subject.prior, name), images.unit[1]
    check_gradient(f"{name} gradient", function, subject.x(), subject, own, unit)


def _check_errors(name: str, subject: Subject) -> None:
    function, checks, x = getattr(subject.prior, name), subject.checks, subject.x()
    spoiled = x.clone(memory_format=torch.contiguous_format)
    spoiled.view(-1)[-1] = float("nan")
    with checks.raises(f"{name} errors: NaN", DataError, "NaN must be refused"):
        function(spoiled)
    wrong = x.new_zeros(3, *x.shape[1:-1], x.shape[-1] + 1) if subject.images.shape else x.new_zeros(())
    with checks.raises(f"{name} errors: shape", ShapeError, "images of another shape must be refused"):
        function(wrong)


def _check_same_density(subject: Subject) -> None:
    x = subject.x()
    total = subject.prior.log_prob(x) + subject.prior.energy(x)
    spread = (total - total.mean()).abs().max() / total.abs().max().clamp(min=1)
    meaning = "log_prob + energy is not the same for all images"
    subject.checks.at_most("same density", spread, ROUNDING, meaning)


def _check_integral(subject: Subject) -> None:
    images, pixels = subject.images, subject.space.size
    levels = images.levels
    if levels is None or levels**pixels > _IMAGES:
        raise ParameterError(
            f"The probabilities of all images can be summed where there are at most {_IMAGES}; this prior "
            f"has {'real numbers' if levels is None else f'{levels} levels'} in {pixels} pixels."
        )
    numbers = torch.cartesian_prod(*[torch.arange(levels)] * pixels).reshape(-1, *subject.space.shape)
    like = torch.empty(numbers.shape, dtype=torch.float64)
    every = images.from_levels(images.as_channels(numbers), like)
    with torch.no_grad():
        total = torch.cat([subject.prior.log_prob(part) for part in every.split(512)]).exp().sum()
    meaning = f"the probabilities of all {len(every)} images sum to {float(total):.6f}"
    subject.checks.at_most("integral", abs(float(total) - 1), _SUM, meaning)


def _rules(name: str, gradient: Callable[[Any, Tensor], Tensor] | None = None) -> dict[str, Rule]:
    return {
        name: partial(_check_number, name),
        f"{name} batch": partial(_check_batch, name),
        f"{name} gradient": partial(_check_gradient, name, gradient),
        f"{name} errors": partial(_check_errors, name),
    }


#: The rules of what has `log_prob`, of what has `energy`, and of what has both, by name.
DENSITY = _rules("log_prob")
ENERGY = _rules("energy", energy_gradient)
SAME_DENSITY: dict[str, Rule] = {"same density": _check_same_density}

#: Run where a caller asks for it.
INTEGRAL: dict[str, Rule] = {"integral": _check_integral}

"""Latent variables of a rough image: where the encoder of a prior starts."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from invgen.core.errors import CapabilityError
from invgen.problem import Problem
from invgen.solvers.scale import in_prior_unit, start_image

__all__ = ["encoded", "require_encoder"]


@runtime_checkable
class _Encoder(Protocol):
    def encode(self, x: Tensor) -> Any:
        """Latent variables of images, or their distribution with a `mean`."""


def require_encoder(prior: Any, who: str) -> None:
    """Raise unless the prior encodes images."""
    if not isinstance(prior, _Encoder):
        raise CapabilityError(
            f"{who} with start='encoder' needs a prior with encode(x), such as a VAE or a Flow; "
            f"{type(prior).__name__} has none. Take start='random'."
        )


def encoded(problem: Problem, prior: Any, scale: Any) -> Tensor:
    """Latent variables (*batch, *latent) of `start_image`."""
    inner, _ = in_prior_unit(problem, scale, prior)
    found = prior.encode(start_image(inner, prior))
    return found if isinstance(found, Tensor) else found.mean

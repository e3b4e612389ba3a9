"""Statistics of the score: its norm at several noise levels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from invgen.core.errors import ParameterError, ShapeError
from invgen.plausibility.anomaly.base import Statistic, in_parts
from invgen.plausibility.anomaly.vectors import Cloud
from invgen.priors.base import Denoiser
from invgen.priors.image_format import format_of

__all__ = ["ScoreNorms"]

#: Default noise levels, in half widths of the prior's value range.
_LEVELS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

#: Least norm, in the unit of noise of unit variance: an image that a denoiser leaves as it is has none.
_LEAST = 1e-6


@dataclass(frozen=True)
class ScoreNorms(Statistic):
    """Norms of the score over noise levels, as a distance from those of other images.

    Mahmood, Oliva and Styner (2021), "Multiscale score matching for out-of-distribution detection": the
    vector of ``sigma |s(x, sigma)|`` over noise levels, here its logarithms, under a density that is
    fitted to such vectors of inliers, here one Gaussian where the paper has a mixture of some. It finds what
    has unusual structure at any scale, also where the image is too smooth; the density of the prior is not
    needed, so that one evaluation of the denoiser for each level is all.

    Parameters
    ----------
    sigmas : sequence of positive numbers, optional
        Noise levels in the unit of the images; by default eight from 0.02 to 5 half widths of the prior's
        value range, as far as the prior denoises them.
    cloud : Cloud, optional
        The Gaussian of the logarithms.
    """

    name = "score-norms"
    capabilities: ClassVar[tuple[type, ...]] = (Denoiser,)

    sigmas: tuple[float, ...] = ()
    cloud: Cloud | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigmas", tuple(map(float, self.sigmas)))
        if isinstance(self.cloud, Mapping):  # from a header
            object.__setattr__(self, "cloud", Cloud(**self.cloud))
        if not all(0 < sigma < math.inf for sigma in self.sigmas):
            raise ParameterError(f"sigmas are positive noise levels; got {self.sigmas}.")
        if self.cloud is not None and len(self.cloud.mean) != len(self.sigmas):
            raise ShapeError(f"{len(self.sigmas)} noise levels with a Gaussian of {len(self.cloud.mean)}.")

    @property
    def is_fitted(self) -> bool:
        """Whether the Gaussian is known."""
        return self.cloud is not None

    def _fit(self, prior: Any, images: Tensor) -> Self:
        sigmas = self.sigmas or _levels(prior)
        names = [f"the norm of the score at sigma {sigma:g}" for sigma in sigmas]
        return replace(self, sigmas=sigmas, cloud=Cloud.fit(_log_norms(prior, images, sigmas), names))

    def _values(self, prior: Any, images: Tensor) -> Tensor:
        assert self.cloud is not None
        return self.cloud.distance(_log_norms(prior, images, self.sigmas))

    def header(self) -> dict[str, Any]:
        """Noise levels, mean and covariance."""
        return asdict(self)


def _levels(prior: Any) -> tuple[float, ...]:
    known = format_of(prior)
    low, high = known.noise_range or (0.0, math.inf)
    levels = tuple(known.unit[1] * each for each in _LEVELS if low <= known.unit[1] * each <= high)
    # of a denoiser of one level, that
    return levels or (low,)


def _log_norms(prior: Any, images: Tensor, sigmas: tuple[float, ...]) -> Tensor:
    """Logarithms of ``sigma |score|`` of images, shape (n, levels)."""

    def norms(x: Tensor) -> Tensor:
        moved = [(prior.denoise(x, sigma) - x).flatten(1) / sigma for sigma in sigmas]
        return torch.stack([torch.linalg.vector_norm(each, dim=1) for each in moved], dim=1)

    return in_parts(norms, images).reshape(-1, len(sigmas)).clamp(min=_LEAST).log()

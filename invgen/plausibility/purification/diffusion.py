"""DiffPure: noise that hides what was changed, and the reverse diffusion."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from torch import Tensor

from invgen.core.draws import Draws
from invgen.core.errors import CapabilityError, ParameterError
from invgen.plausibility.purification.base import Purification
from invgen.priors.base import Denoiser
from invgen.priors.diffusion.reverse import SAMPLERS, noise_levels
from invgen.priors.image_format import format_of

__all__ = ["DiffusionPurification"]


@dataclass(frozen=True)
class DiffusionPurification(Purification):
    """Noise of the level sigma is added, and the reverse diffusion removes it, as in Nie et al. (2022).

    Section 3.1, in the notation of Karras et al. (2022): ``x + sigma n`` is what their forward process makes
    of x, but for its scale. Where sigma is large, what was changed is lost in the noise, and so is what the
    image showed. Each seed gives another image.

    Parameters
    ----------
    prior : Denoiser
        Whose `image_format` has a range of noise levels.
    sigma : number
        In the unit of the images, above the lowest noise level of the prior.
    eps : positive number, optional
        Radius of the ball, in the maximum norm, onto which the images are projected; without it, and in the
        paper, there is none.
    steps : int
        Noise levels of the reverse process.
    method : {"ancestral", "predictor-corrector", "heun"}
        See `invgen.priors.diffusion.reverse`. The first two draw, as the paper's stochastic equation does.
    """

    prior: Denoiser
    sigma: float
    _: KW_ONLY
    eps: float | None = None
    steps: int = 20
    method: str = "ancestral"

    protocols: ClassVar[tuple[type, ...]] = (Denoiser,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if format_of(self.prior).noise_range is None:
            raise CapabilityError(
                f"DiffusionPurification needs a prior that knows its range of noise levels; "
                f"{type(self.prior).__name__} does not. DenoisingPurification takes any denoiser."
            )
        if self.method not in SAMPLERS:
            raise ParameterError(f"method is one of {', '.join(SAMPLERS)}; got {self.method!r}.")
        if self.eps is not None and not 0 < self.eps < float("inf"):
            raise ParameterError(f"eps is a positive number, or None; got {self.eps!r}.")
        self._levels()

    def _levels(self) -> list[float]:
        """Noise levels from sigma to the lowest of the prior, and zero."""
        low, high = format_of(self.prior).noise_range or (0.0, 0.0)
        if not low < self.sigma <= high:
            raise ParameterError(
                f"sigma is a noise level of the prior, above {low:g} and up to {high:g}; got {self.sigma!r}."
            )
        return noise_levels(self.steps, low, self.sigma)

    def _purified(self, x: Tensor, seed: int) -> Tensor:
        draws = Draws(range(seed, seed + len(x)), device=x.device)
        noisy = x + self.sigma * draws(x)
        found = SAMPLERS[self.method](self.prior.denoise, noisy, self._levels(), draws)
        if self.eps is not None:
            found = found.clamp(x - self.eps, x + self.eps)
        images = format_of(self.prior)
        return found if images.value_range is None or x.is_complex() else found.clamp(*images.value_range)

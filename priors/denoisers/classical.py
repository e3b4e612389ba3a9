"""Denoisers of other libraries: total variation, non-local means, BM3D."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from invgen.core.checks import as_count
from invgen.core.errors import CapabilityError, ParameterError
from invgen.priors.base import Denoising
from invgen.priors.image_format import ImageFormat

__all__ = ["BM3D", "NonLocalMeans", "TVDenoiser"]

#: Noise level for which BM3D is called, whatever the images' unit: 25 of 255 gray levels, as in its paper.
_BM3D_LEVEL = 25 / 255


class _Library(Denoising):
    """A denoiser of a library of NumPy images, called for each of them, and for real and imaginary part."""

    def _one(self, image: np.ndarray, sigma: float) -> np.ndarray:
        """Denoise one real image."""
        raise NotImplementedError

    def _denoise(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        if x.requires_grad and torch.is_grad_enabled():
            raise CapabilityError(
                f"{type(self).__name__} has no derivative: detach x, or use priors.NetworkDenoiser, "
                "CycleSpunWavelets or ProxDenoiser."
            )
        if x.is_complex():
            return torch.complex(self._denoise(x.real, sigma), self._denoise(x.imag, sigma))
        image = x.shape[x.ndim - self.image_format.axes :]
        levels = sigma.expand(*x.shape[: x.ndim - len(image)], *(1,) * len(image)).flatten().tolist()
        images = x.detach().cpu().resolve_neg().reshape(-1, *image).numpy()
        result = np.empty_like(images)
        for i, level in enumerate(levels):
            result[i] = self._one(images[i], level)
        return torch.from_numpy(result).reshape(x.shape).to(x.device)


@dataclass(frozen=True)
class TVDenoiser(_Library):
    """Total variation by scikit-image's `denoise_tv_chambolle`, Chambolle (2004).

    Minimizes ``|z - x|^2 / 2 + strength sigma TV(z)``: the penalty is proportional to the noise, and the
    result independent of the images' unit.

    Parameters
    ----------
    strength : positive number
        0.75 was best on photographs at 10 and 25 of 255 gray levels.
    tolerance : positive number
        Of the objective, relative to the first one; scikit-image's `eps`.
    iterations : int
        At most.
    channels : bool
        Whether the axis before the last two is one of channels, whose gradients count jointly.
    """

    strength: float = 0.75
    tolerance: float = 2e-4
    iterations: int = 200
    channels: bool = False

    def __post_init__(self) -> None:
        _check_positive(self, "strength", "tolerance")
        as_count(self.iterations, "TVDenoiser's iterations")

    @property
    def image_format(self) -> ImageFormat:
        """Images ``(H, W)``, or with `channels` ``(C, H, W)``, of any unit."""
        return ImageFormat(axes=2 + self.channels)

    def _one(self, image: np.ndarray, sigma: float) -> np.ndarray:
        from skimage.restoration import denoise_tv_chambolle

        return denoise_tv_chambolle(
            image,
            self.strength * sigma,
            eps=self.tolerance,
            max_num_iter=self.iterations,
            channel_axis=0 if self.channels else None,
        )


@dataclass(frozen=True)
class NonLocalMeans(_Library):
    """Non-local means by scikit-image's `denoise_nl_means`, Buades, Coll and Morel (2005), eq. 6.

    Its fast variant, Darbon et al. (2008), which subtracts from the distances of patches the ``2 sigma^2``
    that noise adds to them.

    Parameters
    ----------
    strength : positive number
        Decay of the weights, in units of sigma. The defaults were the best for their time of strengths from
        0.4 to 0.8, patches of 5 and 7 and distances from 6 to 11, on photographs at 10 to 50 of 255 gray
        levels.
    patch_size, patch_distance : int
        Side of the patches, and largest distance of those that are compared, in pixels.
    channels : bool
        Whether the axis before the last two is one of channels, which share their weights.
    """

    strength: float = 0.6
    patch_size: int = 5
    patch_distance: int = 6
    channels: bool = False

    def __post_init__(self) -> None:
        _check_positive(self, "strength")
        for name in ("patch_size", "patch_distance"):
            as_count(getattr(self, name), f"NonLocalMeans' {name}")

    @property
    def image_format(self) -> ImageFormat:
        """Images ``(H, W)``, or with `channels` ``(C, H, W)``, of any unit."""
        return ImageFormat(axes=2 + self.channels)

    def _one(self, image: np.ndarray, sigma: float) -> np.ndarray:
        from skimage.restoration import denoise_nl_means

        return denoise_nl_means(
            # in units of the noise: its sums of squares would else leave the range of single precision
            image / np.asarray(sigma, image.dtype),
            self.patch_size,
            self.patch_distance,
            h=self.strength,
            sigma=1.0,
            fast_mode=True,
            channel_axis=0 if self.channels else None,
        ) * np.asarray(sigma, image.dtype)


@dataclass(frozen=True)
class BM3D(_Library):
    """Block matching and 3D filtering, Dabov, Foi, Katkovnik and Egiazarian (2007), by the package `bm3d`.

    The package is the authors' own, and free for non-commercial use; invgen installs without it. It computes
    in single precision on several threads, and repeats itself to rounding, not to the bit.

    Parameters
    ----------
    profile : {"np", "refilter", "vn", "vn_old", "high", "deb"}
        The package's sets of parameters: "np" is that of the paper; "refilter" is slower and better.

    Raises
    ------
    CapabilityError
        Where the package is not installed.
    """

    profile: str = "np"

    def __post_init__(self) -> None:
        profiles = ("np", "refilter", "vn", "vn_old", "high", "deb")
        if self.profile not in profiles:
            raise ParameterError(f"BM3D: profile is one of {', '.join(profiles)}; got {self.profile!r}.")
        _bm3d()

    def _one(self, image: np.ndarray, sigma: float) -> np.ndarray:
        unit = sigma / _BM3D_LEVEL
        return _bm3d()(image.astype(np.float64) / unit, _BM3D_LEVEL, self.profile) * unit


def _bm3d() -> Callable[..., np.ndarray]:
    try:
        from bm3d import bm3d
    except ImportError:
        raise CapabilityError(
            "BM3D needs the package bm3d, free for non-commercial use: pip install bm3d. "
            "NonLocalMeans and CycleSpunWavelets need no package."
        ) from None
    return bm3d


def _check_positive(denoiser: Any, *names: str) -> None:
    for name in names:
        if not getattr(denoiser, name) > 0:
            given = getattr(denoiser, name)
            raise ParameterError(f"{type(denoiser).__name__}: {name} is a positive number; got {given!r}.")

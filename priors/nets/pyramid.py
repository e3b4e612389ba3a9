"""A denoiser of images on several grids: the higher the noise level, the coarser."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError
from invgen.priors.nets.edm import EDM

__all__ = ["PhaseAligned", "Pyramid", "low_pass"]


class Pyramid(nn.Module):
    """`EDM` on the grid of the images, and above certain noise levels on coarser ones.

    The power of images falls with the frequency, and high noise leaves the low ones alone (Rissanen, Heinonen
    and Solin 2023). Above a noise level these can be denoised on a grid of their own, and the others, far
    below the noise, are estimated as zero:

        D(x, sigma) = R^T D_c(R x, sigma),    R R^T = 1,

    with `low_pass` along both axes as R. Its rows are orthonormal: the noise of ``R x`` is white, of the same
    level, and its pixels are c times local means of x, so that D_c is an `EDM` for images of c times the root
    mean square. As each noise level has one grid, one network serves all, where cascades (Ho et al. 2022)
    have several. What is large, such as outlines, it learns from images of ``1 / c^2`` of the pixels: each of
    the `denoisers` is trained on those of its grid.

    Parameters
    ----------
    network : torch.nn.Module
        See `EDM`.
    sigma_data : float
        Root mean square of the images.
    grids : sequence of pairs (int, float)
        Side c of the pixels of each coarser grid, in pixels, and the noise level above which it is used; both
        rising.
    phases : bool
        Whether images are complex, with any phase: denoisers on coarser grids are then `PhaseAligned`.

    Attributes
    ----------
    denoisers : torch.nn.ModuleList
        Of the images themselves, and of each coarser grid.

    Raises
    ------
    ParameterError
        Where `grids` is empty, or its numbers are out of range or do not rise.
    """

    def __init__(
        self,
        network: nn.Module,
        sigma_data: float,
        grids: Sequence[tuple[int, float]],
        *,
        phases: bool = False,
    ) -> None:
        super().__init__()
        sides = [as_count(side, "the side of a coarse pixel", least=2) for side, _ in grids]
        levels = [float(level) for _, level in grids]
        rising = all(sorted(set(values)) == values for values in (sides, levels))
        if not (grids and rising and levels[0] > 0 and levels[-1] < math.inf):
            raise ParameterError(
                "grids are pairs (side of a coarse pixel, noise level above which it is used), both rising, "
                f"as in ((4, 0.4), (8, 1.2)); got {grids}."
            )
        self.grids, self.phases = list(zip(sides, levels, strict=True)), phases
        coarser = [EDM(network, side * sigma_data) for side in sides]
        aligned = [PhaseAligned(each) for each in coarser] if phases else coarser
        self.denoisers = nn.ModuleList([EDM(network, sigma_data), *aligned])

    @property
    def network(self) -> nn.Module:
        """That of all grids."""
        found: nn.Module = self.denoisers[0].network  # type: ignore[assignment]
        return found

    def forward(
        self, x: Tensor, sigma: Tensor, label: Tensor | None = None, extra: Tensor | None = None
    ) -> Tensor:
        """Denoise images ``(N, C, H, W)`` of noise levels ``(N,)``; `extra` are further channels."""
        grid = torch.bucketize(sigma, sigma.new_tensor([level for _, level in self.grids]))
        chosen = grid.unique().tolist()
        if len(chosen) == 1:
            return self._on(chosen[0], x, sigma, label, extra)
        places = [(grid == each).nonzero().flatten() for each in chosen]
        parts = [
            self._on(each, x[place], sigma[place], _part(label, place), _part(extra, place))
            for each, place in zip(chosen, places, strict=True)
        ]
        return torch.cat(parts)[torch.cat(places).argsort()]

    def _on(self, grid: int, x: Tensor, sigma: Tensor, label: Tensor | None, extra: Tensor | None) -> Tensor:
        """The formula of one of the grids; zero is that of the images."""
        denoiser = self.denoisers[grid]
        if grid == 0:
            found: Tensor = denoiser(x, sigma, label, extra)
            return found
        side = self.grids[grid - 1][0]
        exactly = torch.autocast(x.device.type, enabled=False)  # where the network is in bf16
        with exactly:
            down, across = (low_pass(-(-n // side), n, x) for n in x.shape[-2:])
            seen = down @ x @ across.mT
        # R multiplies local means by the root of the ratio of the pixels: by `side`, or a little less
        ratio = side * math.sqrt(seen[0, 0].numel() / x[0, 0].numel())
        if extra is not None:
            extra = F.interpolate(extra, seen.shape[-2:], mode="bilinear", align_corners=True)
        found = denoiser(ratio * seen, ratio * sigma, label, extra) / ratio
        with exactly:
            return down.mT @ found @ across


def _part(values: Tensor | None, places: Tensor) -> Tensor | None:
    return None if values is None else values[places]


class PhaseAligned(nn.Module):
    """A denoiser of complex images that commutes with phases: it sees those whose mean is positive.

    Images of any phase, such as those of MRI, have a posterior mean that turns with the image. The denoiser
    has it by construction, and need not learn it (Kaba et al. 2023, with the mean as the frame).

    Parameters
    ----------
    denoiser : torch.nn.Module
        Of real and then imaginary channels ``(N, 2 C, H, W)``.
    """

    def __init__(self, denoiser: nn.Module) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(
        self, x: Tensor, sigma: Tensor, label: Tensor | None = None, extra: Tensor | None = None
    ) -> Tensor:
        """Denoise images ``(N, 2 C, H, W)`` of noise levels ``(N,)``."""
        image = torch.complex(*x.chunk(2, dim=1))
        mean = image.mean((1, 2, 3), keepdim=True)
        phase = torch.where(mean == 0, 1, mean.sgn())
        aligned = _channels(image * phase.conj())
        found = torch.complex(*self.denoiser(aligned, sigma, label, extra).chunk(2, dim=1))
        return _channels(found * phase)

    def weight(self, sigma: Tensor) -> Tensor:
        """That of the denoiser."""
        denoiser: Any = self.denoiser
        found: Tensor = denoiser.weight(sigma)
        return found


def _channels(x: Tensor) -> Tensor:
    return torch.cat([x.real, x.imag], dim=1)


def low_pass(n: int, size: int, like: Tensor) -> Tensor:
    """The map of `size` samples to `n` with the lower n of their frequencies, ``(n, size)``.

    The inverse discrete cosine transform (of type 2, orthonormal) of n samples, after the first n rows of
    that of `size` samples. Its rows are orthonormal: white noise stays white, and the transpose is the
    interpolation. As cosines are even about both ends, nothing leaks from one end to the other.
    """
    fine, coarse = (_cosines(n, m, like) for m in (size, n))
    return coarse.mT @ fine


def _cosines(n: int, size: int, like: Tensor) -> Tensor:
    """The first n rows of the orthonormal discrete cosine transform, ``(n, size)``."""
    order = torch.arange(n, device=like.device, dtype=like.dtype)[:, None]
    places = torch.arange(size, device=like.device, dtype=like.dtype) + 0.5
    waves = math.sqrt(2 / size) * torch.cos(math.pi / size * order * places)
    return torch.cat([waves[:1] / math.sqrt(2), waves[1:]])

"""Denoising score matching: what a diffusion model learns from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from invgen.errors import ParameterError, ShapeError
from invgen.priors.nets.positions import positions

__all__ = ["ScoreMatching"]


@dataclass(frozen=True)
class ScoreMatching:
    """Mean weighted error of a denoiser on a random batch, Vincent (2011).

    With the weights of Karras et al. (2022), eqs. 2 and 8.

    Parameters
    ----------
    images : sequence of tensors, shape (C, H, W)
        In the network's units; each is drawn as often as it has pixels.
    batch_size : int
    patch : int, optional
        Side of random crops; by default whole images, which then have one size.
    positioned : bool
        Whether the network is told where in its image each pixel lies, Hu et al. (2024), sec. 3.1.
    mean, spread : float
        Of the logarithm of the noise level, which is normal.
    flips : bool
        Whether images come mirrored and turned by quarters, too.
    labels : tensor of int, shape (n,), optional
        Classes of the images; one in ten is withheld, so that the network also learns to do without.
    transform : callable(batch, generator) -> batch, optional
        Whatever else images stand for, such as other phases.
    """

    images: Sequence[Tensor]
    batch_size: int = 32
    patch: int | None = None
    positioned: bool = False
    mean: float = -1.2
    spread: float = 1.2
    flips: bool = False
    labels: Tensor | None = None
    transform: Callable[[Tensor, torch.Generator], Tensor] | None = None

    def __post_init__(self) -> None:
        if not len(self.images):
            raise ParameterError("Nothing to learn from: no images.")
        sizes = {tuple(image.shape[-2:]) for image in self.images}
        least = min(min(size) for size in sizes)
        if self.patch is None and len(sizes) > 1:
            raise ShapeError(f"Images of the sizes {sorted(sizes)} are learned by patches: give patch=64.")
        if self.patch is not None and least < self.patch:
            raise ShapeError(f"Patches of {self.patch} pixels do not fit images of {least}.")

    def __call__(self, module: nn.Module, generator: torch.Generator) -> Tensor:
        """The loss of one batch."""
        images, extra, label = self._batch(generator)
        draw = {"generator": generator, "device": generator.device}
        sigma = torch.exp(self.mean + self.spread * torch.randn(len(images), **draw))
        noise = torch.randn(images.shape, **draw)
        error = module(images + sigma[:, None, None, None] * noise, sigma, label, extra) - images
        weight = getattr(module, "module", module).weight(sigma)
        return (weight * error.square().flatten(1).mean(1)).mean()

    def _batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Images, their positions and their classes."""
        areas = torch.tensor([float(x.shape[-1] * x.shape[-2]) for x in self.images], device=generator.device)
        chosen = torch.multinomial(areas, self.batch_size, replacement=True, generator=generator)
        crops = [self._crop(self.images[int(i)], generator) for i in chosen]
        images = torch.stack([crop for crop, _ in crops]).to(generator.device)
        extra = torch.stack([place for _, place in crops]).to(images) if self.positioned else None
        if self.flips:
            images = self._turned(images, generator)
        if self.transform is not None:
            images = self.transform(images, generator)
        if self.labels is None:
            return images, extra, None
        label = self.labels.to(generator.device)[chosen]
        withheld = torch.rand(len(label), generator=generator, device=generator.device) < 0.1
        return images, extra, label.masked_fill(withheld, -1)

    def _crop(self, image: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        height, width = image.shape[-2:]
        down, across = self.patch or height, self.patch or width
        top, left = (
            int(torch.randint(n + 1, (), generator=generator, device=generator.device))
            for n in (height - down, width - across)
        )
        window = (..., slice(top, top + down), slice(left, left + across))
        place = positions(height, width, image)[window] if self.positioned else image
        return image[window], place

    def _turned(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Each as it is or mirrored, turned by quarters where it is square."""
        dice = torch.randint(8, (len(images),), generator=generator, device=generator.device)
        quarters = 1 if images.shape[-1] == images.shape[-2] else 2
        turned = [torch.rot90(x, quarters * int(k % 4), (-2, -1)) for x, k in zip(images, dice, strict=True)]
        return torch.stack([x.flip(-1) if k >= 4 else x for x, k in zip(turned, dice, strict=True)])

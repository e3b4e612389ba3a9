"""Random batches of images: crops, mirrored and rotated, with positions and labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from invgen.core.checks import as_count
from invgen.core.errors import DtypeError, ParameterError, ShapeError
from invgen.priors.nets.positions import fourier_features, positions

__all__ = ["Batch", "Batches", "Transform", "random_phases", "weight_of"]

#: Augmentation: images to images of the same shape.
Transform = Callable[[Tensor, torch.Generator], Tensor]

#: Number of cosines along each side of smooth phases, the constant one included.
_WAVES = 3


class Batch(NamedTuple):
    """The arguments of a network: images ``(N, C, H, W)``, their positions and their classes."""

    images: Tensor
    extra: Tensor | None
    label: Tensor | None


@dataclass(frozen=True)
class Batches:
    """Images from which batches are drawn.

    Parameters
    ----------
    images : sequence of tensors, shape (C, H, W)
        In the network's unit; each is drawn with a probability proportional to its number of pixels.
    batch_size : int
    patch : int, optional
        Side of random crops; by default whole images, which then have one size.
    positioned : bool
        Whether the network gets the position of each pixel in its image, Hu et al. (2024), sec. 3.1, as
        `fourier_features`.
    flips : bool
        Whether images are mirrored and rotated by quarter turns at random.
    labels : tensor of int, shape (n,), optional
        Classes of the images.
    withheld : number from 0 to 1
        Fraction of the labels that the network does not get: it then also learns the density of all classes.
    transform : callable(batch, generator) -> batch, optional
        Augmentation of other kinds, such as random phases: `random_phases`.
    """

    images: Sequence[Tensor]
    batch_size: int = 32
    patch: int | None = None
    positioned: bool = False
    flips: bool = False
    labels: Tensor | None = None
    withheld: float = 0.1
    transform: Transform | None = None

    def __post_init__(self) -> None:
        if not len(self.images):
            raise ParameterError("There are no images: there is nothing to learn.")
        as_count(self.batch_size, "batch_size")
        shapes = {tuple(image.shape) for image in self.images}
        if any(len(shape) != 3 for shape in shapes) or len({shape[0] for shape in shapes}) > 1:
            raise ShapeError(f"Images are (C, H, W), all of one C; got {sorted(shapes)}.")
        least = min(min(shape[1:]) for shape in shapes)
        if self.patch is None and len(shapes) > 1:
            sizes = sorted({shape[1:] for shape in shapes})
            raise ShapeError(f"Images of several sizes, {sizes}, need patches: give patch=64.")
        if self.patch is not None and as_count(self.patch, "patch") > least:
            raise ShapeError(f"Patches of {self.patch} pixels do not fit images of {least}.")
        self._check_labels()

    def _check_labels(self) -> None:
        labels = self.labels
        if not 0 <= self.withheld <= 1:
            raise ParameterError(f"withheld is a fraction of the labels; got {self.withheld}.")
        if labels is None:
            return
        if labels.is_floating_point() or labels.is_complex():
            raise DtypeError(f"Labels are integers, from zero; got {labels.dtype}.")
        if tuple(labels.shape) != (len(self.images),) or int(labels.min()) < 0:
            raise ShapeError(
                f"Labels are one integer from zero for each of the {len(self.images)} images; got the shape "
                f"{tuple(labels.shape)}, from {int(labels.min()) if labels.numel() else 'none'}."
            )

    def draw(self, generator: torch.Generator) -> Batch:
        """A batch, on the device of the generator."""
        chosen = torch.multinomial(self._areas, self.batch_size, True, generator=_here(generator)).tolist()
        draws: dict[str, Any] = {"generator": generator, "device": generator.device}
        places = torch.rand(len(chosen), 2, dtype=torch.float64, **draws).tolist()
        turns = torch.randint(8, (len(chosen),), **draws).tolist() if self.flips else [0] * len(chosen)
        crops = [self._crop(*each) for each in zip(chosen, places, turns, strict=True)]
        images = torch.stack([crop for crop, _ in crops]).to(generator.device)
        where = [place for _, place in crops if place is not None]
        extra = fourier_features(torch.stack(where)).to(images) if where else None
        if self.transform is not None:
            images = self.transform(images, generator)
        if self.labels is None:
            return Batch(images, extra, None)
        label = self.labels[chosen].to(generator.device)
        withheld = torch.rand(len(label), **draws) < self.withheld
        return Batch(images, extra, label.masked_fill(withheld, -1))

    @cached_property
    def _areas(self) -> Tensor:
        return torch.tensor([float(x.shape[-1] * x.shape[-2]) for x in self.images])

    @cached_property
    def _places(self) -> dict[tuple[int, int], Tensor]:
        """Positions in the whole of an image, by its size."""
        sizes = {(x.shape[-2], x.shape[-1]) for x in self.images}
        return {size: positions(*size, torch.empty(0)) for size in sizes}

    def _crop(self, index: int, place: list[float], turn: int) -> tuple[Tensor, Tensor | None]:
        image = self.images[index]
        height, width = image.shape[-2:]
        down, across = self.patch or height, self.patch or width
        top, left = (int(u * (n + 1)) for u, n in zip(place, (height - down, width - across), strict=True))
        window = (..., slice(top, top + down), slice(left, left + across))
        where = self._places[height, width][window] if self.positioned else None
        return _turned(image[window], where, turn)


def _here(generator: torch.Generator) -> torch.Generator:
    """A generator of the CPU that follows from one of any device."""
    if generator.device.type == "cpu":
        return generator
    seed = torch.randint(2**62, (), generator=generator, device=generator.device)
    return torch.Generator().manual_seed(int(seed))


def _turned(image: Tensor, where: Tensor | None, turn: int) -> tuple[Tensor, Tensor | None]:
    """One of eight symmetries: rotated by quarters, if square, or halves, and mirrored; positions alike."""
    quarters = turn % 4 if image.shape[-1] == image.shape[-2] else 2 * (turn % 2)
    image = torch.rot90(image, quarters, (-2, -1))
    image = image.flip(-1) if turn >= 4 else image
    if where is None:
        return image, None
    # positions in the rotated image: the row is what was the column, from the right
    for _ in range(quarters):
        down, across = torch.rot90(where, 1, (-2, -1))
        where = torch.stack([-across, down])
    if turn >= 4:
        down, across = where.flip(-1)
        where = torch.stack([down, -across])
    return image, where


def weight_of(module: nn.Module, sigma: Tensor) -> Tensor:
    """Weight of the squared error at each level, that of the denoiser, which may be wrapped."""
    denoiser: Any = getattr(module, "module", module)
    return denoiser.weight(sigma)


def random_phases(images: Tensor, generator: torch.Generator, smooth: bool = False) -> Tensor:
    """Multiply complex images, as real and imaginary channels ``(N, 2 C, H, W)``, by random phases.

    Parameters
    ----------
    images : tensor
    generator : torch.Generator
    smooth : bool
        A phase that varies over the image, by a few waves, as that of MR images does; else one number for
        each image.
    """
    draws: dict[str, Any] = {"generator": generator, "device": images.device}
    phase = 2 * math.pi * torch.rand(len(images), 1, 1, 1, **draws)
    if smooth:
        # cosines of up to one wave across the image, each of about a quarter of a turn
        size = torch.randn(len(images), _WAVES, _WAVES, **draws)
        down, across = (_cosines(n, images) for n in images.shape[-2:])
        phase = phase + torch.einsum("nij,ih,jw->nhw", size, down, across)[:, None]
    value = torch.complex(*images.chunk(2, dim=1)) * torch.polar(torch.ones_like(phase), phase)
    return torch.cat([value.real, value.imag], dim=1)


def _cosines(n: int, like: Tensor) -> Tensor:
    x = (torch.arange(n, device=like.device) + 0.5) / n
    order = torch.arange(_WAVES, device=like.device)[:, None]
    return torch.cos(math.pi * order * x) / (1 + order)

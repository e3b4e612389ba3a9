"""What differs between families while they learn: how they are made from images, trained and shown."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from invgen.core.errors import DtypeError, ParameterError, ShapeError
from invgen.figures import save_grid
from invgen.io import read_images, read_labels
from invgen.pipeline.learning import WHOLE, DenoiserLearning, DiffusionLearning, Learning, own_options
from invgen.pipeline.sampling import draw, window_of
from invgen.priors import Diffusion, Learned, Sampler
from invgen.priors.training import train, train_diffusion
from invgen.priors.training.collection import Collection

__all__ = ["Data", "Fit", "fit"]

#: The largest number of samples, and of their pixels, in a picture, or of images that are denoised.
_SAMPLES, _PIXELS, _PAIRS = 16, 2**16, 8

#: No images are held out of fewer.
_FEW = 20


@dataclass(frozen=True)
class Data:
    """Images.

    Attributes
    ----------
    name : str
        For messages.
    images : list of arrays
        To learn from.
    held_out : list of arrays
        To judge by, evenly spaced among them.
    labels : array of int, shape (n,), or None
        Classes of those to learn from.
    """

    name: str
    images: list[np.ndarray]
    held_out: list[np.ndarray]
    labels: np.ndarray | None

    @classmethod
    def read(cls, path: Path, options: Learning) -> Data:
        """Read images, and their labels where there are some."""
        images = read_images(path, dataset=options.dataset, gray=options.gray)
        given = options.labels if isinstance(options, DiffusionLearning) else None
        labels = None if given is None else read_labels(given)
        if labels is not None and len(labels) != len(images):
            raise ShapeError(f"{given} has {len(labels)} labels, {path} {len(images)} images.")
        count = int(options.hold_out * len(images)) if len(images) >= _FEW else 0
        apart = {int((i + 0.5) * len(images) / count) for i in range(count)}
        kept = [i for i in range(len(images)) if i not in apart]
        return cls(
            str(path),
            [images[i] for i in kept],
            [images[i] for i in sorted(apart)],
            None if labels is None else labels[kept],
        )


@dataclass(frozen=True)
class Fit:
    """A prior that is to be learned.

    Attributes
    ----------
    batch : int
    patch : int or None
        Side of the patches, where images are not whole.
    train : callable(folder=, training=, show=, progress=) -> Learned
        As `invgen.priors.training.train`.
    show : callable(prior, path)
        Draws a picture of what it has learned so far.
    """

    batch: int
    patch: int | None
    train: Callable[..., Learned]
    show: Callable[[Any, Path], None]


def fit(options: Learning, data: Data) -> Fit:
    """What is to be learned by these options.

    Raises
    ------
    ParameterError, ShapeError, DtypeError, DataError
        Where it cannot be learned from these images.
    """
    if isinstance(options, DiffusionLearning | DenoiserLearning):
        return _diffusion(options, data)
    return _trainable(options, data)


def _trainable(options: Learning, data: Data) -> Fit:
    """Of whole images of one size, real, by the class that the options name."""
    if len(data.images) < 2:
        raise ParameterError(f"{data.name} holds one image: a prior is learned from many.")
    found = Collection.of(data.images + data.held_out).image_format
    if found.field == "complex":
        raise DtypeError(
            f"{data.name} holds complex images; this family learns real ones. `invgen train diffusion` takes "
            "complex ones."
        )
    if found.shape is None:
        sizes = sorted({image.shape[-2:] for image in data.images + data.held_out})
        shown = ", ".join(f"{height}x{width}" for height, width in sizes[:3]) + ", ..." * (len(sizes) > 3)
        raise ShapeError(
            f"{data.name} holds images of several sizes, {shown}; this family learns whole images of one "
            "size: crop them, or train a diffusion model, by patches."
        )
    count = len(data.images)
    batch = options.batch or min(64, count)
    if batch > count:
        apart = f", {len(data.held_out)} being held out" if data.held_out else ""
        raise ParameterError(
            f"--batch {batch} is more than the {count} images to learn from{apart}: give --batch {count}, or "
            "leave it out."
        )
    family = pkgutil.resolve_name(options.prior)
    value_range, own = found.value_range, own_options(options)
    prior = family.untrained(found.shape, value_range=value_range, seed=options.seed, **own)
    images: dict[str, Any] = {"batch_size": batch, "flips": options.flips, "held_out": data.held_out}
    return Fit(
        batch, None, partial(train, prior, data.images, **images), partial(_draw_some, **options.drawing)
    )


def _draw_some(prior: Any, picture: Path, **drawing: Any) -> None:
    if isinstance(prior, Sampler):
        height, width = prior.image_format.shape[-2:]  # type: ignore[attr-defined]
        count = max(1, min(_SAMPLES, _PIXELS // (height * width)))
        save_grid(draw(prior, count, 0, **drawing), picture, window=window_of(prior))


def _diffusion(options: DiffusionLearning | DenoiserLearning, data: Data) -> Fit:
    images = data.images
    patch = _patch(options.patch, images + data.held_out)
    more: dict[str, Any] = {}
    if isinstance(options, DenoiserLearning):
        assert options.noise_std is not None
        more = {"noise_std": options.noise_std, "method": options.method}
        show: Any = partial(_draw_denoised, images=data.held_out or images, noise_std=options.noise_std)
    else:
        more = {"phases": options.phases}
        # of samples: that of the images, where they are whole or the network knows places in them
        whole = patch is None or options.positions
        show = partial(_draw_classes, size=images[0].shape[-2:] if whole else (patch, patch))
    noisy, batch = isinstance(options, DenoiserLearning), options.batch or (32 if patch else 64)
    trained = partial(
        train_diffusion,
        images,
        data.labels,
        patch=patch,
        positioned=options.positions,
        flips=options.flips,
        architecture=_architecture(options.widths, patch, images, noisy),
        batch_size=batch,
        held_out=data.held_out,
        **more,
    )
    return Fit(batch, patch, trained, show)


def _patch(given: int | None, images: list[np.ndarray]) -> int | None:
    sizes = {image.shape[-2:] for image in images}
    if given is not None:
        return given or None
    if len(sizes) == 1 and max(max(size) for size in sizes) <= WHOLE:
        return None
    return min(WHOLE, *(min(size) for size in sizes))


def _architecture(
    widths: Sequence[int] | None, patch: int | None, images: list[np.ndarray], noisy: bool
) -> dict[str, Any]:
    small = patch is None and max(images[0].shape[-2:]) <= WHOLE
    widths = widths or ([64, 96, 128] if patch else [64, 128])
    return {
        "widths": widths,
        "unshuffle": 2,
        "attention": [len(widths) - 1] if small else [],
        "dropout": 0.1 if small and not noisy else 0.0,
    }


def _draw_classes(prior: Diffusion, picture: Path, *, size: tuple[int, int]) -> None:
    """A few samples of each class, or of all at once."""
    channels = prior.image_format.channels
    shape = size if channels is None else (channels, *size)
    count = max(1, min(_SAMPLES, _PIXELS // (size[0] * size[1])))
    kinds = [prior.of_class(k) for k in range(prior.classes)] if 0 < prior.classes <= count else [prior]
    each = count // len(kinds)
    drawn = [draw(kind, each, each * i, image_shape=shape, steps=18) for i, kind in enumerate(kinds)]
    # classes from left to right
    columns = len(kinds) if len(kinds) > 1 else None
    save_grid(torch.stack(drawn, dim=1).flatten(0, 1), picture, columns=columns, window=window_of(prior))


def _draw_denoised(prior: Diffusion, picture: Path, *, images: list[np.ndarray], noise_std: float) -> None:
    """Images and what becomes of them, side by side."""
    shown = [torch.as_tensor(image) for image in images[:_PAIRS]]
    height, width = (min(4 * WHOLE, *(x.shape[axis] for x in shown)) for axis in (-2, -1))
    noisy = torch.stack([x[..., :height, :width] for x in shown])
    with torch.no_grad():
        pairs = torch.stack([noisy, prior.denoise(noisy, noise_std)], dim=1)
    save_grid(pairs.flatten(0, 1), picture, columns=4, window=window_of(prior))

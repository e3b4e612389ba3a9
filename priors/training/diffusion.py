"""A diffusion model from images, clean or noisy, in one call."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from invgen.core.errors import ParameterError
from invgen.priors.diffusion.model import Diffusion
from invgen.priors.nets import EDM, UNet
from invgen.priors.training.batches import Batches, Transform, random_phases
from invgen.priors.training.collection import Collection
from invgen.priors.training.engine import Objective, Training
from invgen.priors.training.noisy import SURE, Noise2Self
from invgen.priors.training.score_matching import ScoreMatching

__all__ = ["train_diffusion"]

#: How phases are drawn, and how noisy images are learned from, by name.
_PHASES: dict[str, Transform] = {"constant": random_phases, "smooth": partial(random_phases, smooth=True)}
_METHODS: dict[str, type[SURE | Noise2Self]] = {"sure": SURE, "noise2self": Noise2Self}

#: Levels from and to which samples are made, Karras et al. (2022), table 1.
_LOWEST, _HIGHEST = 0.002, 80.0


def train_diffusion(
    images: Sequence[Any],
    labels: Any = None,
    *,
    folder: str | os.PathLike[str],
    patch: int | None = None,
    positioned: bool = False,
    flips: bool = False,
    phases: str | None = None,
    value_range: tuple[float, float] | None = None,
    noise_std: float | None = None,
    method: str = "sure",
    architecture: Mapping[str, Any] | None = None,
    batch_size: int = 32,
    held_out: Sequence[Any] = (),
    training: Training | None = None,
    show: Callable[[Diffusion, int], dict[str, float] | None] | None = None,
    progress: bool = False,
) -> Diffusion:
    """Train a diffusion model: of clean images by `ScoreMatching`, of noisy ones by `SURE` or `Noise2Self`.

    From images with noise it learns the levels from theirs upwards, more noise being added to them: no clean
    image is needed, and `Diffusion.denoise` should not be asked for lower levels. What it then samples are
    images without noise, as far as the noisy ones tell.

    Parameters
    ----------
    images : sequence of tensors or arrays, each (H, W), or each (C, H, W)
        Real or complex. Without `patch` all are of one size.
    labels : int tensor or array, shape (n,), optional
        Classes from zero; see `Diffusion.of_class`.
    folder : path
        For ``log.csv`` and the state that an interrupted run goes on from.
    patch : int, optional
        Train on random crops of this side; the prior is then one of images of any size.
    positioned : bool
        Tell the network where in the image each pixel lies, Hu et al. (2024): for images that are alike, such
        as slices of one organ.
    flips : bool
        Learn from mirrored and turned images, too.
    phases : {"constant", "smooth"}, optional
        A prior of complex images, real ones among them being moduli, each with another phase at each step:
        one number, or a map of a few waves; `random_phases`.
    value_range : pair of float, optional
        What images lie in; by default what they do, or (0, 1): `Collection.of`.
    noise_std : float, optional
        Of the images' white noise, in their units; of complex images that of real and imaginary part. By
        default they are clean.
    method : {"sure", "noise2self"}
        For noisy images. The first is better, for normal noise; the second takes any of zero mean that is
        independent from pixel to pixel.
    architecture : mapping, optional
        Of the `invgen.priors.nets.UNet`: ``{"widths": (64, 128), "attention": (1,), "dropout": 0.1}``; for
        noisy images without dropout.
    batch_size : int
    held_out : sequence of images
        Not learned from; the loss on them is in the log.
    training : Training, optional
    show : callable(prior, step) -> dict of numbers or None, optional
        Called at each validation, and in the end; the numbers go into the log.
    progress : bool

    Returns
    -------
    Diffusion
    """
    if phases is not None and phases not in _PHASES:
        raise ParameterError(f"phases is one of {', '.join(_PHASES)}; got {phases!r}.")
    data = Collection.of(images, value_range, None if phases is None else "complex")
    rms = data.root_mean_square()
    lowest = _LOWEST
    kind: type[Batches] = ScoreMatching
    more: dict[str, Any] = {}
    if noise_std is not None:
        lowest = noise_std / data.unit
        _check_noisy(images, noise_std, rms * data.unit, method, phases, architecture)
        kind, more, rms = _METHODS[method], {"noise_std": lowest}, math.sqrt(rms**2 - lowest**2)

    def objective(images: list[Tensor], labels: Tensor | None) -> Any:
        transform = None if phases is None else _PHASES[phases]
        return kind(images, batch_size, patch, positioned, flips, labels, transform=transform, **more)

    labels = None if labels is None else torch.as_tensor(labels)
    learned = objective(data.images, labels)
    classes = 0 if labels is None else int(labels.max()) + 1

    def prior(module: nn.Module) -> Diffusion:
        return Diffusion(
            module,
            data.image_shape if patch is None else None,
            channels=data.channels,
            value_range=data.value_range,
            field=data.field,
            positioned=positioned,
            classes=classes,
            sigma_data=rms,
            sigma_range=(lowest, _HIGHEST),
        )

    held = None
    if len(held_out):
        held = objective(Collection.of(held_out, data.value_range, data.field).images, None)

    def validate(module: nn.Module, step: int) -> dict[str, float]:
        found = {} if held is None else {"held_out": _loss(held, module)}
        return found | ((show(prior(module), step) if show is not None else None) or {})

    training = training or Training()
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(training.seed)
        inputs = data.width + 2 * positioned
        network = UNet(inputs, data.width, classes=classes, **(architecture or {}))
    return prior(training(EDM(network, rms), learned, folder, validate, progress))


def _check_noisy(
    images: Sequence[Any],
    noise_std: float,
    rms: float,
    method: str,
    phases: str | None,
    architecture: Mapping[str, Any] | None,
) -> None:
    if method not in _METHODS:
        raise ParameterError(f"method is one of {', '.join(_METHODS)}; got {method!r}.")
    if not 0 < noise_std < rms:
        raise ParameterError(
            "noise_std is a positive number, less than the images' distance from the middle of their range, "
            f"{rms:.3g}; got {noise_std:g}."
        )
    if phases is not None and not torch.as_tensor(images[0]).is_complex():
        raise ParameterError("Noise of another phase is noise of complex images; these are real.")
    if (architecture or {}).get("dropout"):
        raise ParameterError("Noisy images are learned from by a network without dropout.")


@torch.no_grad()
def _loss(objective: Objective, module: nn.Module, batches: int = 4) -> float:
    """Mean loss of a few batches, each time the same."""
    generator = torch.Generator(next(module.parameters()).device).manual_seed(0)
    return sum(float(objective(module, generator)) for _ in range(batches)) / batches

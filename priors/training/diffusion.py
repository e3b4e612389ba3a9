"""A diffusion model, trained on clean or noisy images in one call."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from invgen.core.errors import ParameterError
from invgen.priors.diffusion.model import Diffusion
from invgen.priors.nets import EDM, UNet
from invgen.priors.nets.positions import CHANNELS
from invgen.priors.sketch import TrainingData
from invgen.priors.training.batches import Batches, Transform, random_phases
from invgen.priors.training.collection import Collection
from invgen.priors.training.engine import Training
from invgen.priors.training.noisy import SURE, Noise2Self
from invgen.priors.training.score_matching import ScoreMatching
from invgen.priors.training.validation import Show, validation

__all__ = ["train_diffusion"]

#: Random phases, and the objectives for noisy images, by name.
_PHASES: dict[str, Transform] = {"constant": random_phases, "smooth": partial(random_phases, smooth=True)}
_METHODS: dict[str, type[SURE | Noise2Self]] = {"sure": SURE, "noise2self": Noise2Self}

#: Lowest and highest noise level of sampling, Karras et al. (2022), table 1.
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
    show: Show[Diffusion] | None = None,
    progress: bool = False,
) -> Diffusion:
    """Train a diffusion model: of clean images by `ScoreMatching`, of noisy ones by `SURE` or `Noise2Self`.

    From noisy images it learns the noise levels from theirs upwards, by adding noise to them: no clean image
    is needed, and `Diffusion.denoise` is not valid for lower levels. Samples are then images without noise,
    up to what the noisy ones determine.

    Parameters
    ----------
    images : sequence of tensors or arrays, each (H, W), or each (C, H, W)
        Real or complex. Without `patch` all are of one size.
    labels : int tensor or array, shape (n,), optional
        Classes from zero; see `Diffusion.of_class`.
    folder : path
        For ``log.csv`` and the state from which an interrupted run is resumed.
    patch : int, optional
        Train on random crops of this side; the prior is then one of images of any size.
    positioned : bool
        Give the network the position of each pixel in the image, Hu et al. (2024): for images that are alike,
        such as slices of one organ.
    flips : bool
        Learn from mirrored and turned images, too.
    phases : {"constant", "smooth"}, optional
        A prior of complex images: each image, real ones taken as moduli, gets a random phase at each step,
        one number or a map of a few waves; `random_phases`.
    value_range : pair of float, optional
        Least and largest value of the images; by default estimated from them, see `Collection.of`.
    noise_std : float, optional
        Of the images' white noise, in their units; of complex images that of real and imaginary part. By
        default they are clean.
    method : {"sure", "noise2self"}
        For noisy images. The first is better, for Gaussian noise; the second takes any noise of zero mean
        that is independent from pixel to pixel.
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
        Its ``card["training_data"]`` is a sketch of the images.
    """
    if phases is not None and phases not in _PHASES:
        raise ParameterError(f"phases is one of {', '.join(_PHASES)}; got {phases!r}.")
    data = Collection.of(images, value_range, None if phases is None else "complex")
    rms, unit = data.root_mean_square(), data.image_format.unit[1]
    lowest = _LOWEST
    kind: type[Batches] = ScoreMatching
    more: dict[str, Any] = {}
    if noise_std is not None:
        lowest = noise_std / unit
        _check_noisy(images, noise_std, rms * unit, method, phases, architecture)
        kind, more, rms = _METHODS[method], {"noise_std": lowest}, math.sqrt(rms**2 - lowest**2)

    def objective(images: list[Tensor], labels: Tensor | None) -> Any:
        transform = None if phases is None else _PHASES[phases]
        return kind(images, batch_size, patch, positioned, flips, labels, transform=transform, **more)

    labels = None if labels is None else torch.as_tensor(labels)
    learned = objective(data.images, labels)
    classes = 0 if labels is None else int(labels.max()) + 1

    def prior(module: nn.Module) -> Diffusion:
        images = data.image_format
        return Diffusion(
            module,
            images.shape if patch is None else None,
            channels=images.channels,
            value_range=images.value_range or (0.0, 1.0),
            field=images.field or "real",
            positioned=positioned,
            classes=classes,
            sigma_data=rms,
            sigma_range=(lowest, _HIGHEST),
        )

    held: dict[str, Any] = {}
    if len(held_out):
        known = data.image_format
        apart = objective(Collection.of(held_out, known.value_range, known.field).images, None)
        held["held_out"] = lambda networks, generator: apart(networks["network"], generator)
    validate = validation(lambda networks: prior(networks["network"]), held, show)
    training = training or Training()
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(training.seed)
        width = data.image_format.network_channels
        inputs = width + CHANNELS * positioned
        network = UNet(inputs, width, classes=classes, **(architecture or {}))
    trained = training(
        EDM(network, rms),
        learned,
        folder,
        lambda module, step: validate({"network": module}, step),
        progress,
    )
    found = prior(trained)
    return found.with_card(training_data=TrainingData.of(images, found.image_format).header())


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
            "noise_std is a positive number, less than the images' distance from the center of their range, "
            f"{rms:.3g}; got {noise_std:g}."
        )
    if phases is not None and not torch.as_tensor(images[0]).is_complex():
        raise ParameterError("Random phases of noisy images need complex images; these are real.")
    if (architecture or {}).get("dropout"):
        raise ParameterError("A network that is trained on noisy images must not have dropout.")

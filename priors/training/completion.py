"""A network that completes images, trained on incomplete scans alone, in one call."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from invgen.core.errors import DataError
from invgen.priors.diffusion.model import Diffusion
from invgen.priors.nets import EDM, UNet
from invgen.priors.training.collection import Collection
from invgen.priors.training.engine import Training
from invgen.priors.training.splitting import Splitting
from invgen.problem import Problem

__all__ = ["train_completion"]


def train_completion(
    problems: Sequence[Problem],
    masks: Sequence[Tensor],
    *,
    folder: str | os.PathLike[str],
    fraction: float = 0.4,
    always_seen: Tensor | None = None,
    architecture: Mapping[str, Any] | None = None,
    batch_size: int = 4,
    training: Training | None = None,
    progress: bool = False,
) -> Diffusion:
    """Train a network to remove the artifacts of ``A.H y``, by `Splitting`: no complete scan is needed.

    Its prior is trained at one level, ``sigma = prior.image_format.noise_range[0]``, which stands for the
    artifacts: ``prior.denoise(A.H(y), sigma)`` is the image without them. Samples of it are meaningless.

    Parameters
    ----------
    problems : sequence of Problem
        Scans of images of one shape, ``(H, W)`` or ``(C, H, W)``, real or complex, each with one measurement
        and in units of their own.
    masks : sequence of bool tensors
        Which samples were measured; see `Splitting`.
    folder : path
        For ``log.csv`` and the state from which an interrupted run is resumed.
    fraction, always_seen, batch_size
        See `Splitting`.
    architecture : mapping, optional
        Of the `invgen.priors.nets.UNet`.
    training : Training, optional
    progress : bool

    Returns
    -------
    Diffusion
    """
    backs = [problem.linear_operator.H(problem.measurement) for problem in problems]
    largest = max((float(x.abs().max()) for x in backs), default=0.0)
    if problems and not largest > 0:
        raise DataError("The scans are zero everywhere: there is nothing to learn.")
    # zero stays zero: the adjoint of a linear operator keeps the images' unit, but not an offset
    data = Collection.of(backs, (-largest, largest))
    images, level = data.image_format, data.root_mean_square()
    scaled = [problem.scaled(1 / largest) for problem in problems]
    objective = Splitting(scaled, masks, level, batch_size, fraction, always_seen)
    training = training or Training()
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(training.seed)
        width = images.network_channels
        network = EDM(UNet(width, width, **(architecture or {})), level)
    return Diffusion(
        training(network, objective, folder, progress=progress),
        images.shape,
        channels=images.channels,
        value_range=(-largest, largest),
        field=images.field or "real",
        sigma_data=level,
        sigma_range=(level, 2 * level),
    )

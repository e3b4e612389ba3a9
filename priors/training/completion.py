"""A network that completes images, from incomplete scans alone, in one call."""

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
    """Train a network to take the artifacts out of ``A.H y``, by `Splitting`: no complete scan is needed.

    Its prior knows one level, ``sigma = prior.sigma_range[0] * prior.value_range[1]``, which stands for the
    artifacts: ``prior.denoise(A.H(y), sigma)`` is the image without them. It draws no samples worth looking
    at.

    Parameters
    ----------
    problems : sequence of Problem
        Scans of images of one shape, ``(H, W)`` or ``(C, H, W)``, real or complex, each with one measurement
        and in units of their own.
    masks : sequence of bool tensors
        Which samples were measured; see `Splitting`.
    folder : path
        For ``log.csv`` and the state that an interrupted run goes on from.
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
    # zero stays zero: what a linear operator makes of images has their unit, but not their origin
    data = Collection.of(backs, (-largest, largest))
    level = data.root_mean_square()
    scaled = [problem.scaled(1 / largest) for problem in problems]
    objective = Splitting(scaled, masks, level, batch_size, fraction, always_seen)
    training = training or Training()
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(training.seed)
        network = EDM(UNet(data.width, data.width, **(architecture or {})), level)
    return Diffusion(
        training(network, objective, folder, progress=progress),
        data.image_shape,
        value_range=data.value_range,
        field=data.field,
        sigma_data=level,
        sigma_range=(level, 2 * level),
    )

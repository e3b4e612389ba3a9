"""Any trainable prior, trained on images in one call."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from invgen.core.checks import as_count
from invgen.core.errors import DataError, ParameterError, ShapeError
from invgen.priors.image_format import ImageFormat
from invgen.priors.sketch import TrainingData
from invgen.priors.trainable import Loss, Trainable
from invgen.priors.training.batches import Batches
from invgen.priors.training.collection import Collection
from invgen.priors.training.engine import JointObjective, Training, Update
from invgen.priors.training.validation import Show, validation

__all__ = ["train"]

Prior = TypeVar("Prior", bound=Trainable)


def train(
    prior: Prior,
    images: Sequence[Any],
    *,
    folder: str | os.PathLike[str],
    batch_size: int = 64,
    patch: int | None = None,
    flips: bool = False,
    held_out: Sequence[Any] = (),
    training: Training | None = None,
    show: Show[Prior] | None = None,
    progress: bool = False,
) -> Prior:
    """Train the networks of a prior on images, each by its own loss.

    Parameters
    ----------
    prior : Trainable
        With the weights to begin from: ``VAE.untrained((28, 28))``.
    images : sequence of tensors or arrays, each (H, W), or each (C, H, W)
        Vectors (D,) for a prior of these. Of the prior's shape and within its value range.
    folder : path
        For ``log.csv`` and the state from which an interrupted run is resumed.
    batch_size : int
    patch : int, optional
        Train on random crops of this side, for priors of images of any size.
    flips : bool
        Learn from mirrored and turned images, too.
    held_out : sequence of images
        Not learned from; the loss on them is in the log.
    training : Training, optional
    show : callable(prior, step) -> dict of numbers or None, optional
        Called at each validation, and in the end; the numbers go into the log.
    progress : bool

    Returns
    -------
    Trainable
        The same prior with averaged weights; ``card["training_data"]`` is a sketch of the images.

    Raises
    ------
    ShapeError, DataError, ParameterError
        Where the images are not those that the prior is made for, or fewer than a batch.
    """
    batches = Batches(_collected(prior, images), as_count(batch_size, "batch_size"), patch, flips=flips)
    if len(images) < batch_size:
        raise ParameterError(
            f"A batch of {batch_size} is more than the {len(images)} images: give batch_size={len(images)}."
        )
    networks, lessons = prior.networks(), prior.lessons()
    training = training or Training()
    updates = {
        name: Update(
            networks[name],
            _objective(lesson.loss, batches),
            lesson.count,
            training.learning_rate * lesson.rate,
            partial(torch.optim.Adam, betas=lesson.betas),
        )
        for name, lesson in lessons.items()
    }
    held = {}
    if len(held_out):
        others = Batches(_collected(prior, held_out), min(batch_size, len(held_out)), patch)
        for name, lesson in lessons.items():
            column = "held_out" if len(lessons) == 1 else f"{name}_held_out"
            held[column] = _objective(lesson.loss, others)
    trained = training.jointly(updates, folder, validation(prior.with_networks, held, show), progress)
    learned = TrainingData.of(images, prior.image_format).header()
    return prior.with_networks(trained).with_card(training_data=learned)


def _objective(loss: Loss, batches: Batches) -> JointObjective:
    def objective(networks: Mapping[str, nn.Module], generator: torch.Generator) -> Tensor:
        return loss(networks, batches.draw(generator).images, generator)

    return objective


def _collected(prior: Trainable, images: Sequence[Any]) -> list[Tensor]:
    """Images in the networks' unit."""
    own: ImageFormat = prior.image_format
    data = Collection.of(images, own.value_range, own.field, vectors=own.axes == 1)
    name, given = type(prior).__name__, data.image_format
    if given.axes != own.axes or given.channels != own.channels or own.shape not in (None, given.shape):
        expected = own.shape or ("(H, W)" if own.channels is None else f"({own.channels}, H, W)")
        raise ShapeError(f"This {name} is of images {expected}; got {tuple(images[0].shape)}.")
    for i, image in enumerate(data.images):
        if float(image.abs().max()) > 1 + 1e-4:
            raise DataError(
                f"This {name} is of images from {own.value_range}; image {i} goes from "
                f"{float(torch.as_tensor(images[i]).min()):g} to {float(torch.as_tensor(images[i]).max()):g}."
            )
    return data.images

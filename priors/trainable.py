"""Families whose networks learn from images alone: what they have in common, beside their losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from invgen.priors.image_format import ImageFormat
from invgen.priors.learned import Contents, Learned
from invgen.priors.nets.evaluation import Evaluation
from invgen.priors.nets.following import Following

__all__ = ["Lesson", "Loss", "Trainable", "seeded"]

#: Mean loss of a batch of images ``(N, C, H, W)`` in the networks' unit, of all networks by name.
Loss = Callable[[Mapping[str, nn.Module], Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Lesson:
    """How one network of a family learns.

    Parameters
    ----------
    loss : callable(networks, images, generator) -> scalar tensor
        Networks are called as they are given, and no attribute of theirs is used: they may be wrapped. What
        is random follows from the generator, or from PyTorch's own, which is seeded for each step.
    count : int
        Updates of this network in a step, each with a batch of its own.
    rate : float
        Its learning rate, relative to that of the training.
    betas : pair of float
        Decay rates of Adam.
    """

    loss: Loss
    count: int = 1
    rate: float = 1.0
    betas: tuple[float, float] = (0.9, 0.99)


class Trainable(Learned):
    """Base of the families that `invgen.priors.training.train` trains: networks by name, and their lessons.

    Parameters
    ----------
    image_format : ImageFormat
    **networks : torch.nn.Module
        Copied, frozen and in evaluation mode: `Following`. A single one has the name "network".
    """

    def __init__(self, image_format: ImageFormat, **networks: nn.Module) -> None:
        super().__init__(image_format)
        self._followers = {name: Following(network) for name, network in networks.items()}

    def lessons(self) -> Mapping[str, Lesson]:
        """How each network learns, in the order of the updates within a step."""
        raise NotImplementedError

    def networks(self) -> dict[str, nn.Module]:
        """The networks by name, for a training to go on from: copies of theirs learn."""
        return {name: follower.module for name, follower in self._followers.items()}

    def with_networks(self, networks: Mapping[str, nn.Module]) -> Self:
        """The same prior with other weights."""
        followers = {name: Following(network) for name, network in networks.items()}
        return self._changed(_followers={**self._followers, **followers})

    def _network(self, like: Tensor, name: str = "network") -> Any:
        """A network on the device of a tensor, and in its precision."""
        return self._followers[name].like(like)

    def _evaluating(self, like: Tensor, name: str = "network", part: str = "") -> Callable[..., Tensor]:
        """A network, or a part of it, to be called for images: see `Networked.evaluated`."""
        return self._followers[name].evaluating(like, part)

    def _evaluated(self, evaluation: Evaluation) -> Self:
        followers = {name: each.evaluated(evaluation) for name, each in self._followers.items()}
        return self._changed(_followers=followers)

    def _networks(self) -> dict[str, nn.Module]:
        return self.networks()

    @classmethod
    def _built(cls, contents: Contents) -> Self:
        # by the constructor's names: format, networks, hyper-parameters
        names = cls._parameter_names()
        settings = {name: contents.header[name] for name in names}
        return cls(image_format=contents.image_format, **contents.networks, **settings)

    @classmethod
    def _parameter_names(cls) -> tuple[str, ...]:
        """Names of the hyper-parameters: keywords of the constructor, and attributes."""
        return ()

    def _parameters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._parameter_names()}


def seeded(build: Callable[..., nn.Module], seed: int, *arguments: Any, **settings: Any) -> nn.Module:
    """A network whose weights follow from a seed; the state of PyTorch's generator stays as it is."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return build(*arguments, **settings)

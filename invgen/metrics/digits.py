"""Features of handwritten digits: a small classifier, trained on MNIST, without its last layer."""

from __future__ import annotations

from importlib.resources import as_file, files
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn

from invgen.core.errors import DataError, DtypeError, FileError, ShapeError
from invgen.core.frozen import Frozen
from invgen.priors.files.checkpoints import read, write
from invgen.priors.nets.following import Following, in_parts
from invgen.priors.trainable import seeded

__all__ = ["DigitFeatures", "digit_features"]

#: Side of the images, and the number of features.
_SIDE, _FEATURES = 28, 64

#: Name of the kind in files.
_FAMILY = "digit-features"


class DigitFeatures(Frozen):
    """Map of images of digits to 64 features, and to their classes.

    A network of four convolutions and a linear layer, whose values are the features; the classes follow from
    these by another linear layer. Each feature has the standard deviation 1 over digits. Images are
    ``(n, 28, 28)`` or ``(n, 1, 28, 28)``, white on black: 0 is paper and 1 is ink, or 0 and 255 in 8 bits.
    Samples beyond this range count as its ends.

    Parameters
    ----------
    network : torch.nn.Module
        As `untrained` makes it: features, then classes.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = Following(network)

    @staticmethod
    def untrained(seed: int = 0) -> nn.Sequential:
        """The network with weights that follow from a seed: an `nn.Sequential` of features and classes."""
        return seeded(_network, seed)  # type: ignore[return-value]

    def __call__(self, images: Tensor) -> Tensor:
        """Features ``(n, 64)``, float32, with a derivative where the images have one."""
        x = _checked(images)
        return in_parts(self._network.like(x)[0], x)  # type: ignore[index]

    def classify(self, images: Tensor) -> Tensor:
        """Logarithms of the probabilities of the ten classes, ``(n, 10)``, float32, with their derivative."""
        x = _checked(images)
        return in_parts(self._network.like(x), x).log_softmax(1)

    def save(self, path: str | PathLike[str], **card: Any) -> None:
        """Write it to a safetensors file of half precision; the card is what a reader should know."""
        write(path, _FAMILY, self._network.module.state_dict(), card, torch.float16)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> DigitFeatures:
        """Those of a file that `save` has written.

        Raises
        ------
        FileError
        """
        header, tensors = read(path)
        if header["family"] != _FAMILY:
            raise FileError(f"{path} holds a {header['family']!r}, and no features of digits.")
        network = cls.untrained()
        try:
            network.load_state_dict({name: value.float() for name, value in tensors.items()})
        except RuntimeError as error:
            raise FileError(f"{path} does not hold the network of DigitFeatures: {error}") from None
        return cls(network)


def digit_features() -> DigitFeatures:
    """The features that come with the package; ``invgen/metrics/weights/digit-features.md`` describes them.

    >>> features = ig.metrics.digit_features()
    >>> ig.metrics.frechet_distance(samples, digits, features)
    """
    with as_file(files("invgen.metrics") / "weights" / "digit-features.safetensors") as path:
        return DigitFeatures.load(path)


def _network() -> nn.Sequential:
    features = nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(64, 64, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(64 * 16, _FEATURES)),
    )
    return nn.Sequential(features, nn.Sequential(nn.ReLU(), nn.Dropout(0.3), nn.Linear(_FEATURES, 10)))


def _checked(images: Tensor) -> Tensor:
    """Images ``(n, 1, 28, 28)`` in -1 to 1."""
    if not isinstance(images, Tensor) or images.is_complex():
        found = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise DtypeError(f"DigitFeatures expects real tensors of digits; got {found}.")
    shape = tuple(images.shape)
    if shape[1:] not in ((_SIDE, _SIDE), (1, _SIDE, _SIDE)):
        raise ShapeError(f"DigitFeatures expects digits (n, 28, 28) or (n, 1, 28, 28); got {shape}.")
    x = images.float() / 255 if images.dtype == torch.uint8 else images.float()
    if not bool(x.isfinite().all()):
        raise DataError("There are NaN or infinities in the images that DigitFeatures got.")
    return 2 * x.clamp(0, 1).reshape(-1, 1, _SIDE, _SIDE) - 1

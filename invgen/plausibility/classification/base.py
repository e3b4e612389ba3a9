"""What classifiers by Bayes' rule share: probabilities of the classes, temperature, checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from invgen.core.errors import DataError, ParameterError, ShapeError
from invgen.plausibility.classification.calibration import fitted_temperature
from invgen.plausibility.inputs import checked_images
from invgen.priors.base import require
from invgen.priors.image_format import ImageFormat, format_of

__all__ = ["GenerativeClassifier"]


@dataclass(frozen=True)
class GenerativeClassifier:
    """Base of the classifiers by Bayes' rule, ``p(class | x) ~ p(class) p(x | class)^(1 / T)``.

    A subclass gives ``_log_likelihoods(x)`` of images ``(N, *image)``: float64 ``(N, classes)``, up to a
    number for each image; and the `protocol` that each prior must have.

    Parameters
    ----------
    priors : sequence
        One for each class, of images of one kind.
    prior_probabilities : sequence of positive numbers, optional
        Of the classes, with the sum one; by default they are equal.
    temperature : positive number
        T: with one it is Bayes' rule. See `calibrated`.
    """

    priors: Sequence[Any]
    prior_probabilities: Sequence[float] | None = None
    _: KW_ONLY
    temperature: float = 1.0

    protocol: ClassVar[type]

    def __post_init__(self) -> None:
        who = type(self).__name__
        if len(self.priors) < 2:
            raise ShapeError(f"{who} needs a prior for each of two or more classes; got {len(self.priors)}.")
        for prior in self.priors:
            require(prior, who, self.protocol)
        formats = [format_of(prior) for prior in self.priors]
        for name in ("axes", "shape", "channels", "field", "value_range", "levels"):
            values = [getattr(images, name) for images in formats]
            if any(value != values[0] for value in values):
                raise ShapeError(
                    f"{who} compares densities of one kind of images, and {name} of the classes is: {values}."
                )
        given = self.prior_probabilities
        if given is not None and len(given) != len(self.priors):
            raise ShapeError(f"{len(self.priors)} classes have {len(given)} prior probabilities.")
        if given is not None and not (all(p > 0 for p in given) and abs(sum(given) - 1) < 1e-6):
            raise ParameterError(f"prior_probabilities are positive, and their sum is 1; got {list(given)}.")
        if not 0 < self.temperature < float("inf"):
            raise ParameterError(f"temperature is a positive number; got {self.temperature!r}.")

    @property
    def image_format(self) -> ImageFormat:
        """What images it is made for: that of the first class's prior."""
        return format_of(self.priors[0])

    def log_probabilities(self, x: Tensor) -> Tensor:
        """Logarithms of the probabilities of the classes.

        Parameters
        ----------
        x : tensor, shape (*batch, *image)

        Returns
        -------
        tensor, float64, shape (*batch, classes)

        Raises
        ------
        DtypeError, ShapeError, DataError
            Where x is no such images; where no class has a density there.
        """
        scores = self._scores(x, "log_probabilities")
        found = (scores / self.temperature + self._log_prior(scores)).log_softmax(1)
        return found.reshape(*self.image_format.batch_shape(x), len(self.priors))

    def classify(self, x: Tensor) -> Tensor:
        """The most probable class of each image, int64, shape of the batch."""
        return self.log_probabilities(x).argmax(-1)

    def calibrated(self, x: Tensor, labels: Tensor) -> Self:
        """The same with the temperature under which the labels of calibration images are most probable.

        The most probable class stays, where the classes are equally probable before. Densities of images are
        never exact, and their errors grow with the number of pixels: without it, the probabilities are nearly
        all zero or one. Images that the densities were learned from do not serve.

        Parameters
        ----------
        x : tensor, shape (N, *image)
        labels : integer tensor, shape (N,)

        Raises
        ------
        DtypeError, ShapeError, DataError
            Also where all are classified right: hundreds of images are needed, and some mistakes.
        """
        scores = self._scores(x, "calibrated")
        return replace(self, temperature=fitted_temperature(scores, labels, self._log_prior(scores)))

    def _scores(self, x: Tensor, method: str) -> Tensor:
        """Logarithms of the likelihoods of one batch axis of images, checked."""
        who = f"{type(self).__name__}.{method}"
        images = checked_images(x, self.image_format, who)
        if not len(images):
            return torch.zeros(0, len(self.priors), dtype=torch.float64, device=x.device)
        scores = self._log_likelihoods(images)
        if bool(scores.isnan().any()) or bool((scores.amax(1).abs() == torch.inf).any()):
            raise DataError(f"{who}: of some images the density of no class is a positive number.")
        return scores

    def _log_likelihoods(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _log_prior(self, like: Tensor) -> Tensor:
        """Logarithms of the prior probabilities."""
        given = self.prior_probabilities or [1 / len(self.priors)] * len(self.priors)
        return torch.as_tensor(given, dtype=torch.float64).to(like).log()

"""Attacks on classifiers: small changes of images after which they are classified wrongly.

For measuring how much of a classifier's accuracy is left, also by an attacker who knows of a purification.
All are within balls of the maximum norm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from invgen.core.batching import per_element
from invgen.core.checks import as_count
from invgen.core.errors import CapabilityError, DataError, ParameterError, ShapeError
from invgen.plausibility.inputs import checked_images, checked_labels
from invgen.priors.image_format import ImageFormat

__all__ = ["FGSM", "PGD", "Classify"]

#: Logits, or logarithms of probabilities, ``(N, classes)`` of images ``(N, *image)``, differentiable.
Classify = Callable[[Tensor], Tensor]

#: Distance of the seeds of the draws of two steps: more than there are images.
_APART = 2**20


class _Purify(Protocol):
    def __call__(self, x: Tensor, *, seed: int) -> Tensor: ...


@dataclass(frozen=True)
class FGSM:
    """The fast gradient sign method, Goodfellow, Shlens and Szegedy (2015), section 4.

    ``x + eps sign(gradient of the loss)``, the cross-entropy of the true class.

    Parameters
    ----------
    eps : positive number
        Radius of the ball, in the unit of the images.
    value_range : pair of numbers
        Of the images; the attacked ones stay within it.
    """

    eps: float
    value_range: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        _check(self.eps, self.value_range)

    def __call__(self, classify: Classify, x: Tensor, labels: Tensor) -> Tensor:
        """Attack images.

        Parameters
        ----------
        classify : callable
            Images to logits, each image by itself, differentiable.
        x : real tensor, shape (N, *image)
        labels : integer tensor, shape (N,)
            The true classes.

        Returns
        -------
        tensor, shape (N, *image)

        Raises
        ------
        DtypeError, ShapeError, DataError
            Where images or labels are none, or the loss is not a number.
        CapabilityError
            Where the classifier has no derivative.
        """
        x, labels = _checked(classify, x, labels, self.value_range, "FGSM")
        if not len(x):
            return x
        return (x + self.eps * _loss(classify, x, labels)[1].sign()).clamp(*self.value_range)


@dataclass(frozen=True)
class PGD:
    """Projected gradient descent, Madry et al. (2018), section 2.1, with random starts.

    From a uniformly random point of the ball, steps along the sign of the gradient of the loss, each
    projected onto the ball. Of several starts each image keeps the one with the largest loss.

    With a purification it is BPDA, Athalye, Carlini and Wagner (2018), section 4.1: the image is purified
    before the classifier sees it, and the derivative is taken as if the purification were the identity. Of
    random ones the gradient is averaged over `draws`, other ones in each step: their section 4.2, expectation
    over transformation.

    Parameters
    ----------
    eps : positive number
        Radius of the ball, in the unit of the images.
    steps : int
    step : positive number, optional
        Length of a step; by default ``2.5 eps / steps``, so that each point of the ball can be reached.
    starts : int
    purification : callable, optional
        ``purification(x, seed=...)``, such as those of `invgen.plausibility.purification`.
    draws : int
        Purifications of each image in each step.
    value_range : pair of numbers
        Of the images; the attacked ones stay within it.
    """

    eps: float
    steps: int = 40
    step: float | None = None
    starts: int = 1
    purification: _Purify | None = None
    draws: int = 1
    value_range: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        _check(self.eps, self.value_range)
        for name in ("steps", "starts", "draws"):
            as_count(getattr(self, name), name)
        if self.step is not None and not 0 < self.step < float("inf"):
            raise ParameterError(f"step is a positive number; got {self.step!r}.")

    def __call__(self, classify: Classify, x: Tensor, labels: Tensor, *, seed: int = 0) -> Tensor:
        """Attack images; see `FGSM`. Image i follows from ``seed + i``."""
        x, labels = _checked(classify, x, labels, self.value_range, "PGD")
        if not len(x):
            return x
        length = 2.5 * self.eps / self.steps if self.step is None else self.step
        low, high = ((x + e).clamp(*self.value_range) for e in (-self.eps, self.eps))
        generators = [torch.Generator().manual_seed(seed + i) for i in range(len(x))]
        best, largest = x, x.new_full((len(x),), -torch.inf)
        for start in range(self.starts):
            uniform = [torch.rand(x.shape[1:], generator=g, dtype=x.dtype) for g in generators]
            at = torch.lerp(low, high, torch.stack(uniform).to(x.device))
            for step in range(self.steps):
                slope = self._loss(classify, at, labels, (seed, start, step))[1]
                at = (at + length * slope.sign()).clamp(low, high)
            if self.starts == 1:
                return at
            loss = self._loss(classify, at, labels, (seed, start, self.steps))[0]
            better = loss > largest
            largest = torch.where(better, loss, largest)
            best = torch.where(per_element(better, x.ndim - 1), at, best)
        return best

    def _loss(
        self, classify: Classify, x: Tensor, labels: Tensor, when: tuple[int, int, int]
    ) -> tuple[Tensor, Tensor]:
        """The loss of each image, and its gradient; of purified images their sums over the draws.

        `when` is the seed, and the numbers of the start and of the step.
        """
        if self.purification is None:
            return _loss(classify, x, labels)
        seed, start, step = when
        losses, slopes = x.new_zeros(len(x)), torch.zeros_like(x)
        for draw in range(self.draws):
            # the first draws are not those of `seed` itself, with which a defender may purify
            number = 1 + draw + self.draws * (step + (self.steps + 1) * start)
            loss, slope = _loss(classify, self.purification(x, seed=seed + number * _APART), labels)
            losses, slopes = losses + loss, slopes + slope
        return losses, slopes


def _loss(classify: Classify, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The cross-entropy of each image, and its gradient."""
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        loss = F.cross_entropy(classify(at), labels, reduction="none")
        total = loss.sum()
    if not loss.requires_grad:
        raise CapabilityError(
            "Attacks by gradients need a classifier with a derivative in PyTorch; this one has none."
        )
    (slope,) = torch.autograd.grad(total, at)
    if not bool(slope.isfinite().all()):
        raise DataError("The gradient of the classifier's loss has NaN or infinities.")
    return loss.detach(), slope


def _checked(
    classify: Classify, x: Tensor, labels: Tensor, value_range: tuple[float, float], who: str
) -> tuple[Tensor, Tensor]:
    """Images, and labels that are classes of the classifier."""
    if not isinstance(x, Tensor) or x.ndim < 2:
        found = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ShapeError(f"{who} expects images (N, *image); got {found}.")
    x = checked_images(x, ImageFormat(field="real", value_range=value_range, axes=x.ndim - 1), who).detach()
    if not len(x):
        return x, checked_labels(labels, 0, 0, who)
    with torch.no_grad():
        logits = classify(x[:1])
    if logits.ndim != 2 or len(logits) != 1:
        raise ShapeError(f"A classifier returns logits (N, classes); got {tuple(logits.shape)} of one.")
    return x, checked_labels(labels, len(x), logits.shape[1], who).to(x.device)


def _check(eps: float, value_range: tuple[float, float]) -> None:
    """Raise unless eps is a radius within the range."""
    low, high = ImageFormat(value_range=value_range).value_range or (0.0, 1.0)
    if not 0 < eps <= high - low:
        raise ParameterError(
            f"eps is positive, and at most the width of the value range, {high - low:g}; got {eps!r}."
        )

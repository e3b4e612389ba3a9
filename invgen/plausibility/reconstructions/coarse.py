"""A Gaussian of coarse images: whether what is large is where it is in others, and which way up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from invgen.core.checks import nonfinite
from invgen.core.errors import DataError, FileError, ParameterError, ShapeError
from invgen.core.json_files import check_entries

__all__ = ["FEWEST_EXAMPLES", "CoarseDensity"]

#: Least number of images that a density is fitted to.
FEWEST_EXAMPLES = 100

#: Pixels along each side of a coarse image.
_SIDE = 16

#: Part of the variance that the principal components hold.
_PART = 0.98

#: Variance that each direction is given in addition, over that which is left to the others.
_ALLOWED = 3.0

#: Least part of the mean variance that is left to each other direction: examples may all be alike.
_LEAST = 1e-6

#: Images at once, for their moduli in double precision.
_CHUNK = 64

_TYPES = {
    "mean": Sequence[float],
    "components": Sequence[Sequence[float]],
    "variances": Sequence[float],
    "rest": float,
}


@dataclass(frozen=True)
class CoarseDensity:
    r"""A Gaussian of what images are at a coarse scale: probabilistic principal components.

    The coarse image c is the root of the modulus, averaged over 16 x 16 squares of the largest square around
    the centroid of the modulus, of norm one: brightness, phase, place and details do not count, and contrast
    counts little. Under the model of Tipping and Bishop (1999), "Probabilistic principal component analysis",
    eqs. 3 to 8, c has the covariance

    .. math:: C = \sum_i (\lambda_i - s) v_i v_i^T + s I

    of the principal variances :math:`\lambda_i` and directions :math:`v_i` that hold 98 % of the variance of
    examples; s is the mean of the other ones. To each variance three times s is added: examples are of few
    objects, and others differ from them in more directions.

    A network that has learned to denoise hardly knows which way up an image is, since noise that hides its
    parts hides that, too. A density of whole images does.

    Parameters
    ----------
    mean : sequence of float
        Of coarse images, row by row: 256.
    components : sequence of sequence of float
        Directions, each of 256 numbers.
    variances : sequence of float
        Along these.
    rest : float
        The variance along each other direction.

    Raises
    ------
    ParameterError
        For other numbers.
    """

    mean: Sequence[float] = field(repr=False)
    components: Sequence[Sequence[float]] = field(repr=False)
    variances: Sequence[float]
    rest: float

    def __post_init__(self) -> None:
        sizes = {len(self.mean), *map(len, self.components)}
        if sizes != {_SIDE**2} or not len(self.components) == len(self.variances) < _SIDE**2:
            raise ParameterError(
                f"A density of coarse images has a mean and fewer than {_SIDE**2} components of {_SIDE**2} "
                f"numbers, and a variance of each; got {sorted(sizes)}, {len(self.components)} and "
                f"{len(self.variances)}."
            )
        numbers = [*self.mean, *(n for each in self.components for n in each), *self.variances, self.rest]
        if not (all(map(math.isfinite, numbers)) and min([*self.variances, self.rest]) > 0):
            raise ParameterError("A density of coarse images is of finite numbers, and variances above zero.")

    @classmethod
    def fit(cls, images: Tensor, axes: int = 2) -> CoarseDensity:
        """The density of examples, its numbers rounded to what a file holds.

        Parameters
        ----------
        images : tensor, shape (n, *image)
            100 or more, better thousands, of which none is of a scan that is compared: those that a prior has
            learned from.
        axes : int
            Of one image; the last two are rows and columns.

        Raises
        ------
        ParameterError, ShapeError, DataError
            For other types, for fewer, those without rows and columns, and images that are not finite.
        """
        if not isinstance(images, Tensor):
            raise ParameterError(f"Examples are a tensor of images; got {type(images).__name__}.")
        if axes < 2 or images.ndim != axes + 1 or len(images) < FEWEST_EXAMPLES:
            raise ShapeError(
                f"Examples are {FEWEST_EXAMPLES} or more images of {max(axes, 2)} axes, as the prior's; "
                f"got {tuple(images.shape)}."
            )
        if bad := nonfinite(images):
            raise DataError(f"The examples hold {bad}.")
        flat = torch.cat([coarse(part, axes).flatten(1) for part in images.split(_CHUNK)]).cpu()
        mean = flat.mean(0)
        _, singular, directions = torch.linalg.svd(flat - mean, full_matrices=False)
        variances = torch.zeros(_SIDE**2, dtype=torch.float64)
        variances[: len(singular)] = singular.square() / len(flat)
        held = variances.cumsum(0) / variances.sum().clamp(min=1e-300)
        count = min(int((held < _PART).sum()) + 1, len(singular), _SIDE**2 - 1)
        rest = variances[count:].mean().clamp(min=_LEAST * max(float(variances.mean()), 1e-12))
        return cls(
            _rounded(mean),
            [_rounded(row) for row in directions[:count]],
            _rounded(variances[:count] + _ALLOWED * rest),
            _rounded((1 + _ALLOWED) * rest[None])[0],
        )

    def statistics(self, x: Tensor, axes: int = 2) -> dict[str, Tensor]:
        r"""Statistics of images by their names, float64, of the shape of the batch.

        * ``coarse log-density``: of a coarse image, for each of its pixels;
        * ``coarse orientation``: by the logarithm l of the odds that the image lies as it does, if turns by
          0, 90, 180 and 270 degrees have equal probabilities: l below zero, where the image would be more
          likely if it were turned, and ``log(1 + l)`` above, where its size varies with the object and says
          little. Of examples in all orientations it is mostly below.

        Parameters
        ----------
        x : tensor, shape (*batch, *image)
            In any unit.
        axes : int
            Of one image.
        """
        batch = x.shape[: x.ndim - axes]
        images = coarse(x.reshape(-1, *x.shape[len(batch) :]), axes)
        own, *turned = (self._log_density(images.rot90(quarter, (-2, -1))) for quarter in range(4))
        odds = own - torch.stack(turned).logsumexp(0)
        return {
            "coarse log-density": (own / _SIDE**2).reshape(batch),
            "coarse orientation": torch.where(odds > 0, odds.clamp(min=0).log1p(), odds).reshape(batch),
        }

    def header(self) -> dict[str, Any]:
        """The same as JSON can hold it."""
        return {
            "mean": list(self.mean),
            "components": [list(each) for each in self.components],
            "variances": list(self.variances),
            "rest": self.rest,
        }

    @classmethod
    def from_header(cls, header: Any, source: object) -> CoarseDensity:
        """The inverse of `header`.

        Raises
        ------
        FileError
            For anything else; `source` is what holds it.
        """
        check_entries(header, _TYPES, f"The density of coarse images in {source}")
        try:
            return cls(*(header[name] for name in _TYPES))
        except (ParameterError, OverflowError) as error:
            raise FileError(f"The density of coarse images in {source} is none: {error}") from error

    def _log_density(self, images: Tensor) -> Tensor:
        """Of coarse images (n, 16, 16): Tipping and Bishop, eq. 6."""
        mean, variances = images.new_tensor(self.mean), images.new_tensor(self.variances)
        components = images.new_tensor(self.components).reshape(-1, _SIDE**2)
        far = images.flatten(1) - mean
        along = far @ components.T
        left = (far.square().sum(1) - along.square().sum(1)) / self.rest
        logarithms = variances.log().sum() + (_SIDE**2 - len(variances)) * math.log(2 * math.pi * self.rest)
        logarithms = logarithms + len(variances) * math.log(2 * math.pi)
        return -(along.square() @ variances.reciprocal() + left + logarithms) / 2


def coarse(x: Tensor, axes: int) -> Tensor:
    """Coarse images of norm one, (n, 16, 16), float64; of images without signal zero."""
    modulus = x.abs().double()
    modulus = modulus.flatten(1, -3).sum(1) if axes > 2 else modulus
    height, width = modulus.shape[-2:]
    side = min(height, width)
    rows, columns, around = (
        torch.arange(n, dtype=torch.float64, device=x.device) - (n - 1) / 2 for n in (height, width, side)
    )
    total = modulus.sum((1, 2)).clamp(min=1e-300)
    down, right = modulus.sum(2) @ rows / total, modulus.sum(1) @ columns / total
    # of a grid on which -1 and 1 are the outer edges of the image
    across, along = (2 * (around + center[:, None]) / n for center, n in ((right, width), (down, height)))
    places = torch.stack(
        (across[:, None].expand(-1, side, -1), along[:, :, None].expand(-1, -1, side)), dim=-1
    )
    square = F.grid_sample(modulus[:, None], places, align_corners=False)
    means = F.adaptive_avg_pool2d(square.clamp(min=0).sqrt(), _SIDE)[:, 0]
    norms = torch.linalg.vector_norm(means, dim=(1, 2), keepdim=True)
    return means / norms.clamp(min=1e-300)


def _rounded(values: Tensor) -> list[float]:
    """Of four digits, as a file holds them."""
    return [float(f"{n:.4g}") for n in values.tolist()]

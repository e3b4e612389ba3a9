"""By what factor intervals are rescaled so that they cover: the guarantees, each with its theorem."""

from __future__ import annotations

import math
from typing import Literal, get_args

from torch import Tensor

from invgen.core.errors import DataError, ParameterError, ShapeError

__all__ = ["Guarantee", "check_guarantee", "conformal_factors", "hoeffding_bentkus", "least_problems"]

#: What is promised of new images; see `conformal_factors`.
Guarantee = Literal["average", "each", "all"]

#: Levels are decimal fractions, and 0.1 * 10 is one but for rounding.
_ROUNDING = 1e-9


def conformal_factors(
    scores: Tensor, level: float, guarantee: Guarantee = "average", confidence: float | None = None
) -> Tensor:
    r"""The smallest factor on the widths of intervals with which they cover new images at a level.

    The score of a target, a pixel or the mean over a region, is the factor at which its interval just reaches
    the truth. Calibration images and the new one are exchangeable: such as independent draws from one
    distribution. Nothing is assumed of that distribution, of the solver, or of the widths.

    "average"
        The expected fraction of targets outside of their intervals is at most ``1 - level``: conformal risk
        control, Angelopoulos et al. (2024), theorem 1, for the fraction of targets outside as the loss,
        :math:`\hat\lambda = \inf\{\lambda : \frac{n}{n+1} \hat R_n(\lambda) + \frac{1}{n+1} \le 1 -
        \mathrm{level}\}`. The mean is over new images and over the calibration images; that a random target
        of a new image is covered has the same probability.
    "average", with a confidence
        The same of new images alone, with probability `confidence` over the calibration images:
        risk-controlling prediction sets, Bates et al. (2021), theorem 1, by the bound of Hoeffding and
        Bentkus; for images Angelopoulos et al. (2022), "Image-to-image regression with distribution-free
        uncertainty quantification". See `hoeffding_bentkus`.
    "each"
        Each target by itself is covered with probability `level`, by a factor of its own: split conformal
        prediction, Lei et al. (2018), theorem 2.2 (Papadopoulos et al. 2002); the factor is the
        ``ceil((n + 1) level)``-th smallest of its n scores. Where no two scores are equal, the probability
        given the calibration images has the distribution Beta(k, n + 1 - k), k that rank (Vovk 2012).
    "all"
        All targets of an image are covered at once with probability `level`: the same theorem for the
        largest score of an image.

    Parameters
    ----------
    scores : real tensor, shape (n, targets)
        Of n calibration images; infinite where no factor covers.
    level : number between 0 and 1
    guarantee : {"average", "each", "all"}
    confidence : number between 0 and 1, optional
        For "average".

    Returns
    -------
    tensor, float64, shape (targets,) of "each", else ()
        Infinite where calibration asks for more than any factor gives.

    Raises
    ------
    ParameterError
        For a level or confidence out of range, and for too few images: the message has how many are needed.
    ShapeError, DataError
        For other shapes, and scores that are negative or no numbers.
    """
    level, confidence = check_guarantee(level, guarantee, confidence)
    if scores.ndim != 2 or not scores.shape[1]:
        raise ShapeError(f"scores are (images, targets), one target or more; got {tuple(scores.shape)}.")
    s = scores.detach().double()
    if not bool((s >= 0).all()):
        raise DataError("Scores are not negative, and numbers.")
    images, targets = s.shape
    needed = least_problems(level, confidence)
    if images < needed:
        sure = "" if confidence is None else f" with confidence {confidence:g}"
        raise ParameterError(
            f"Intervals at the level {level:g}{sure} take {needed} or more calibration images; "
            f"there are {images}."
        )
    if guarantee == "average":
        if confidence is None:
            outside = math.floor(targets * ((images + 1) * (1 - level) - 1) + _ROUNDING * targets)
        else:
            outside = _most_outside(images, targets, 1 - level, 1 - confidence)
        return _smallest(s.flatten(), images * targets - outside)
    rank = math.ceil((images + 1) * level - _ROUNDING)
    return _smallest(s if guarantee == "each" else s.amax(1), rank)


def hoeffding_bentkus(risk: float, images: int, bound: float) -> float:
    r"""p-value of the hypothesis that the mean of losses in [0, 1] is above a bound.

    ``min(exp(-n h(min(R, a), a)), e P(Bin(n, a) <= ceil(n R)))`` with the relative entropy h of two
    probabilities: Bates et al. (2021), section 3.1 (as p-value: Angelopoulos et al. 2021, "Learn then test").

    Parameters
    ----------
    risk : float
        Mean loss R of the images.
    images : int
        Their number n.
    bound : float
        The bound a.
    """
    from scipy.special import rel_entr
    from scipy.stats import binom

    low = min(risk, bound)
    entropy = rel_entr(low, bound) + rel_entr(1 - low, 1 - bound)
    bentkus = math.e * binom.cdf(math.ceil(images * risk - _ROUNDING), images, bound)
    return float(min(math.exp(-images * entropy), bentkus, 1.0))


def least_problems(level: float, confidence: float | None = None) -> int:
    """Smallest number of calibration images for intervals at a level.

    ``level / (1 - level)`` without a confidence, so that ``ceil((n + 1) level) <= n``; with one
    ``log(1 - confidence) / log(level)``. Rounded up.
    """
    if confidence is None:
        return math.ceil(level / (1 - level) - _ROUNDING)
    return max(1, math.ceil(math.log(1 - confidence) / math.log(level) - _ROUNDING))


def check_guarantee(level: float, guarantee: str, confidence: float | None) -> tuple[float, float | None]:
    """Level and confidence as floats.

    Raises
    ------
    ParameterError
        Where one is out of range, there is no such guarantee, or it takes no confidence.
    """
    if guarantee not in get_args(Guarantee):
        raise ParameterError(f'guarantee is "average", "each" or "all"; got {guarantee!r}.')
    if confidence is not None and guarantee != "average":
        raise ParameterError(f'A confidence goes with the guarantee "average"; got "{guarantee}".')
    for name, value in (("level", level), ("confidence", confidence)):
        number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1
        if not (number or (value is None and name == "confidence")):
            raise ParameterError(f"{name} is a number between 0 and 1, such as 0.9; got {value!r}.")
    return float(level), None if confidence is None else float(confidence)


def _most_outside(images: int, targets: int, bound: float, delta: float) -> int:
    """The largest number of targets outside, of all images, whose p-value is at most delta."""
    total = images * targets
    low, high = 0, math.floor(total * bound)  # at the bound itself there is no evidence
    while low < high:
        middle = (low + high + 1) // 2
        if hoeffding_bentkus(middle / total, images, bound) <= delta:
            low = middle
        else:
            high = middle - 1
    return low


def _smallest(s: Tensor, rank: int) -> Tensor:
    """The rank-th smallest along the first axis."""
    return s.kthvalue(rank, 0).values

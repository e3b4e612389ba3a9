"""The test of anomalies: p-values of images by calibration data, and which of many are discoveries."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from invgen.core.checks import as_count, has_type
from invgen.core.errors import DataError, DtypeError, FileError, InvgenWarning, ParameterError, ShapeError
from invgen.core.frozen import Frozen
from invgen.core.text import quoted
from invgen.plausibility.anomaly.base import Statistic, check_images
from invgen.plausibility.anomaly.states import STATISTICS, recommended
from invgen.plausibility.p_values import (
    binomial_interval,
    false_discoveries,
    least_count,
    permutation_p_value,
)
from invgen.priors.image_format import format_of
from invgen.priors.learned import Learned
from invgen.priors.sketch import TrainingData

__all__ = ["AnomalyDetector"]

#: Part of the calibration images that a statistic is fitted to, where it has to be.
_FITTED = 1 / 3

#: Calibration images are refused where more than this part of them has been learned from, with confidence.
_LEARNED, _CONFIDENCE = 0.01, 0.95


class AnomalyDetector(Frozen):
    """A test of the hypothesis that an image comes from the distribution of the calibration images.

    The p-value is that of a permutation test (Song et al. 2018, PixelDefend, section 4.1): where the image is
    exchangeable with the calibration images, P(p <= level) is at most the level, whatever the statistic and
    the prior; see `invgen.plausibility.permutation_p_value`. This holds on average over calibration data; for
    a given set of N images, the error at a level fluctuates by about sqrt(level / N). What the statistic
    decides is the power.

    Parameters
    ----------
    prior
        With what the statistic needs: a density, an energy, a denoiser, a generator.
    calibration : tensor, shape (N, *image), optional
        Images like those expected, that neither the prior nor the statistic has learned from. By default, the
        statistics in the file of the prior, where it has some. A statistic that estimates something is fitted
        to a third of the images, and the p-values are by the others.
    statistic : Statistic or str, optional
        Or its name; by default the one that is recommended for the prior:
        `invgen.plausibility.anomaly.recommended`.
    seed : int
        Of the choice of that third.

    Raises
    ------
    CapabilityError
        Where the prior lacks what the statistic needs.
    ShapeError, DtypeError, DataError
        For calibration images that are not the prior's, or that it has learned from.
    ParameterError, FileError
        Without calibration data.
    """

    def __init__(
        self,
        prior: Any,
        calibration: Tensor | None = None,
        statistic: Statistic | str | None = None,
        *,
        seed: int = 0,
    ) -> None:
        self.prior = prior
        if calibration is None:
            self.kind, self.calibration = _from_card(prior, statistic)
        else:
            chosen = _chosen(prior, statistic)
            seed = as_count(seed, "seed", least=0)
            self.kind, self.calibration = _calibrated(prior, calibration, chosen, seed)

    def __repr__(self) -> str:
        return (
            f"AnomalyDetector({type(self.prior).__name__}, {self.kind.name}, {len(self.calibration)} "
            "calibration statistics)"
        )

    def statistic(self, x: Tensor) -> Tensor:
        """The statistic of images, larger for what is more anomalous; see `p_value` for the shapes."""
        if not isinstance(x, Tensor):
            raise DtypeError(f"AnomalyDetector takes a torch.Tensor of images; got {type(x).__name__}.")
        axes = format_of(self.prior).axes or x.ndim - 1
        group = self.kind.group > 1
        batch = x.shape[: x.ndim - axes - group]
        if x.ndim < axes + group:
            raise ShapeError(
                f"{self.kind.name} is of {'groups of ' if group else ''}images with {axes} axes, after any "
                f"batch axes; got {tuple(x.shape)}."
            )
        return self.kind.values(self.prior, x.reshape(-1, *x.shape[len(batch) :])).reshape(batch)

    def p_value(self, x: Tensor) -> Tensor:
        """p-values of images: the probability that one like the calibration images is as anomalous.

        Parameters
        ----------
        x : tensor, shape (*batch, *image)
            Of a statistic of groups, `BatchTypicality`, ``(*batch, group, *image)``.

        Returns
        -------
        tensor, float64, shape of the batch
            From 1 / (N + 1) on, for N calibration statistics; of a two-sided one from 2 / (N + 1) on.

        Raises
        ------
        ShapeError, DtypeError, DataError
            For images of another size, type or range than the prior's.
        """
        return self.p_value_of(self.statistic(x))

    def p_value_of(self, values: Tensor) -> Tensor:
        """`p_value` of images whose statistics are known."""
        return permutation_p_value(values, self.calibration, side=self.kind.side)

    def detect(self, x: Tensor, level: float = 0.05) -> Tensor:
        """Which of many images are anomalous, at most a part `level` of the discoveries being false.

        In expectation, by Benjamini and Hochberg: `invgen.plausibility.false_discoveries`. For one image this
        is the test at that level.

        Parameters
        ----------
        x : tensor, shape (*batch, *image)
        level : float

        Returns
        -------
        bool tensor, shape of the batch

        Raises
        ------
        ParameterError
            Where there are too few calibration images for any p-value to be as small as the level.
        ShapeError, DtypeError, DataError

        Warns
        -----
        InvgenWarning
            Where a few anomalies among the images cannot be discovered, however anomalous they are.
        """
        return self.discoveries(self.p_value(x), level)

    def discoveries(self, p_values: Tensor, level: float = 0.05) -> Tensor:
        """`detect` of images whose p-values are known."""
        self.check_level(level)
        count, side = len(self.calibration), self.kind.side
        smallest = (2 if side == "both" else 1) / (count + 1)
        fewest = math.ceil(smallest * p_values.numel() / level - 1e-9)
        if fewest > 1:
            enough = least_count(level / p_values.numel(), side)
            warnings.warn(
                f"By {count} calibration statistics, fewer than {fewest} anomalies among {p_values.numel()} "
                f"images cannot be discovered at level {level:g}; {enough} would be enough for one.",
                InvgenWarning,
                stacklevel=2,
            )
        return false_discoveries(p_values.flatten(), level).reshape(p_values.shape)

    def check_level(self, level: float) -> None:
        """Raise where there are too few calibration images for any p-value to be as small as the level.

        Raises
        ------
        ParameterError
        """
        count, needed = len(self.calibration), least_count(level, self.kind.side)
        if count < needed:
            raise ParameterError(
                f"At level {level:g} a {self.kind.name} test needs at least {needed} calibration statistics; "
                f"there are {count}: give more calibration images, or a larger level."
            )

    def header(self, **about: Any) -> dict[str, Any]:
        """The entry of a prior's file by which `AnomalyDetector(prior)` needs no calibration data.

        ``prior.with_card(calibration={detector.kind.name: detector.header(data="...")})``.

        Parameters
        ----------
        **about
            Further entries, as JSON can hold them.
        """
        values = [float(f"{value:.7g}") for value in self.calibration.tolist()]
        return {"settings": self.kind.header(), "values": values, **about}


def _chosen(prior: Any, statistic: Statistic | str | None) -> Statistic:
    """A statistic by its name: where it is the one that is recommended, with the settings of that."""
    if isinstance(statistic, Statistic):
        return statistic
    if statistic is not None and statistic not in STATISTICS:
        raise ParameterError(f"There is no statistic {quoted(statistic)}; there are {', '.join(STATISTICS)}.")
    best = recommended(prior)
    if statistic is None or statistic == best.name:
        return best
    return STATISTICS[statistic]()


def _calibrated(prior: Any, images: Tensor, statistic: Statistic, seed: int) -> tuple[Statistic, Tensor]:
    """The fitted statistic, and its values of images that it was not fitted to."""
    check_images(images, format_of(prior), "AnomalyDetector's calibration")
    _check_apart(prior, images)
    kept = images
    if not statistic.is_fitted:
        count = math.ceil(_FITTED * len(images))
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
        statistic = statistic.fitted(prior, images[order[:count]])
        # in the order in which they were given
        kept = images[order[count:].sort().values]
    groups = len(kept) // statistic.group
    if groups < 1:
        raise ShapeError(
            f"{len(images)} calibration images are too few for {statistic.name}"
            + (f" of groups of {statistic.group}" if statistic.group > 1 else "")
            + ": give more of them."
        )
    if statistic.group > 1:
        kept = kept[: groups * statistic.group].unflatten(0, (groups, statistic.group))
    return statistic, statistic.values(prior, kept)


def _check_apart(prior: Any, images: Tensor) -> None:
    """Raise where the prior has learned from calibration images, as far as its file says from which."""
    if not isinstance(prior, Learned) or "training_data" not in prior.card:
        return
    learned = TrainingData.from_header(prior.card["training_data"])
    found, tested = learned.overlap(images, prior.image_format)
    if not found:
        return
    low, high = binomial_interval(found, tested, _CONFIDENCE)
    share = (
        f"{found} of {tested} calibration images that could be compared are among the {learned.count} that "
        f"the prior has learned from"
    )
    if low > _LEARNED:
        raise DataError(
            f"{share} ({100 * low:.0f} to {100 * high:.0f} % of all of them): p-values by these would be too "
            "small. Calibrate by images that were held out from training."
        )
    warnings.warn(f"{share}: images that are common, or copies?", InvgenWarning, stacklevel=4)


def _from_card(prior: Any, asked: Statistic | str | None) -> tuple[Statistic, Tensor]:
    """A statistic and its values of calibration data in the file of a prior."""
    statistic = _chosen(prior, asked)
    known = prior.card.get("calibration", {}) if isinstance(prior, Learned) else {}
    if not isinstance(known, Mapping) or statistic.name not in known:
        names = [name for name in STATISTICS if isinstance(known, Mapping) and name in known]
        has = f"only of {', '.join(names)}" if names else "not there"
        raise ParameterError(
            f"AnomalyDetector needs calibration images: statistics of {statistic.name} in the file of the "
            f"prior are {has}."
        )
    entry = known[statistic.name]
    if not has_type(entry, Mapping[str, Any]) or not {"settings", "values"} <= set(entry):
        raise FileError(f"The prior's calibration of {statistic.name} has no settings and values.")
    stored = type(statistic).from_header(entry["settings"])
    if isinstance(asked, Statistic) and asked != stored:
        raise ParameterError(
            f"The file of the prior has statistics of {statistic.name} with other settings: give calibration "
            "images."
        )
    values = entry["values"]
    if not isinstance(values, list) or not values or not all(has_type(value, float) for value in values):
        raise FileError(f"The prior's calibration of {statistic.name} is no list of numbers.")
    if not all(abs(value) <= sys.float_info.max for value in values):
        raise FileError(f"The prior's calibration of {statistic.name} holds what is no finite number.")
    return stored, torch.tensor(values, dtype=torch.float64)

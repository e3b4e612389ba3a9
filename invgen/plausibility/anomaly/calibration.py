"""Calibration statistics: of held-out images, or those in the file of a prior."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from invgen.core.checks import has_type
from invgen.core.errors import DataError, FileError, InvgenWarning, ParameterError, ShapeError
from invgen.core.text import quoted
from invgen.plausibility.anomaly.base import Statistic, check_images
from invgen.plausibility.anomaly.states import STATISTICS, recommended
from invgen.plausibility.p_values import binomial_interval
from invgen.priors.image_format import format_of
from invgen.priors.learned import Learned
from invgen.priors.sketch import TrainingData

__all__ = ["calibrated", "chosen_statistic", "from_card"]

#: Part of the calibration images that a statistic is fitted to, where it has to be.
_FITTED = 1 / 3

#: Calibration images are refused where more than this part of them has been learned from, with confidence.
_LEARNED, _CONFIDENCE = 0.01, 0.95


def chosen_statistic(prior: Any, statistic: Statistic | str | None) -> Statistic:
    """A statistic by its name: where it is the one that is recommended, with the settings of that.

    Raises
    ------
    CapabilityError, ParameterError
    """
    if isinstance(statistic, Statistic):
        return statistic
    if statistic is not None and statistic not in STATISTICS:
        raise ParameterError(f"There is no statistic {quoted(statistic)}; there are {', '.join(STATISTICS)}.")
    best = recommended(prior)
    if statistic is None or statistic == best.name:
        return best
    return STATISTICS[statistic]()


def calibrated(
    prior: Any, images: Tensor, asked: Statistic | str | None, seed: int
) -> tuple[Statistic, Tensor]:
    """The fitted statistic, and its values of images that it was not fitted to.

    Raises
    ------
    CapabilityError, ShapeError, DtypeError, DataError, ParameterError
    """
    statistic = chosen_statistic(prior, asked)
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


def from_card(prior: Any, asked: Statistic | str | None) -> tuple[Statistic, Tensor]:
    """A statistic and its values of calibration data in the file of a prior.

    Raises
    ------
    CapabilityError, ParameterError, FileError
    """
    statistic = chosen_statistic(prior, asked)
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

"""The test of anomalies: p-values of images by calibration data, and which of many are discoveries."""

from __future__ import annotations

import math
import warnings
from typing import Any

from torch import Tensor

from invgen.core.checks import as_count
from invgen.core.errors import DtypeError, InvgenWarning, ParameterError, ShapeError
from invgen.core.frozen import Frozen
from invgen.plausibility.anomaly.base import Statistic
from invgen.plausibility.anomaly.calibration import calibrated, from_card
from invgen.plausibility.p_values import false_discoveries, least_count, permutation_p_value
from invgen.priors.image_format import format_of

__all__ = ["AnomalyDetector"]


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
            self.kind, self.calibration = from_card(prior, statistic)
        else:
            seed = as_count(seed, "seed", least=0)
            self.kind, self.calibration = calibrated(prior, calibration, statistic, seed)

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
        # to the last digit: images are compared with these, of which many may be nearly the same
        return {"settings": self.kind.header(), "values": self.calibration.tolist(), **about}

"""Whether ranks are uniform: Pearson's test, and simultaneous bands of their distribution function."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError

__all__ = ["band", "bins_of", "chi_square", "ecdf", "ecdf_test"]

#: Sets of uniform ranks by which the distribution of the test statistic is found.
_SETS = 2000


def chi_square(ranks: torch.Tensor, highest: int) -> float:
    """Probability of ranks that are no more uniform than these, by Pearson's chi-square test.

    Talts et al. (2018), sec. 5.1: in bins of as many ranks each, up to 20 of them, with five or more expected
    in each.

    Parameters
    ----------
    ranks : integer tensor, shape (replicas,)
        From 0 to `highest`.
    highest : int
        The number of samples that each truth is ranked among: one less than that of possible ranks.

    Raises
    ------
    ParameterError
        Where fewer than two bins have five ranks, or the possible ranks have no divisor for the bins.
    """
    count, bins = highest + 1, bins_of(len(ranks), highest)
    counts = torch.bincount(ranks * bins // count, minlength=bins).double()
    expected = len(ranks) / bins
    square = ((counts - expected).square() / expected).sum()
    # the upper tail of the chi-square distribution of bins - 1 degrees of freedom
    return float(torch.special.gammaincc(torch.tensor((bins - 1) / 2, dtype=torch.float64), square / 2))


def bins_of(replicas: int, highest: int) -> int:
    """The number of bins of `chi_square`.

    Raises
    ------
    ParameterError
        Where there are none.
    """
    count, most = highest + 1, min(20, replicas // 5)
    bins = max((b for b in range(2, most + 1) if count % b == 0), default=0)
    if bins == 0:
        raise ParameterError(
            f"Ranks are counted in 2 to {max(most, 2)} bins of equal size, with five or more in each; there "
            f"are {replicas} ranks of {count} possible ones. Take 99 samples, and ten replicas or more."
        )
    return bins


def ecdf(ranks: torch.Tensor, highest: int) -> torch.Tensor:
    """Part of the ranks below k, for k from 0 to `highest` + 1: k / (highest + 1) if uniform."""
    counts = torch.bincount(ranks, minlength=highest + 1).double().cumsum(0) / len(ranks)
    return torch.cat([counts.new_zeros(1), counts])


def ecdf_test(ranks: torch.Tensor, highest: int) -> float:
    """Probability of ranks whose distribution function leaves the diagonal as improbably at some place.

    Säilynoja, Bürkner and Vehtari (2022), sec. 2: at each rank the number of ranks up to it is binomial, and
    the statistic is the smallest of the two-sided probabilities. Its own distribution is that of sets of
    uniform ranks, drawn here: exact for any number of replicas, to the 2000 sets.
    """
    replicas = len(ranks)
    null = _null(replicas, as_count(highest, "highest"))
    found = _smallest(ranks.bincount(minlength=highest + 1).cumsum(0)[None].numpy(), replicas, highest)
    return float((1 + np.count_nonzero(null <= found[0] * (1 + 1e-9))) / (1 + len(null)))


def band(replicas: int, highest: int, level: float = 0.95) -> tuple[torch.Tensor, torch.Tensor]:
    """The band that distribution functions of uniform ranks stay in, at all places at once.

    Parameters
    ----------
    replicas, highest : int
    level : number between 0 and 1
        Probability of the band.

    Returns
    -------
    low, high : tensors, shape (highest + 2,)
        Bounds of `ecdf`.
    """
    from scipy.stats import binom

    if not 0 < level < 1:
        raise ParameterError(f"The level of a band is between 0 and 1; got {level}.")
    each = np.quantile(_null(replicas, highest), 1 - level, method="lower")
    places = np.arange(highest + 2) / (highest + 1)
    low, high = binom.ppf(each / 2, replicas, places), binom.isf(each / 2, replicas, places)
    low[0] = high[0] = 0  # none is below zero
    return torch.from_numpy(low / replicas), torch.from_numpy(high / replicas)


def _smallest(counts: np.ndarray, replicas: int, highest: int) -> np.ndarray:
    """Least two-sided probability of cumulative counts (sets, highest + 1), the last of which is certain."""
    from scipy.stats import binom

    numbers = np.arange(replicas + 1)[:, None]
    places = (np.arange(highest) + 1) / (highest + 1)
    tails = 2 * np.minimum(binom.cdf(numbers, replicas, places), binom.sf(numbers - 1, replicas, places))
    return tails[counts[:, :-1], np.arange(highest)].min(1)


@lru_cache(maxsize=8)
def _null(replicas: int, highest: int) -> np.ndarray:
    """The statistic of sets of uniform ranks."""
    generator = np.random.default_rng(0)
    drawn = generator.multinomial(replicas, np.full(highest + 1, 1 / (highest + 1)), size=_SETS)
    return _smallest(drawn.cumsum(1), replicas, highest)

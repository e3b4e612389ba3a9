"""Counts of values in contexts, and the probabilities that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["Counts", "backed_off", "quantizer"]


@dataclass(frozen=True)
class Counts:
    """How often each value was seen in each context.

    Parameters
    ----------
    keys : int64 tensor, shape (K,)
        ``context * levels + value``, in increasing order.
    counts : int64 tensor, shape (K,)
    levels : int
        Number of values.
    """

    keys: Tensor
    counts: Tensor
    levels: int

    @classmethod
    def of(cls, keys: Tensor, counts: Tensor, levels: int) -> Counts:
        """Of keys in any order, equal ones together."""
        found, place = keys.unique(return_inverse=True)
        return cls(found, torch.zeros_like(found).index_add_(0, place, counts), levels)

    @classmethod
    def checked(cls, keys: Tensor, counts: Tensor, levels: int) -> Counts:
        """Of a file; raise ValueError where these are no counts."""
        if keys.dtype != torch.int64 or keys.ndim != 1 or keys.shape != counts.shape or not len(keys):
            raise ValueError(f"{tuple(keys.shape)} keys have {tuple(counts.shape)} counts.")
        if not bool((keys.diff() > 0).all()) or int(keys[0]) < 0 or not bool((counts > 0).all()):
            raise ValueError("Keys do not increase, or counts are not positive.")
        return cls(keys, counts, levels)

    @cached_property
    def _contexts(self) -> tuple[Tensor, Tensor, Tensor]:
        """The contexts in increasing order, how often each was seen, and with how many values."""
        contexts, place, distinct = torch.unique_consecutive(
            self.keys // self.levels, return_inverse=True, return_counts=True
        )
        return contexts, torch.zeros_like(contexts).index_add_(0, place, self.counts), distinct

    def look_up(self, contexts: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Counts of the values in the contexts, those of the contexts, and their numbers of values.

        Contexts have the shape of the values, or one that broadcasts to it.
        """
        keys = contexts * self.levels + values
        at = torch.searchsorted(self.keys, keys).clamp(max=len(self.keys) - 1)
        own = torch.where(self.keys[at] == keys, self.counts[at], 0)
        known, totals, distinct = self._contexts
        at = torch.searchsorted(known, contexts).clamp(max=len(known) - 1)
        there = known[at] == contexts
        return own, torch.where(there, totals[at], 0), torch.where(there, distinct[at], 0)


def backed_off(found: tuple[Tensor, Tensor, Tensor], lower: Tensor, escape: float) -> Tensor:
    """Probabilities of values by `Counts.look_up`, mixed with those of shorter contexts, float64.

    With the count n of a context, N of the value in it and T different values,
    ``(N + e T lower) / (n + e T)``: the more values a context has had, the likelier is another one. For
    ``e = 1`` this is the rule of Witten and Bell (1991), method C. It sums to one where `lower` does.
    """
    own, total, distinct = found
    mass = escape * distinct.double()
    return torch.where(total > 0, (own + mass * lower) / (total + mass).clamp(min=1e-300), lower)


def quantizer(histogram: Tensor, bins: int) -> Tensor:
    """Bin of each value, shape of the histogram: bins of equal counts, as far as single values allow.

    Values that are common, as black in a picture of digits, get a bin of their own.
    """
    share = (histogram.double() / histogram.sum()).tolist()
    found = torch.zeros(len(share), dtype=torch.long)
    bin, filled, left = 0, 0.0, 1.0
    for value, p in enumerate(share):
        wanted = left / (bins - bin)
        # the next bin begins where this one is fuller than wanted by more than it would lack
        if bin < bins - 1 and filled > 0 and filled + p - wanted > wanted - filled:
            bin, filled, left = bin + 1, 0.0, left - filled
        found[value] = bin
        filled += p
    return found

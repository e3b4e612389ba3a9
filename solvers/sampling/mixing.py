"""How well the chains of a sampler have mixed, by a few pixels that are followed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from invgen.chains import effective_sample_size, r_hat
from invgen.problem import Problem

__all__ = ["followed", "mixing"]

#: Number of pixels of each chain that are followed.
_FOLLOWED = 100


def followed(trace: Tensor | None, problem: Problem, x: Tensor) -> Tensor:
    """The trace ``(n, draws, *batch, pixels)`` with one draw more, of pixels at even distances in x."""
    space = problem.operator.domain
    at = torch.linspace(0, space.size - 1, min(space.size, _FOLLOWED), device=x.device).round().long()
    seen = x.flatten(x.ndim - len(space.shape))[..., at][:, None]
    return seen if trace is None else torch.cat([trace, seen], 1)


def mixing(traces: Sequence[Tensor | None]) -> dict[str, Any]:
    """R-hat and effective sample size of the worst pixel, for each batch element; nothing of few draws.

    Parameters
    ----------
    traces : sequence of tensor (n, draws, *batch, pixels), or None
        Of each run's chains.
    """
    known = [trace for trace in traces if trace is not None]
    length = min((trace.shape[1] for trace in known), default=0)
    if length < 4 or len(known) < len(traces):
        return {}
    chains = torch.cat([trace[:, :length] for trace in known])
    worst = {
        "r_hat": r_hat(chains).amax(-1),
        "effective_sample_size": effective_sample_size(chains).amin(-1),
    }
    return {name: value if value.ndim else float(value) for name, value in worst.items()}

"""What is measured of a prior while it learns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from invgen.priors.learned import Learned

__all__ = ["Show", "mean_loss", "validation"]

Prior = TypeVar("Prior", bound=Learned)

#: Called with the prior so far and the step: it may draw pictures, and its numbers go into the log.
Show = Callable[[Prior, int], dict[str, float] | None]

Networks = Mapping[str, nn.Module]


def validation(
    prior: Callable[[Networks], Prior],
    held: Mapping[str, Callable[[Networks, torch.Generator], Tensor]],
    show: Show[Prior] | None,
) -> Callable[[Networks, int], dict[str, float]]:
    """Losses on images that are not learned from, and what `show` finds.

    Parameters
    ----------
    prior : callable(networks) -> Learned
    held : mapping of str to callable(networks, generator) -> scalar tensor
        Losses, by their names in the log.
    show : callable(prior, step) -> dict of numbers or None, optional
    """

    def validate(networks: Networks, step: int) -> dict[str, float]:
        found = {name: mean_loss(loss, networks) for name, loss in held.items()}
        return found | ((show(prior(networks), step) if show is not None else None) or {})

    return validate


@torch.no_grad()
def mean_loss(
    loss: Callable[[Networks, torch.Generator], Tensor], networks: Networks, batches: int = 4
) -> float:
    """Mean loss of a few batches, the same at each call."""
    device = next(next(iter(networks.values())).parameters()).device
    generator = torch.Generator(device).manual_seed(0)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(0)
        return sum(float(loss(networks, generator)) for _ in range(batches)) / batches

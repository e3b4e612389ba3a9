"""The stages of a network: successive maps whose composition it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

__all__ = ["Stage", "stages_of"]

#: A map of features ``(N, ...)``, differentiable.
Stage = Callable[[Tensor], Tensor]


@runtime_checkable
class _Chain(Protocol):
    """A network that knows the maps that it is made of."""

    def chain(self) -> list[Stage]:
        """The maps, first to last."""


def stages_of(network: nn.Module) -> list[Stage]:
    """The maps that a network is made of, first to last; one where nothing is known of its inside.

    A ``torch.nn.Sequential``, within others too, has a stage for each layer with parameters and what follows
    it, such as an activation; a network with a method ``chain()`` those that this returns.
    """
    if isinstance(network, _Chain):
        return network.chain()
    if not isinstance(network, nn.Sequential):
        return [network]
    stages: list[Stage] = []
    for layer in network:
        if stages and next(layer.parameters(), None) is None:
            stages[-1] = _both(stages[-1], layer)
        else:
            stages += stages_of(layer)
    return stages


def _both(first: Stage, second: Stage) -> Stage:
    return lambda x: second(first(x))

"""Networks that follow the device and the precision of their images."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from invgen.core.errors import CapabilityError

__all__ = ["Following", "in_parts"]

#: Numbers of all images that a network sees at once; it makes some hundred times as many of them.
_NUMBERS = 2**20


class Following:
    """A copy of a module, moved to each device and precision once, then kept."""

    def __init__(self, module: nn.Module) -> None:
        try:
            self._module = copy.deepcopy(module).eval().requires_grad_(False)
        except RuntimeError as error:  # of tensors that a graph has made
            raise CapabilityError(f"The network cannot be copied: {error}") from error
        self._copies: dict[tuple[torch.device, torch.dtype], nn.Module] = {}

    @property
    def module(self) -> nn.Module:
        """The module as it came, in evaluation."""
        return self._module

    @property
    def name(self) -> str:
        """Name of the module's class."""
        return type(self._module).__name__

    def like(self, x: torch.Tensor) -> nn.Module:
        """The module on the device of `x` and in its precision."""
        key = (x.device, x.dtype)
        if key not in self._copies:
            self._copies[key] = copy.deepcopy(self._module).to(device=x.device, dtype=x.dtype)
        return self._copies[key]

    def __getstate__(self) -> Any:
        return self._module

    def __setstate__(self, module: Any) -> None:
        self._module, self._copies = module, {}


def in_parts(network: Callable[..., torch.Tensor], images: torch.Tensor, *others: Any) -> torch.Tensor:
    """What a network makes of a batch, some images at a time: all slices of a volume would fill the memory.

    Where a graph is recorded they are taken together, as it keeps everything anyway.

    Parameters
    ----------
    network : callable
        Of tensors along whose first axis images do not see each other.
    images : tensor, shape (n, ...)
    *others : tensor (n, ...), or None
        What else it takes.
    """
    each = max(1, _NUMBERS // images[0].numel())
    if len(images) <= each or images.requires_grad:
        return network(images, *others)
    parts = [slice(first, first + each) for first in range(0, len(images), each)]
    return torch.cat(
        [network(*(None if t is None else t[part] for t in (images, *others))) for part in parts]
    )

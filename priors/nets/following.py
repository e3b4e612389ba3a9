"""Networks that follow the device and the precision of their images."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import chain
from typing import Any

import torch
from torch import nn

from invgen.core.errors import CapabilityError
from invgen.priors.nets.evaluation import Evaluation, evaluating

__all__ = ["Following", "in_parts"]

#: Numbers of all images that a network sees at once; its activations take about a hundred times as many.
_NUMBERS = 2**20


class Following:
    """A frozen copy of a module in evaluation mode, moved to each device and precision once, then kept.

    It belongs to nobody else: neither its mode nor its parameters ever change, so that several threads may
    call it while the owner of the module trains that.
    """

    def __init__(self, module: nn.Module) -> None:
        try:
            self._module = copy.deepcopy(module).eval().requires_grad_(False)
        except RuntimeError as error:  # of tensors that a graph has made
            raise CapabilityError(f"The network cannot be copied: {error}") from error
        self._settle(Evaluation())

    def _settle(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        self._copies: dict[tuple[torch.device, torch.dtype], nn.Module] = {}
        self._evaluated: dict[tuple[torch.device, torch.dtype, str], nn.Module] = {}

    @property
    def module(self) -> nn.Module:
        """The copy, on the device and in the precision of the original."""
        return self._module

    @property
    def name(self) -> str:
        """Name of the module's class."""
        return type(self._module).__name__

    def like(self, x: torch.Tensor) -> nn.Module:
        """The module on the device of `x` and in its precision."""
        key = (x.device, x.dtype)
        if key not in self._copies:
            # of threads that come here at the same time, all take the copy of the first
            self._copies.setdefault(key, self._moved(*key))
        return self._copies[key]

    def evaluating(self, x: torch.Tensor, part: str = "") -> Callable[..., torch.Tensor]:
        """The module, or a part by its name, to be called with tensors such as `x`: see `evaluated`."""
        if self._evaluation == Evaluation():
            return getattr(self.like(x), part) if part else self.like(x)
        key = (x.device, x.dtype, part)
        if key not in self._evaluated:
            own = copy.deepcopy(self._module.get_submodule(part)).to(x.device, x.dtype)
            self._evaluated.setdefault(key, evaluating(own, self._evaluation, x.device))
        return self._evaluated[key]

    def evaluated(self, evaluation: Evaluation) -> Following:
        """The same module, which `evaluating` evaluates in a way; `like` does not."""
        other = copy.copy(self)
        other._settle(evaluation)
        other._copies = self._copies
        return other

    def _moved(self, device: torch.device, dtype: torch.dtype) -> nn.Module:
        tensors = chain(self._module.parameters(), self._module.buffers())
        if all(t.device == device and (t.dtype == dtype or not t.is_floating_point()) for t in tensors):
            return self._module
        return copy.deepcopy(self._module).to(device=device, dtype=dtype)

    def __getstate__(self) -> Any:
        return {"module": self._module, "evaluation": self._evaluation}

    def __setstate__(self, state: Any) -> None:
        self._module = state["module"]
        self._settle(state["evaluation"])


def in_parts(
    network: Callable[..., torch.Tensor], images: torch.Tensor, *others: Any, numbers: int | None = None
) -> torch.Tensor:
    """Apply a network to a batch, some images at a time: all slices of a volume would fill the memory.

    Where a graph is recorded they are taken together, as it keeps everything anyway.

    Parameters
    ----------
    network : callable
        Of tensors along whose first axis images do not see each other.
    images : tensor, shape (n, ...)
    *others : tensor (n, ...), or None
        Its other arguments.
    numbers : int, optional
        Of one image, where `images` are latent variables of images.
    """
    each = max(1, _NUMBERS // (numbers or images[0].numel()))
    if len(images) <= each or images.requires_grad:
        return network(images, *others)
    parts = [slice(first, first + each) for first in range(0, len(images), each)]
    return torch.cat(
        [network(*(None if t is None else t[part] for t in (images, *others))) for part in parts]
    )

"""One iterate of a solver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["State"]


class State:
    """One iterate, with the variables that the loop needs to go on from here.

    Parameters
    ----------
    x : tensor
        The image.
    optimality : tensor, optional
        One number for each batch element that falls to zero at the solution; where it is given, the
        solver's tolerance applies to it, else to the relative change of the image.
    **variables
        Everything else that the next iteration reads: tensors and numbers.
    """

    def __init__(self, x: torch.Tensor, optimality: torch.Tensor | None = None, **variables: Any) -> None:
        self.x, self.optimality, self.variables = x, optimality, variables

    def get(self, name: str, initial: Callable[[], Any]) -> Any:
        """A variable of a state to go on from; in a first state, what `initial` computes."""
        return self.variables[name] if name in self.variables else initial()

    def __getitem__(self, name: str) -> Any:
        return self.variables[name]

"""Triton kernels: the block sizes that they are tried with, and how they are launched.

Kernels write their results and read nothing that they write, so that one may run twice: which block sizes
are the fastest is measured on the device, by running each, before the first call of a kind. Numbers that are
not whole reach a kernel in tensors, since Triton passes them in single precision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import triton

__all__ = ["Kernel", "kernel"]

Grid = Callable[[dict[str, Any]], tuple[int, ...]]


class Kernel:
    """A Triton kernel.

    Parameters
    ----------
    function : Python function
        What `triton.jit` compiles.
    choices : sequence of dict
        Block sizes, and `num_warps` and `num_stages` where they are not Triton's defaults. The first serves
        in Triton's interpreter.
    key : sequence of str
        Names of the arguments on whose values it depends which choice is the fastest.
    """

    def __init__(
        self, function: Callable[..., None], choices: Sequence[dict[str, int]], key: Sequence[str]
    ) -> None:
        self.name = function.__name__
        self.compiled = triton.jit(function)
        self.choices = [triton.Config(*_parts(choice)) for choice in choices]
        interpreted = not isinstance(self.compiled, triton.JITFunction)
        configs = self.choices[:1] if interpreted else self.choices  # nothing is measured there
        self._tuned = triton.autotune(configs, key=list(key))(self.compiled)

    def __call__(self, grid: Grid, *arguments: torch.Tensor | int) -> None:
        """Run on the device of the first tensor.

        Parameters
        ----------
        grid : function of the block sizes
            Number of programs along up to three axes; the second and third have at most 65535.
        *arguments : tensors and whole numbers
            All parameters but block sizes, in order. Tensors are contiguous unless strides are passed too.
        """
        for argument in arguments:
            if isinstance(argument, float):
                raise TypeError(
                    f"Triton would pass {argument!r} in single precision: numbers that are not whole reach "
                    "kernels in tensors."
                )
        self.launch(grid, arguments)

    def launch(self, grid: Grid, arguments: tuple[torch.Tensor | int, ...]) -> None:
        """Run with the fastest block sizes."""
        with torch.cuda.device_of(next(a for a in arguments if isinstance(a, torch.Tensor))):
            self._tuned[grid](*arguments)


def kernel(*choices: dict[str, int], key: Sequence[str] = ()) -> Callable[[Callable[..., None]], Kernel]:
    """Make a function a `Kernel`.

    Parameters
    ----------
    *choices, key
        As of `Kernel`.
    """
    return lambda function: Kernel(function, choices, key)


def _parts(choice: dict[str, int]) -> tuple[dict[str, int], int, int]:
    blocks = dict(choice)
    return blocks, blocks.pop("num_warps", 4), blocks.pop("num_stages", 2)

"""Lines of k-space, taken out of the grid so that only they are transformed."""

from __future__ import annotations

import numpy as np
import torch

from invgen.operators.frozen import Constant
from invgen.operators.threads import torch_threads

__all__ = ["Lines"]

#: Fraction of sampled lines up to which it pays to transform them alone: taking them out costs, too.
_SPARSE = 0.7


class Lines:
    """The sampled lines of k-space: where the mask is not zero, across the axes on which it depends.

    Parameters
    ----------
    shape : tuple of int
        Of the image.
    varying : tuple of negative int
        Neighbouring axes on which the mask depends, which become one; lines run along the others.
    index : int64 tensor
        Sampled positions on the flattened varying axes.
    """

    def __init__(self, shape: tuple[int, ...], varying: tuple[int, ...], index: torch.Tensor) -> None:
        self._sizes = tuple(shape[a] for a in varying)
        self._first, self._axis = varying[0], varying[-1]
        self._index = Constant(index)
        outer = len(shape) + varying[0]
        #: Axes that remain to be transformed, once the lines are taken out.
        self.along = (*range(self._axis - outer, self._axis), *range(self._axis + 1, 0))

    @classmethod
    def of(cls, mask: torch.Tensor, varying: tuple[int, ...]) -> Lines | None:
        """The lines of a mask, or None where it has none or they are too many to be worth it."""
        lines = tuple(a for a in range(-mask.ndim, 0) if a not in varying)
        together = bool(varying) and varying[-1] - varying[0] == len(varying) - 1
        if not lines or not together:
            return None
        across = mask.amax(dim=lines).flatten()
        index = across.nonzero().flatten()
        return cls(tuple(mask.shape), varying, index) if len(index) <= _SPARSE * len(across) else None

    def take(self, y: torch.Tensor) -> torch.Tensor:
        """The lines alone, in new memory."""
        y, index = y.flatten(self._first, self._axis), self._index.like(y)
        if y.is_cuda or self._axis != -1:
            return y.index_select(self._axis, index)
        from invgen.operators.mri import cpu

        lines = y.new_empty(*y.shape[:-1], len(index))
        with torch_threads():
            cpu.take(_rows(y.contiguous()), index.numpy(), _rows(lines))
        return lines

    def put(self, lines: torch.Tensor) -> torch.Tensor:
        """Adjoint of `take`: the lines in their places, zero elsewhere."""
        index, axis = self._index.like(lines), lines.ndim + self._axis
        shape = (*lines.shape[:axis], *self._sizes, *lines.shape[axis + 1 :])
        y = lines.new_empty(shape)
        flat = y.flatten(self._first, self._axis)
        if y.is_cuda or self._axis != -1:
            flat.zero_().index_copy_(self._axis, index, lines)
        else:
            from invgen.operators.mri import cpu

            with torch_threads():
                cpu.put(_rows(lines.contiguous()), index.numpy(), _rows(flat))
        return y


def _rows(y: torch.Tensor) -> np.ndarray:
    """A contiguous tensor as a NumPy array of rows, sharing its memory."""
    return y.view(-1, y.shape[-1]).numpy()

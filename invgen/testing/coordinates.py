"""Elements of a space as vectors of coordinates, and operators as matrices."""

from __future__ import annotations

import torch

from invgen.core.space import Data
from invgen.operators import LinearOperator, ProductSpace, Space

__all__ = ["Coordinates", "coordinates", "matrix"]


class Coordinates:
    """Coordinates of the elements of a space.

    Parameters
    ----------
    space : Space or ProductSpace
    real : bool
        Count a complex number as two coordinates: for operators between real and complex spaces, which are
        linear over the real numbers only.
    """

    def __init__(self, space: Space | ProductSpace, real: bool) -> None:
        self._spaces = space.spaces if isinstance(space, ProductSpace) else (space,)
        self._tuple, self._real = isinstance(space, ProductSpace), real
        self._sizes = [s.size * (2 if real and s.field == "complex" else 1) for s in self._spaces]
        self.size = sum(self._sizes)

    def of(self, x: Data) -> torch.Tensor:
        """Turn elements with one batch axis into rows (batch, size)."""
        rows = []
        for part in x if self._tuple else (x,):
            part = torch.view_as_real(part.resolve_conj()) if self._real and part.is_complex() else part
            rows.append(part.reshape(len(part), -1))
        return torch.cat(rows, dim=1)

    def element(self, rows: torch.Tensor) -> Data:
        """Turn rows (batch, size) into elements, the inverse of `of`."""
        result = []
        for space, part in zip(self._spaces, rows.split(self._sizes, dim=1), strict=True):
            if self._real and space.field == "complex":
                part = torch.view_as_complex(part.reshape(len(part), -1, 2).contiguous())
            result.append(part.reshape(len(part), *space.shape))
        return tuple(result) if self._tuple else result[0]

    def basis(self, dtype: torch.dtype) -> Data:
        """Return the unit elements as one batch; `dtype` is real and sets the precision."""
        native = not self._real and self._spaces[0].field == "complex"
        return self.element(torch.eye(self.size, dtype=dtype.to_complex() if native else dtype))

    def repeat(self, weights: torch.Tensor) -> torch.Tensor:
        """Repeat the real weight of each entry for its coordinates."""
        return weights.flatten().repeat_interleave(self.size // weights.numel())


def coordinates(operator: LinearOperator) -> tuple[Coordinates, Coordinates]:
    """Choose coordinates of domain and range, complex ones where both are complex."""
    spaces = (operator.domain, operator.range)
    fields = {
        s.field for space in spaces for s in (space.spaces if isinstance(space, ProductSpace) else (space,))
    }
    return Coordinates(spaces[0], len(fields) > 1), Coordinates(spaces[1], len(fields) > 1)


def matrix(
    operator: LinearOperator, given: Coordinates, wanted: Coordinates, dtype: torch.dtype
) -> torch.Tensor:
    """Write out the matrix (m, n): the operator on unit elements."""
    return wanted.of(operator(given.basis(dtype))).T

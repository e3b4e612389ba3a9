"""The single-pixel camera: sums of light under patterns of zeros and ones."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from invgen.core.batching import each_alone
from invgen.core.checks import is_count
from invgen.core.errors import ParameterError
from invgen.core.frozen import Constant
from invgen.core.space import Space
from invgen.operators.basic import Identity
from invgen.operators.linear import SVD, LinearOperator
from invgen.operators.sensing.transform import SubsampledTransform
from invgen.operators.spectral import solve_by_svd
from invgen.operators.transforms.hadamard import hadamard_sums, sequency_rows

__all__ = ["SinglePixel", "cake_cutting"]

#: Pixels of the largest set of random patterns, each a byte.
_LARGEST = 2**31
#: Pixels of random patterns that are converted to numbers at a time.
_BLOCK = 2**22


class SinglePixel(LinearOperator):
    """A single-pixel camera: ``y_i`` is the sum of the pixels where pattern i is one.

    A micromirror device displays patterns of zeros and ones, and one detector collects the light: intensities
    are summed, in the image's unit. Pattern i is ``A.H`` of the i-th unit vector.

    Parameters
    ----------
    image_shape : tuple of int
        Shape of the images.
    m : int
        Number of patterns; the range is ``(m,)``.
    patterns : {"hadamard", "random"}
        Hadamard patterns ``(1 + h) / 2`` in cake-cutting order, by a fast transform; or independent random
        pixels, one with probability 1/2.
    seed : int
        Seed of the random patterns.
    differential : bool
        Display each pattern and its complement, and measure the difference: patterns of +-1, in which stray
        light cancels. The noise of the two exposures adds up.

    Raises
    ------
    ParameterError
        If m is larger than the number of pixels, for Hadamard patterns; if the random patterns have more than
        2^31 pixels in total; if the kind of patterns is unknown.
    ShapeError
        If a size is no power of two, for Hadamard.

    Notes
    -----
    The first Hadamard pattern is one everywhere. `svd` and `solve` are closed forms for Hadamard patterns;
    for random ones `solve` iterates.

    References
    ----------
    Duarte et al. (2008), Single-pixel imaging via compressive sampling, eq. 1. Yu (2019), Super sub-Nyquist
    single-pixel imaging by means of cake-cutting Hadamard basis sort.
    """

    def __init__(
        self,
        image_shape: tuple[int, ...],
        m: int,
        patterns: str = "hadamard",
        seed: int = 0,
        differential: bool = False,
    ) -> None:
        domain = Space(image_shape)
        if patterns not in ("hadamard", "random"):
            raise ParameterError(f"SinglePixel: patterns is 'hadamard' or 'random'; got {patterns!r}.")
        most = domain.size if patterns == "hadamard" else _LARGEST // domain.size
        if not is_count(m, most):
            raise ParameterError(
                f"SinglePixel: there are 1 to {most} {patterns} patterns of {domain.size} pixels; got m={m}."
            )
        super().__init__(domain, (int(m),))
        self._differential = bool(differential)
        self.nonnegative = not self._differential
        self._rows: Constant | None = None
        self._random: Constant | None = None
        if patterns == "hadamard":
            self._rows = Constant(cake_cutting(domain.shape)[: int(m)])
        else:
            generator = torch.Generator().manual_seed(seed)
            coins = torch.randint(2, (int(m), domain.size), generator=generator, dtype=torch.uint8)
            self._random = Constant(coins)

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return each_alone(self._measure, x, self.domain.ndim)

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return each_alone(self._backproject, y, self.range.ndim)

    def _measure(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        if self._rows is not None:
            y = hadamard_sums(x).index_select(-1, self._rows.like(x))
            # the first pattern is one everywhere
            return y if self._differential else (y + y[:, :1]) / 2
        y = torch.cat([x @ block.mT for block in self._blocks(x)], dim=-1)
        return 2 * y - x.sum(-1, keepdim=True) if self._differential else y

    def _backproject(self, y: torch.Tensor) -> torch.Tensor:
        if self._rows is not None:
            if not self._differential:
                y = y / 2
                y[:, :1] += y.sum(-1, keepdim=True)
            x = y.new_zeros(len(y), self.domain.size).index_copy_(-1, self._rows.like(y), y)
            x = hadamard_sums(x)
        else:
            x = y.new_zeros(len(y), self.domain.size)
            for part, block in zip(y.split(self._block_rows, dim=-1), self._blocks(y), strict=True):
                x = x + part @ block
            x = 2 * x - y.sum(-1, keepdim=True) if self._differential else x
        return x.reshape(len(y), *self.domain.shape)

    @property
    def _block_rows(self) -> int:
        return max(1, _BLOCK // self.domain.size)

    def _blocks(self, like: torch.Tensor) -> Iterator[torch.Tensor]:
        """Random patterns as floating-point numbers, some rows at a time."""
        assert self._random is not None
        for block in self._random.like(like).split(self._block_rows):
            yield block.to(like.dtype)

    def _svd(self) -> SVD | None:
        """Of Hadamard patterns.

        Rows of H are orthogonal, ``H H.T = n``, and patterns of zeros and ones add the first row to each:
        ``A = B H`` with ``B = (1 + ones e_1.T) / 2``, which is 1/2 on the complement of e_1 and ones.
        """
        if self._rows is None:
            return None
        m, n = self.range.size, self.domain.size
        rows = SubsampledTransform(
            self.domain.shape, transform="hadamard", signs=False, rows=self._rows.value
        )
        s = torch.full((m,), n**0.5, dtype=torch.float64)
        if m == 1 or self._differential:
            return SVD(Identity((m,)), s, rows.H)
        # B on e_1 and on the unit vector along the other ones
        corner = torch.tensor([[1.0, 0.0], [(m - 1) ** 0.5 / 2, 0.5]], dtype=torch.float64)
        U, values, Vh = torch.linalg.svd(corner)
        s = s / 2
        s[:2] = values * n**0.5
        return SVD(_Corner(m, U), s, rows.H @ _Corner(m, Vh.T))

    @property
    def has_closed_form_solve(self) -> bool:
        """For Hadamard patterns."""
        return self._rows is not None

    def _solve(self, b: torch.Tensor, shift: float | torch.Tensor) -> torch.Tensor:
        return solve_by_svd(self.svd, b, shift)

    def _norm(self) -> float:
        return super()._norm() if self.svd is None else float(self.svd.s.max())


class _Corner(LinearOperator):
    """Rotate the first two of m coordinates, then reflect e_2 onto the direction of ``e_2 + ... + e_m``.

    Parameters
    ----------
    m : int
    rotation : tensor, shape (2, 2)
        Orthogonal.
    """

    def __init__(self, m: int, rotation: torch.Tensor) -> None:
        super().__init__((m,), (m,))
        self._rotation = Constant(rotation)
        # Householder's reflection that swaps e_2 with the unit vector along e_2 + ... + e_m
        normal = torch.full((m,), -((m - 1) ** -0.5), dtype=torch.float64)
        normal[0] = 0
        normal[1] += 1
        length = normal.norm()
        self._normal = Constant(normal / length if length > 0 else normal)

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return self._reflect(self._rotate(x, self._rotation.like(x)))

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return self._rotate(self._reflect(y), self._rotation.like(y).mT)

    @staticmethod
    def _rotate(x: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
        first, second = x[..., 0], x[..., 1]
        rotated = [row[0] * first + row[1] * second for row in rotation]
        return torch.cat([torch.stack(rotated, dim=-1), x[..., 2:]], dim=-1)

    def _reflect(self, x: torch.Tensor) -> torch.Tensor:
        normal = self._normal.like(x)
        return each_alone(lambda one: one - 2 * (one @ normal)[:, None] * normal, x, self.domain.ndim)


def cake_cutting(shape: tuple[int, ...]) -> torch.Tensor:
    """Natural rows of the Hadamard patterns from the coarsest to the finest.

    They are sorted by the number of pieces into which a pattern cuts the image, as a cake (Yu 2019): the
    product over the axes of the number of changes of sign plus one. Patterns with the same number of pieces
    are sorted by the sum of these factors, squares first, and then by the changes along the first axis.

    Parameters
    ----------
    shape : tuple of int
        Powers of two.

    Returns
    -------
    int64 tensor, shape (pixels,)
        The first pattern is all ones.
    """
    rows = sequency_rows(shape)
    changes = torch.cartesian_prod(*(torch.arange(1, n + 1) for n in shape)).reshape(len(rows), -1)
    order = changes.sum(-1).argsort(stable=True)
    return rows[order[changes[order].prod(-1).argsort(stable=True)]]

"""Maps from the principal eigenvector of each pixel."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from invgen.operators.mri.coils.data import coil_gram

__all__ = ["aligned", "strongest"]

#: Largest number of entries of pixels' matrices in memory.
_ENTRIES = 1 << 22


def strongest(
    matrices: Callable[[torch.Tensor], torch.Tensor], coils: int, shape: tuple[int, ...], like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Largest eigenvalue and its eigenvector of a Hermitian matrix at each pixel.

    Parameters
    ----------
    matrices : callable
        From indices of rows, along the first axis of the image, to ``(rows, *shape[1:], coils, coils)``. Only
        the lower triangle is read.

    Returns
    -------
    values : real tensor, shape `shape`
    vectors : complex tensor, shape (coils, *shape)
    """
    values, vectors = like.real.new_empty(shape), like.new_empty(coils, *shape)
    chunk_size = max(1, _ENTRIES // (coils**2 * math.prod(shape[1:])))
    for rows in torch.arange(shape[0], device=like.device).split(chunk_size):
        eigenvalues, eigenvectors = torch.linalg.eigh(matrices(rows))
        values[rows] = eigenvalues[..., -1]
        vectors[:, rows] = eigenvectors[..., -1].movedim(-1, 0)
    return values, vectors


def aligned(maps: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
    """Maps with the phase relative to the virtual coil of most energy.

    Covariances do not determine the phase. The first coil, a common reference, may have zeros, around which
    the phase of all maps would wind.
    """
    virtual = torch.linalg.eigh(coil_gram(data)).eigenvectors[:, -1].to(maps)
    # the phase of an eigenvector is arbitrary: its largest entry is made positive
    virtual = virtual * virtual[virtual.abs().argmax()].conj().sgn()
    seen = torch.tensordot(virtual.conj(), maps, dims=1)
    return maps * torch.where(seen == 0, 1, seen.conj().sgn())

"""Samples are drawn as many at a time as memory allows, and fewer where it runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from invgen.core.errors import MemoryLimitError
from invgen.core.memory import release_device_memory
from invgen.core.text import brief

__all__ = ["in_chunks"]

T = TypeVar("T")


def in_chunks(
    planned: list[range],
    run: Callable[[range], T],
    begun: Callable[[int], int | None],
    fewer: Callable[[int], int],
) -> Iterator[tuple[range, T]]:
    """Run chunks of seeds one after another; where memory runs out, that chunk again in smaller ones.

    Parameters
    ----------
    planned : list of range
        Successive seeds, all chunks of one size but the last.
    run : callable(seeds)
    begun : callable(seed)
        Size of the chunk that a checkpoint has of this first seed, which goes on as it began; else None.
    fewer : callable(count)
        Size of a chunk to try after one of `count` seeds; zero where there is no smaller one.

    Yields
    ------
    range, object
        The seeds, and what comes of their run.

    Raises
    ------
    MemoryLimitError
        Where there is no memory for the smallest chunk.
    """
    first, end, size = planned[0].start, planned[-1].stop, len(planned[0])
    while first < end:
        seeds, shortage = range(first, min(first + (begun(first) or size), end)), ""
        try:
            found = run(seeds)
        except torch.OutOfMemoryError as error:
            shortage, size = brief(error, 200), fewer(len(seeds))
        if not shortage:
            yield seeds, found
            first = seeds.stop
            continue
        # here, where the error and all that it refers to are gone
        release_device_memory()
        if not size:
            raise MemoryLimitError(
                f"The memory of the device does not suffice, with nothing left to split. {shortage} Take "
                "smaller images, fewer particles or restarts, a prior in half precision "
                "(prior.evaluated('bfloat16')), or the CPU."
            )

"""Images by counts: how often each value follows its neighbors that come before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor

from invgen.core.errors import ParameterError, ShapeError
from invgen.priors.autoregressive.contexts import REACH, Context, Near, checked, neighbors, number
from invgen.priors.autoregressive.counts import Counts, backed_off, quantizer
from invgen.priors.densities.points import uniforms
from invgen.priors.image_format import ImageFormat
from invgen.priors.learned import Contents, Learned
from invgen.priors.sketch import TrainingData

__all__ = ["ContextTable"]

W, N, NW, NE = (0, -1), (-1, 0), (-1, -1), (-1, 1)
WW, NN, NEE, NNE, NWW = (0, -2), (-2, 0), (-1, 2), (-2, 1), (-1, -2)

#: From no neighbor to nine: nearer ones are taken more finely.
_CONTEXTS: tuple[Context, ...] = (
    (),
    ((*W, 5), (*N, 5)),
    ((*W, 5), (*N, 5), (*NE, 3), (*NW, 3)),
    ((*W, 5), (*N, 5), (*NE, 5), (*NW, 5), (*WW, 3), (*NN, 3)),
    ((*W, 9), (*N, 9), (*NE, 5), (*NW, 5), (*WW, 5), (*NN, 5), (*NEE, 3)),
    ((*W, 12), (*N, 9), (*NE, 7), (*NW, 7), (*WW, 5), (*NN, 5), (*NEE, 5), (*NNE, 3), (*NWW, 3)),
)

#: Escapes that are tried, and about how many pixels they are tried on.
_ESCAPES, _TRIED = tuple(2.0 ** (i / 2) for i in range(-10, 11)), 500_000

#: Pixels whose contexts are taken at a time.
_BLOCK = 2**21


class ContextTable(Learned):
    """A probability of images from counts of each pixel's value, given its neighbors above and to the left.

    Neighbors are quantized to a few bins. Contexts go from none to nine neighbors; each mixes its counts with
    the probabilities of the one before, by how many values it has had (Witten and Bell 1991; Cleary and
    Witten 1984 for contexts of growing length). It takes minutes to learn and no network: the baseline that
    an autoregressive network has to beat. Channels count each by itself, by the same tables.

    Parameters
    ----------
    image_format : ImageFormat
        With its shape and levels.
    tables : sequence of Counts
        One for each of the contexts; the first has none.
    contexts : sequence of sequences of (int, int, int)
        Neighbors, as rows down and columns to the right, at most two, with their numbers of bins.
    escapes : sequence of positive numbers
        Weight of the context before each, for each value that was seen in it.

    Raises
    ------
    ShapeError, ParameterError
        Where these do not fit each other.
    """

    family = "context-table"

    def __init__(
        self,
        image_format: ImageFormat,
        tables: Sequence[Counts],
        contexts: Sequence[Context],
        escapes: Sequence[float],
    ) -> None:
        super().__init__(image_format)
        if image_format.levels is None or image_format.shape is None or image_format.axes not in (2, 3):
            raise ParameterError("A table of contexts needs the levels of its images, (H, W) or (C, H, W).")
        if not len(tables) == len(contexts) == len(escapes):
            raise ShapeError("Each context has a table and an escape.")
        if not all(0 < escape < float("inf") for escape in escapes):
            raise ParameterError(f"Escapes are positive; got {escapes}.")
        self._levels, self._shape = image_format.levels, image_format.shape
        self.contexts = checked(contexts, self._levels)
        self.escapes = tuple(float(escape) for escape in escapes)
        self._tables = tuple(tables)
        self._bins = _quantizers(self._tables[0], self.contexts)

    def __repr__(self) -> str:
        sizes = ", ".join(str(len(table.keys)) for table in self._tables)
        return f"ContextTable({self._shape}, levels={self._levels}, counts={sizes})"

    def log_prob(self, x: Tensor) -> Tensor:
        """Logarithm of the probability of images, shape of the batch; each pixel counts as the nearest level.

        Parameters
        ----------
        x : tensor, shape (*batch, *image)

        Raises
        ------
        ShapeError, DtypeError, DataError
        """
        self.image_format.check(x, "ContextTable.log_prob")
        batch = self.image_format.batch_shape(x)
        if not x.numel():
            return x.new_zeros(batch)
        levels = self.image_format.to_levels(x.detach()).cpu()
        total = []
        for block in _blocks(levels.flatten(0, 1)):
            p = self.probabilities(neighbors(block), block)
            total.append(p.log().sum((1, 2)))
        return torch.cat(total).reshape(levels.shape[:2]).sum(1).reshape(batch).to(x)

    def probabilities(self, near: Near, values: Tensor) -> Tensor:
        """Of values given the neighbors, from the shortest context to the longest, float64.

        Products, sums of two numbers and quotients alone, each of a pixel: the same numbers everywhere.
        """
        p = torch.full(values.shape, 1 / self._levels, dtype=torch.float64)
        for table, escape, context in zip(self._tables, self.escapes, self.contexts, strict=True):
            p = backed_off(table.look_up(number(context, self._bins, near), values), p, escape)
        return p

    def sample(self, n: int, seed: int) -> Tensor:
        """Draw n images, float32, shape (n, *image); image i follows from ``seed + i``."""
        u = uniforms(n, seed, *self._shape)
        numbers = u.reshape(-1, *self._shape[-2:])

        def drawn(p: Tensor, i: int, j: int) -> Tensor:
            total = p.cumsum(1)
            wanted = numbers[:, i, j, None] * total[:, -1:]
            return torch.searchsorted(total, wanted)[:, 0].clamp(max=self._levels - 1)

        return self.image_format.from_levels(self._in_order(len(numbers), drawn).reshape(u.shape), u.float())

    def most_probable(self, low: Tensor, high: Tensor) -> Tensor:
        """Images of which each number is the most probable level within its bounds, given those before it.

        Greedy: not the most probable of all images within the bounds, which takes a search over all of them.

        Parameters
        ----------
        low, high : real tensor, shape (*batch, *image)
            Least and largest value that each pixel may have.

        Returns
        -------
        tensor, shape (*batch, *image)

        Raises
        ------
        DtypeError, ShapeError, DataError
            Where these are no such images, or no level lies between them.
        """
        bounds = self.image_format.level_bounds(low, high, "ContextTable.most_probable")
        least, most = (bound.cpu().flatten(0, 1) for bound in bounds)
        levels = torch.arange(self._levels)

        def best(p: Tensor, i: int, j: int) -> Tensor:
            beyond = (levels < least[:, i, j, None]) | (levels > most[:, i, j, None])
            return p.masked_fill(beyond, -1).argmax(1)

        found = self._in_order(len(least), best).reshape(bounds[0].shape)
        return self.image_format.from_levels(found.to(low.device), low)

    def _in_order(self, count: int, choose: Callable[[Tensor, int, int], Tensor]) -> Tensor:
        """Channels (count, H, W), one pixel after the other, as chosen by the probabilities of all levels."""
        height, width = self._shape[-2:]
        # padded, so that each neighbor is there
        canvas = torch.zeros(count, height + REACH, width + 2 * REACH, dtype=torch.long)
        values = torch.arange(self._levels).expand(count, -1)
        for i in range(height):
            for j in range(width):
                near = partial(_at, canvas, i + REACH, j + REACH)
                canvas[:, i + REACH, j + REACH] = choose(self.probabilities(near, values), i, j)
        return canvas[:, REACH:, REACH:-REACH]

    def _parameters(self) -> dict[str, Any]:
        return {"contexts": self.contexts, "escapes": self.escapes}

    def _tensors(self) -> dict[str, Tensor]:
        keys = {f"keys.{i}": table.keys for i, table in enumerate(self._tables)}
        return keys | {f"counts.{i}": table.counts.int() for i, table in enumerate(self._tables)}

    @classmethod
    def _built(cls, contents: Contents) -> Self:
        contexts, levels, tables = contents.header["contexts"], contents.image_format.levels or 1, []
        for i in range(len(contexts)):
            keys, counts = contents.tensors[f"keys.{i}"], contents.tensors[f"counts.{i}"].long()
            tables.append(Counts.checked(keys, counts, levels))
        return cls(contents.image_format, tables, contexts, contents.header["escapes"])

    @classmethod
    def fit(
        cls,
        images: Any,
        *,
        levels: int = 256,
        value_range: tuple[float, float] = (0.0, 1.0),
        contexts: Sequence[Context] = _CONTEXTS,
    ) -> Self:
        """Count the values of images in their contexts.

        Bins of neighbors have equal counts, as far as single values allow. Each escape is the one of
        2^-5, 2^-4.5, ... 2^5 under which the images, each pixel left out in turn, are most probable; random
        images of 500,000 pixels stand for all.

        Parameters
        ----------
        images : tensor, or sequence of tensors, shape (n, H, W) or (n, C, H, W)
            Within the value range; each pixel counts as the nearest level.
        levels : int
        value_range : pair of float
        contexts : sequence of sequences of (int, int, int)
            See the class; they begin with an empty one.

        Raises
        ------
        ShapeError, DtypeError, DataError, ParameterError
        """
        x = images if isinstance(images, Tensor) else _stacked(images)
        if x.ndim not in (3, 4) or not x.numel():
            raise ShapeError(f"Images are (n, H, W) or (n, C, H, W); got {tuple(x.shape)}.")
        channels = x.shape[1] if x.ndim == 4 else None
        image_format = ImageFormat(tuple(x.shape[1:]), channels, "real", value_range, levels=levels)
        image_format.check(x, "ContextTable.fit")
        contexts = checked(contexts, levels)
        small = torch.uint8 if levels <= 256 else torch.int64
        values = torch.cat(
            [image_format.to_levels(block.detach()).cpu().to(small).flatten(0, 1) for block in x.split(1024)]
        )
        found, counts = values.unique(return_counts=True)
        tables = [Counts(found.long(), counts, levels)]
        bins = _quantizers(tables[0], contexts)
        tables += [_counted(values, context, bins, levels) for context in contexts[1:]]
        table = cls(image_format, tables, contexts, _escapes(values, tables, contexts, bins))
        return table.with_card(training_data=TrainingData.of(x, image_format).header())


def _at(canvas: Tensor, i: int, j: int, down: int, right: int) -> Tensor:
    """Values of one neighbor of a pixel of all images, shape (n, 1)."""
    return canvas[:, i + down, j + right, None]


def _stacked(images: Sequence[Any]) -> Tensor:
    tensors = [torch.as_tensor(image) for image in images]
    if len({tuple(each.shape) for each in tensors}) != 1:
        raise ShapeError("Images have one shape, and there is at least one of them.")
    return torch.stack(tensors)


def _quantizers(first: Counts, contexts: Sequence[Context]) -> dict[int, Tensor]:
    """Bins of all values, by the number of bins."""
    histogram = torch.zeros(first.levels, dtype=torch.long)
    histogram[first.keys] = first.counts
    return {m: quantizer(histogram, m) for context in contexts for _, _, m in context}


def _blocks(values: Tensor) -> Iterator[Tensor]:
    """Some images (n, H, W) at a time."""
    return (block.long() for block in values.split(max(1, _BLOCK // values[0].numel())))


def _counted(values: Tensor, context: Context, bins: dict[int, Tensor], levels: int) -> Counts:
    parts = []
    for block in _blocks(values):
        keys = number(context, bins, neighbors(block)) * levels + block
        parts.append(Counts.of(keys.flatten(), torch.ones(keys.numel(), dtype=torch.long), levels))
    keys, counts = (torch.cat([getattr(part, name) for part in parts]) for name in ("keys", "counts"))
    return Counts.of(keys, counts, levels)


def _escapes(
    values: Tensor, tables: Sequence[Counts], contexts: Sequence[Context], bins: dict[int, Tensor]
) -> list[float]:
    """The best escape of each context, one after the other, each pixel being left out of all counts."""
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(0))
    own = values[order[: max(1, _TRIED // values[0].numel())]].long()
    near = neighbors(own)
    p = torch.full(own.shape, 1 / tables[0].levels, dtype=torch.float64)
    best = []
    for table, context in zip(tables, contexts, strict=True):
        count, total, distinct = table.look_up(number(context, bins, near), own)
        others = (count - 1, total - 1, distinct - (count == 1).long())
        tried = [backed_off(others, p, escape) for escape in _ESCAPES]
        i = int(torch.stack([each.log().sum() for each in tried]).argmax())
        p = tried[i]
        best.append(_ESCAPES[i])
    return best

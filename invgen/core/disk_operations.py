"""What PyTorch does with tensors on disk, a few slices at a time; see `invgen.core.disk`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_unflatten

from invgen.core.disk_arrays import Stored, by_slabs, slab_of, slabs
from invgen.core.errors import CapabilityError

__all__ = ["perform"]

_aten = torch.ops.aten

#: Bytes of a slab of operations that do little with each entry: about what caches hold.
_SLAB = 1 << 25


def perform(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Perform one of PyTorch's operations, of which an argument is on disk.

    Raises
    ------
    CapabilityError
        For operations that need more than some slices at a time.
    """
    if func in _KNOWN:
        return _KNOWN[func](func, *args, **kwargs)
    if torch.Tag.pointwise in func.tags:
        return _pointwise(func, args, kwargs)
    raise CapabilityError(
        f"A volume that is kept on disk has no {func._schema.name.removeprefix('aten::')}: the method does "
        "not work slice by slice. Choose another, larger voxels (bin), or a higher bound of memory."
    )


def _pointwise(func: Any, args: Any, kwargs: Any) -> torch.Tensor:
    """An operation on each entry, in place where it is one such."""
    flat, tree = tree_flatten((args, kwargs))
    kept = [x for x in flat if isinstance(x, Stored)]
    depth, room = kept[0].shape[-3], kept[0].room
    shape = torch.broadcast_shapes(*(x.shape for x in flat if isinstance(x, torch.Tensor)))
    if shape[-3] != depth or any(x.shape[-3] != depth for x in kept):
        raise CapabilityError(
            f"Tensors on disk have the same number of slices; got {[x.shape for x in kept]}."
        )
    target = args[0] if func._schema.is_mutable else None
    size = sum(x.numel() // depth * x.dtype.itemsize for x in kept) + 4 * math.prod(shape) // depth
    for first, stop in slabs(depth, size, replace(room, slab=min(room.slab, _SLAB))):
        part = tree_unflatten([slab_of(x, first, stop, depth) for x in flat], tree)
        values = func(*part[0], **part[1])
        if target is None:
            target = kept[0].another(shape, values.dtype)
        target.write(values, first)
    assert target is not None, "a tensor has slices"
    return target


def _reduced(combine: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., torch.Tensor]:
    """An operation that reduces all of the last three axes, or none of them but axes before."""

    def reduce(func: Any, x: Stored, *args: Any, **kwargs: Any) -> torch.Tensor:
        depth = x.shape[-3]
        probe = torch.empty((*x.shape[:-3], 3, 1, 1), dtype=x.dtype)
        if func(probe, *args, **kwargs).shape[-3:] == (3, 1, 1):  # axes before
            return by_slabs(lambda part: func(part, *args, **kwargs), x)
        size = x.numel() // depth * x.dtype.itemsize
        found = [
            func(x.read(first, stop), *args, **kwargs)
            for first, stop in slabs(depth, size, replace(x.room, slab=min(x.room.slab, _SLAB)))
        ]
        return combine(torch.stack(found))

    return reduce


def _mean(func: Any, x: Stored, dim: list[int], keepdim: bool = False, **_: Any) -> torch.Tensor:
    return torch.sum(x, dim, keepdim) / math.prod(x.shape[axis] for axis in dim)


def _viewed(func: Any, x: Stored, shape: Any, *_: Any, **__: Any) -> Stored:
    """The same array with other axes before the last three."""
    sizes = list(shape)
    if -1 in sizes:
        sizes[sizes.index(-1)] = x.numel() // -math.prod(sizes)
    if tuple(sizes[-3:]) != x.shape[-3:] or math.prod(sizes) != x.numel():
        raise CapabilityError(
            f"A tensor on disk of shape {tuple(x.shape)} has no view of shape {tuple(shape)}."
        )
    return x.another(sizes, x.dtype, x.file)


def _same(func: Any, x: Stored, *_: Any, **__: Any) -> Stored:
    return x.another(x.shape, x.dtype, x.file)


def _unsqueezed(func: Any, x: Stored, dim: int) -> Stored:
    place = dim if dim >= 0 else dim + x.ndim + 1
    return _viewed(func, x, [*x.shape[:place], 1, *x.shape[place:]])


def _selected(func: Any, x: Stored, dim: int, index: int) -> torch.Tensor:
    """One slice or row in memory; of other axes only one of length one."""
    axis = dim if dim < 0 else dim - x.ndim
    index = index if index >= 0 else index + x.shape[dim]
    if axis == -3:
        return x.read(index, index + 1).squeeze(-3)
    if axis == -2:
        return x.read_rows(index, index + 1).squeeze(-2)
    return _viewed(func, x, [n for place, n in enumerate(x.shape) if place != axis + x.ndim])


def _sliced(
    func: Any, x: Stored, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> torch.Tensor:
    """A copy of part of an axis, one of the last three."""
    chosen = range(*slice(start, end, step).indices(x.shape[dim]))
    if chosen == range(x.shape[dim]):
        return _same(func, x)
    if (dim if dim < 0 else dim - x.ndim) == -3:
        return _indexed(func, x, dim, torch.tensor(list(chosen)))
    return by_slabs(lambda part: part[(..., *_window(x, dim, chosen))], x)


def _window(x: Stored, dim: int, chosen: range) -> tuple[slice, ...]:
    own = slice(chosen.start, chosen.stop, chosen.step)
    return (own, slice(None)) if (dim if dim < 0 else dim - x.ndim) == -2 else (own,)


def _indexed(func: Any, x: Stored, dim: int, index: torch.Tensor) -> Stored:
    """A copy of some slices."""
    _slices_only(x, dim)
    out = x.another((*x.shape[:-3], len(index), *x.shape[-2:]), x.dtype)
    for place, k in enumerate(index.tolist()):
        out.write(x.read(k, k + 1), place)
    return out


def _masked(func: Any, x: Stored, indices: list[Any]) -> Stored:
    """A copy of the slices of a mask or of numbers, ``x[chosen]``."""
    axes = [axis for axis, index in enumerate(indices) if index is not None]
    if len(axes) != 1 or indices[axes[0]].ndim != 1:
        raise CapabilityError("A tensor on disk is indexed along its slices only.")
    index = indices[axes[0]]
    return _indexed(func, x, axes[0], index.nonzero().squeeze(1) if index.dtype == torch.bool else index)


def _index_copied(func: Any, x: Stored, dim: int, index: torch.Tensor, source: torch.Tensor) -> Stored:
    _slices_only(x, dim)
    for place, k in enumerate(index.tolist()):
        x.write(slab_of(source, place, place + 1, len(index)), k)
    return x


def _slices_only(x: Stored, dim: int) -> None:
    if (dim if dim < 0 else dim - x.ndim) != -3:
        raise CapabilityError("A tensor on disk is indexed along its slices only.")


def _made(value: float | None) -> Callable[..., torch.Tensor]:
    """One of the same shape, or of a given one; of less than three axes in memory."""

    def make(func: Any, x: Stored, *args: Any, dtype: torch.dtype | None = None, **_: Any) -> torch.Tensor:
        named, *rest = args or (x.shape,)
        if value is None:  # full_like and new_full
            shape, fill = (named, rest[0]) if rest else (x.shape, named)
        else:
            shape, fill = named, value
        if len(shape) < 3:
            return torch.full(tuple(shape), fill, dtype=dtype or x.dtype)
        out = x.another(shape, dtype or x.dtype)
        return out.fill_(fill) if fill else out

    return make


def _filled(func: Any, x: Stored, value: Any) -> torch.Tensor:
    return _pointwise(func, (x, value), {})


def _copied(func: Any, x: Any, source: torch.Tensor, *_: Any) -> Any:
    if not isinstance(x, Stored):  # into memory
        return x.copy_(source.read(0, source.shape[-3]))  # type: ignore[attr-defined]
    return _pointwise(_aten.copy_.default, (x, source), {})


def _converted(func: Any, x: Stored, *, dtype: Any = None, device: Any = None, **_: Any) -> torch.Tensor:
    if device is not None and torch.device(device).type != "cpu":
        raise CapabilityError("A volume that is kept on disk is computed on the CPU.")
    return by_slabs(lambda part: part.to(dtype or x.dtype, copy=True), x)


_KNOWN: dict[Any, Callable[..., Any]] = {
    _aten.sum.default: _reduced(lambda parts: parts.sum(0)),
    _aten.sum.dim_IntList: _reduced(lambda parts: parts.sum(0)),
    _aten.linalg_vector_norm.default: _reduced(lambda parts: torch.linalg.vector_norm(parts, dim=0)),
    _aten.any.default: _reduced(lambda parts: parts.any(0)),
    _aten.all.default: _reduced(lambda parts: parts.all(0)),
    _aten.max.default: _reduced(lambda parts: parts.amax(0)),
    _aten.min.default: _reduced(lambda parts: parts.amin(0)),
    _aten.amax.default: _reduced(lambda parts: parts.amax(0)),
    _aten.mean.dim: _mean,
    _aten.view.default: _viewed,
    _aten._unsafe_view.default: _viewed,
    _aten.expand.default: _viewed,
    _aten.unsqueeze.default: _unsqueezed,
    _aten.detach.default: _same,
    _aten.alias.default: _same,
    _aten.select.int: _selected,
    _aten.slice.Tensor: _sliced,
    _aten.index_select.default: _indexed,
    _aten.index.Tensor: _masked,
    _aten.index_copy_.default: _index_copied,
    _aten.zeros_like.default: _made(0),
    _aten.empty_like.default: _made(0),
    _aten.ones_like.default: _made(1),
    _aten.full_like.default: _made(None),
    _aten.new_zeros.default: _made(0),
    _aten.new_empty.default: _made(0),
    _aten.new_ones.default: _made(1),
    _aten.new_full.default: _made(None),
    _aten.fill_.Scalar: _filled,
    _aten.copy_.default: _copied,
    _aten._to_copy.default: _converted,
}

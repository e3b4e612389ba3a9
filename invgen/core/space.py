"""Spaces: the shape and field of what an operator takes and returns, and their inner products."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, ClassVar

import torch

from invgen.core.batching import each_alone, per_element, unwrapped
from invgen.core.checks import is_count, nonfinite
from invgen.core.disk import OnDisk, zeros
from invgen.core.disk_fourier import filter_on_disk
from invgen.core.errors import CapabilityError, DataError, DtypeError, ParameterError, ShapeError

__all__ = [
    "IMAGE_AXES",
    "Data",
    "ProductSpace",
    "Space",
    "as_shape",
    "as_space",
    "broadcasts",
    "check_finite",
    "map_parts",
]

#: A tensor, or a tuple of tensors for an element of a `ProductSpace`.
Data = Any

_DTYPES = {
    "real": (torch.float32, torch.float64),
    "complex": (torch.complex64, torch.complex128),
}

#: What to do about values that are not finite.
_REPAIR = "Mask or repair them first."

#: What the last axes of images count.
IMAGE_AXES = ("row", "column")


@dataclass(frozen=True)
class Space:
    """Arrays of one shape over the real or complex numbers.

    Parameters
    ----------
    shape : tuple of int
        Shape of one element, without batch axes.
    field : {"real", "complex"}
        Precision is not part of a space: it is the input's.
    names : tuple of str
        What the last axes count, for messages: ``("view", "column")``. Spaces are equal whatever their names.
    """

    incidental: ClassVar[tuple[str, ...]] = ("names",)

    shape: tuple[int, ...]
    field: str = "real"
    names: tuple[str, ...] = dataclass_field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", as_shape(self.shape, "A space"))
        if self.field not in _DTYPES:
            raise ParameterError(f"field is 'real' or 'complex'; got {self.field!r}.")

    @property
    def size(self) -> int:
        """Number of entries of one element."""
        return math.prod(self.shape)

    @property
    def ndim(self) -> int:
        """Number of axes of one element."""
        return len(self.shape)

    @property
    def axes(self) -> tuple[int, ...]:
        """The element's own axes, counted from the end (the leading ones are batch)."""
        return tuple(range(-self.ndim, 0))

    def check(self, x: Data, who: str, remedy: str = _REPAIR) -> None:
        """Raise unless `x` is a finite tensor of this space, with any leading batch axes.

        `remedy` is what to do about values that are not finite.
        """
        if not isinstance(x, torch.Tensor):
            raise DtypeError(
                f"{who} expects a torch.Tensor; got {type(x).__name__}. Convert it with torch.as_tensor."
            )
        # first the type: real and imaginary parts along an axis of their own have another shape, too
        if x.dtype not in _DTYPES[self.field]:
            names = " or ".join(str(d).removeprefix("torch.") for d in _DTYPES[self.field])
            raise DtypeError(
                f"{who} expects {names}; got {str(x.dtype).removeprefix('torch.')}. {_convert(x, self.field)}"
            )
        if x.shape[x.ndim - self.ndim :] != self.shape or x.ndim < self.ndim:
            sizes = ", ".join(["...", *map(str, self.shape)])
            raise ShapeError(f"{who} expects the shape ({sizes}); got {tuple(x.shape)}.")
        check_finite(x, who, self.names, remedy=remedy)

    def batch_shape(self, x: Data) -> torch.Size:
        """Leading axes of `x` that are not the element's own."""
        return x.shape[: x.ndim - self.ndim]

    def flatten(self, x: Data) -> tuple[torch.Tensor, torch.Size]:
        """`x` with exactly one batch axis, and the batch shape that `reshape` restores."""
        batch = self.batch_shape(x)
        return x.reshape(-1, *self.shape), batch

    def inner(self, x: Data, y: Data) -> torch.Tensor:
        """Inner product ``sum conj(x) y`` of each pair of elements, shape of the batch."""
        return (x.conj() * y).sum(dim=self.axes) if self.shape else x.conj() * y

    def norm(self, x: Data) -> torch.Tensor:
        """Euclidean norm of each element, shape of the batch."""
        if not self.shape:
            return x.abs()
        if x.is_complex():  # of complex numbers PyTorch takes a hundred times as long
            return torch.linalg.vector_norm(torch.view_as_real(x.resolve_conj()).flatten(-2), dim=self.axes)
        return torch.linalg.vector_norm(x, dim=self.axes)

    def per_sample(self, value: Any) -> Any:
        """A number per batch element, shaped to multiply elements of this space."""
        return per_element(value, self.ndim)

    def half(self, symbol: torch.Tensor) -> torch.Tensor:
        """The frequencies of a symbol that the transform of this space's elements keeps."""
        return symbol if self.field == "complex" else symbol[..., : symbol.shape[-1] // 2 + 1]

    def filter(self, symbol: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Multiply `x` in the Fourier basis of its axes by a symbol, of which `half` has been taken.

        The symbol is the same for all elements, or has their batch axes.
        """
        if math.prod(symbol.shape[-self.ndim :]) == 1:  # the same at every frequency
            return symbol * x
        if isinstance(x, OnDisk):
            return filter_on_disk(symbol, x)
        return each_alone(self._filter, x, self.ndim, symbol) if x.numel() else x.clone()

    def _filter(self, x: torch.Tensor, symbol: torch.Tensor) -> torch.Tensor:
        if self.field == "complex":
            return torch.fft.ifftn(symbol * torch.fft.fftn(x, dim=self.axes), dim=self.axes)
        return torch.fft.irfftn(symbol * torch.fft.rfftn(x, dim=self.axes), s=self.shape, dim=self.axes)

    def zeros(self, batch: Sequence[int], like: torch.Tensor) -> Data:
        """Zeros on the device of `like` and in its precision."""
        real = like.dtype.to_real()
        return zeros((*batch, *self.shape), real if self.field == "real" else real.to_complex(), like)

    def random(
        self, batch: tuple[int, ...] = (), *, seed: int, dtype: torch.dtype, device: Any = None
    ) -> Data:
        """Elements of standard Gaussian noise; `dtype` is real and sets the precision."""
        generator = torch.Generator().manual_seed(seed)
        kind = dtype if self.field == "real" else dtype.to_complex()
        return torch.randn(*batch, *self.shape, generator=generator, dtype=kind).to(device)

    def random_like(self, like: torch.Tensor, *, seed: int) -> Data:
        """Standard Gaussian noise where `like` is and in its precision; of volumes slice by slice."""
        real = like.dtype.to_real()
        if self.ndim != 3:
            return self.random(seed=seed, dtype=real, device=like.device)
        x, generator = self.zeros((), like), torch.Generator().manual_seed(seed)
        for k in range(self.shape[0]):
            x[k] = torch.randn(self.shape[1:], generator=generator, dtype=x.dtype)
        return x


class ProductSpace(Space):
    """Tuples of elements of several spaces that share their batch axes.

    Parameters
    ----------
    spaces : sequence of Space
    """

    def __init__(self, spaces: Sequence[Space]) -> None:
        object.__setattr__(self, "spaces", tuple(spaces))

    spaces: tuple[Space, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Tuples have no shape: methods that need a single array raise here."""
        raise CapabilityError(f"This needs a single array; {self} holds tuples.")

    @property
    def field(self) -> str:
        """Complex where all parts are."""
        return "complex" if all(space.field == "complex" for space in self.spaces) else "real"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProductSpace) and self.spaces == other.spaces

    def __hash__(self) -> int:
        return hash(self.spaces)

    def __repr__(self) -> str:
        return f"ProductSpace({', '.join(map(repr, self.spaces))})"

    @property
    def size(self) -> int:
        """Number of entries of all parts."""
        return sum(space.size for space in self.spaces)

    def check(self, x: Data, who: str, remedy: str = _REPAIR) -> None:
        """Raise unless `x` is a tuple with one element of each space and one batch shape."""
        if not isinstance(x, tuple | list) or len(x) != len(self.spaces):
            raise ShapeError(
                f"{who} expects a tuple of {len(self.spaces)} tensors, one for each stacked operator."
            )
        for i, (space, part) in enumerate(zip(self.spaces, x, strict=True)):
            space.check(part, f"{who}, part {i},", remedy)
        if len({self.spaces[i].batch_shape(part) for i, part in enumerate(x)}) > 1:
            raise ShapeError(f"{who} expects the same batch axes in each part.")

    def batch_shape(self, x: Data) -> torch.Size:
        """Leading axes that all parts share."""
        return self.spaces[0].batch_shape(x[0])

    def inner(self, x: Data, y: Data) -> torch.Tensor:
        """Sum of the parts' inner products."""
        return sum(s.inner(a, b) for s, a, b in zip(self.spaces, x, y, strict=True))  # type: ignore[return-value]

    def norm(self, x: Data) -> torch.Tensor:
        """Euclidean norm of the whole tuple."""
        return torch.stack([s.norm(a) for s, a in zip(self.spaces, x, strict=True)]).square().sum(0).sqrt()

    def zeros(self, batch: Sequence[int], like: torch.Tensor) -> Data:
        """Tuples of zeros on the device of `like` and in its precision."""
        return tuple(space.zeros(batch, like) for space in self.spaces)

    def random(
        self, batch: tuple[int, ...] = (), *, seed: int, dtype: torch.dtype, device: Any = None
    ) -> Data:
        """Tuples of standard Gaussian noise."""
        return tuple(
            s.random(batch, seed=seed + i, dtype=dtype, device=device) for i, s in enumerate(self.spaces)
        )


def as_shape(shape: Sequence[Any], who: str) -> tuple[int, ...]:
    """A shape of positive whole numbers, of Python or NumPy, as a tuple of ints of Python."""
    if not all(map(is_count, shape)):
        raise ShapeError(
            f"{who} needs positive sizes, which are whole numbers; got the shape {tuple(shape)}."
        )
    return tuple(int(n) for n in shape)


def as_space(space: Space | tuple[int, ...]) -> Space:
    """A space, from itself or from the shape of real arrays: of images, where it has two axes and more."""
    if isinstance(space, Space):
        return space
    return Space(tuple(space), names=IMAGE_AXES if len(space) > 1 else ())


def _convert(x: torch.Tensor, field: str) -> str:
    """What to do about a tensor of another type."""
    if field == "real":
        return "Take its real part or its magnitude." if x.is_complex() else "Convert it, as by x.float()."
    if x.dtype not in _DTYPES["real"]:
        return "Convert it, as by x.to(torch.complex64)."
    return "Give torch.complex(real, imaginary), or torch.view_as_complex(x) of pairs along the last axis."


def check_finite(
    x: torch.Tensor, who: str, names: Sequence[str] = (), *, remedy: str = _REPAIR, waits: bool = False
) -> None:
    """Raise where `x` holds NaN or Inf, and say where.

    Parameters
    ----------
    x : tensor
    who : str
        Who asks.
    names : sequence of str
        What the last axes count; see `invgen.core.checks.nonfinite`.
    remedy : str
        What to do about it.
    waits : bool
        Whether the host may wait for a GPU to know; else nothing is looked for there.
    """
    x = unwrapped(x)
    # a sum that is finite has finite terms, and costs a tenth of looking at each
    if (x.is_cuda and not waits) or bool(torch.isfinite(x.sum())):
        return
    if found := _nonfinite_on_disk(x) if isinstance(x, OnDisk) else nonfinite(x, names):
        raise DataError(f"{who} got {found}. {remedy}")


def _nonfinite_on_disk(x: OnDisk) -> str | None:
    """What `nonfinite` says of a tensor, without the names of its axes: slice by slice."""
    if not (count := int((~x.isfinite()).sum())):
        return None
    k = next(k for k in range(x.shape[-3]) if not bool(x.read(k, k + 1).isfinite().all()))
    *before, _, row, column = (~x.read(k, k + 1).isfinite()).nonzero()[0].tolist()
    return f"{count} NaN or infinite values of {x.numel()}, the first at index {(*before, k, row, column)}"


def broadcasts(own: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether an array of the shape `own` broadcasts to `shape`, and to no larger one."""
    return len(own) <= len(shape) and all(
        n in (1, m) for n, m in zip(reversed(own), reversed(shape), strict=False)
    )


def map_parts(function: Callable[..., torch.Tensor], *data: Data) -> Data:
    """Apply a function to tensors, or to each part of tuples of them."""
    if isinstance(data[0], torch.Tensor):
        return function(*data)
    return tuple(function(*parts) for parts in zip(*data, strict=True))

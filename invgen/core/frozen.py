"""Objects that do not change after construction, and constants that follow the input's device."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

import torch

from invgen.core.disk import OnDisk, slabs

__all__ = ["Constant", "Frozen", "Separable"]


class _FreezeAfterInit(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        instance = super().__call__(*args, **kwargs)
        instance.__dict__["_frozen"] = True
        return instance


class Frozen(metaclass=_FreezeAfterInit):
    """Base of classes whose attributes are fixed once ``__init__`` has run.

    ``functools.cached_property`` still works: it keeps derived values and changes none.
    """

    #: Attributes that say how an object computes, and not what: they are no part of its fingerprint.
    incidental: ClassVar[tuple[str, ...]] = ("_frozen",)

    def __setattr__(self, name: str, value: Any) -> None:
        if "_frozen" in self.__dict__:
            raise AttributeError(f"{type(self).__name__} is immutable; build a new one to change {name!r}.")
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable; {name!r} cannot be deleted.")


class Constant:
    """A tensor that is moved to each device and precision once, then kept.

    Parameters
    ----------
    value : tensor or array
        Copied, in its own precision: later changes of the caller's array have no effect.
    """

    def __init__(self, value: Any) -> None:
        self.value = torch.as_tensor(value).detach().clone()
        self._copies: dict[tuple[torch.device, torch.dtype], torch.Tensor] = {}

    def like(self, x: torch.Tensor) -> torch.Tensor:
        """The constant on the device of `x` and in its precision; integers and bools keep their dtype."""
        dtype = self.value.dtype
        if dtype.is_complex:
            dtype = x.dtype if x.dtype.is_complex else x.dtype.to_complex()
        elif dtype.is_floating_point:
            dtype = x.dtype.to_real()
        key = (x.device, dtype)
        if key not in self._copies:
            self._copies[key] = self.value.to(device=x.device, dtype=dtype)
        return self._copies[key]

    def __getstate__(self) -> torch.Tensor:
        return self.value

    def __setstate__(self, value: torch.Tensor) -> None:
        self.value, self._copies = value, {}


class Separable(Constant):
    """A constant that is made of what varies along its first axis and of what varies within a slice.

    Beside tensors on disk it is made there, a few slices at a time.

    Parameters
    ----------
    combine : callable
        Of two tensors that are broadcast, as ``operator.mul``.
    along : tensor, shape (n,)
    within : tensor, of the other axes
    """

    def __init__(
        self, combine: Callable[[Any, Any], torch.Tensor], along: torch.Tensor, within: torch.Tensor
    ) -> None:
        self._combine, self._along, self._within = combine, along, within
        self._copies = {}

    @cached_property
    def value(self) -> torch.Tensor:  # type: ignore[override]
        """All of it."""
        return self._slices(0, len(self._along))

    def _slices(self, first: int, stop: int) -> torch.Tensor:
        return self._combine(self._along[first:stop].reshape(-1, *(1,) * self._within.ndim), self._within)

    def like(self, x: torch.Tensor) -> torch.Tensor:
        """The constant on the device of `x`, or on disk as `x` is, and in its precision."""
        if not isinstance(x, OnDisk):
            return super().like(x)
        kept = OnDisk(x.room, (len(self._along), *self._within.shape), x.dtype.to_real())
        for first, stop in slabs(len(self._along), self._within.numel() * 16, x.room):
            kept.write(self._slices(first, stop), first)
        return kept

    def __getstate__(self) -> Any:
        return self._combine, self._along, self._within

    def __setstate__(self, state: Any) -> None:
        self._combine, self._along, self._within = state
        self._copies = {}

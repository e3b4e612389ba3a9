"""Objects that do not change after construction, and constants that follow the input's device."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

__all__ = ["Constant", "Frozen"]


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

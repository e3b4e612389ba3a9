"""Fingerprints: whether two objects are made of the same content, also in another process."""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Mapping, Set
from pathlib import PurePath
from typing import Any

import numpy as np
import torch

__all__ = ["fingerprint"]

#: What its representation says all of.
_PLAIN = (
    *(bool, int, float, complex, str, bytes, PurePath, slice, range, type(None), type(Ellipsis)),
    *(torch.dtype, torch.Size, torch.device, np.dtype, np.generic),
)

#: Attributes of every network, which hold its parts, hooks and mode.
_OF_MODULES = frozenset(vars(torch.nn.Module()))


def fingerprint(*objects: Any) -> str:
    """Hash of the content of objects: equal for equal content, whatever its identity or device.

    Tensors and arrays count by dtype, shape and bytes; networks by class, settings and weights; functions by
    their code and what they close over; other objects by class and attributes. What is derived, the values
    of cached properties, does not count, nor what a class calls `incidental`.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return _Fingerprints().of(objects).hex()


class _Fingerprints:
    """The fingerprints of an object and its parts, each found once."""

    def __init__(self) -> None:
        # by identity; objects are kept, so that no identity is used again
        self._known: dict[int, tuple[bytes, Any]] = {}

    def of(self, value: Any) -> bytes:
        """Hash of the kind of an object and of the hashes of its parts."""
        if isinstance(value, _PLAIN):
            return _hash(type(value).__name__, repr(value))
        if id(value) not in self._known:
            self._known[id(value)] = _hash("a part of itself"), value
            self._known[id(value)] = self._of_parts(value), value
        return self._known[id(value)][0]

    def _of_parts(self, value: Any) -> bytes:
        if isinstance(value, torch.Tensor):
            x = value.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
            return _hash("tensor", str(value.dtype), str(value.shape), x.view(torch.uint8).numpy().tobytes())
        if isinstance(value, np.ndarray):
            content = self.of(value.tolist()) if value.dtype.hasobject else value.tobytes()
            return _hash("array", str(value.dtype), str(value.shape), content)
        if isinstance(value, Mapping):
            items = sorted(self.of(key) + self.of(part) for key, part in value.items())
            return _hash(type(value).__name__, *items)
        if isinstance(value, Set):
            return _hash(type(value).__name__, *sorted(map(self.of, value)))
        if isinstance(value, list | tuple):
            return _hash(type(value).__name__, *map(self.of, value))
        if isinstance(value, type | types.BuiltinFunctionType | np.ufunc):
            return _hash("name", getattr(value, "__module__", None) or "", value.__name__)
        if isinstance(value, types.CodeType):
            return _hash("code", value.co_code, self.of(value.co_names), self.of(value.co_consts))
        if isinstance(value, types.ModuleType):
            return _hash("module", value.__name__)
        kind = type(value)
        return _hash("object", kind.__module__, kind.__qualname__, self.of(_content(value)))


def _hash(*parts: str | bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=32)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.digest()


def _content(value: Any) -> Any:
    """What an object is made of, without what is derived from it."""
    if isinstance(value, torch.nn.Module):
        settings = {name: part for name, part in vars(value).items() if name not in _OF_MODULES}
        return (
            settings,
            dict(value.named_parameters()),
            dict(value.named_buffers()),
            dict(value.named_children()),
        )
    if isinstance(value, types.FunctionType):
        closed = [cell.cell_contents for cell in value.__closure__ or ()]
        return value.__code__, value.__defaults__, value.__kwdefaults__, closed
    if isinstance(value, types.MethodType):
        return value.__self__, value.__func__
    if isinstance(value, functools.partial):
        return value.func, value.args, value.keywords
    own = type(value).__getstate__ is not object.__getstate__
    parts = value.__getstate__() if own else getattr(value, "__dict__", None)
    if isinstance(parts, dict):
        left_out = getattr(type(value), "incidental", ())
        return {n: part for n, part in parts.items() if n not in left_out and not _is_derived(value, n)}
    if own:
        return parts
    try:
        return value.__reduce_ex__(2)[1:3]
    except TypeError:  # what cannot be pickled counts by its class
        return None


def _is_derived(value: Any, name: str) -> bool:
    return isinstance(getattr(type(value), name, None), functools.cached_property)

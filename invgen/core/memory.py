"""Memory is asked for below a bound only: the caller's, or a share of what is free; also that of a GPU."""

from __future__ import annotations

import ctypes
import gc
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from invgen.core.errors import MemoryLimitError, ParameterError

if TYPE_CHECKING:
    import torch

__all__ = [
    "allowed_memory",
    "free_device_memory",
    "free_memory",
    "memory_bound",
    "memory_left",
    "memory_limit",
    "parse_memory",
    "peak_of",
    "release_device_memory",
    "release_freed_memory",
    "require_memory",
    "room_for",
    "size_in_words",
]

#: Of what is free, where no bound is given.
_SHARE = 0.6

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_CGROUP = Path("/sys/fs/cgroup")

#: The bound in this context, in bytes; it is no setting of the process.
_bound: ContextVar[int | None] = ContextVar("invgen_memory_bound", default=None)


@contextmanager
def memory_limit(limit: str | float | None) -> Iterator[None]:
    """Bound the memory that reading and preparation within the block may ask for.

    Files can claim to hold more than any machine does; what they claim is compared with the bound before it
    is asked for. `invgen.reconstruct` keeps cone beams that are larger on disk, for methods that work slab by
    slab: see `invgen.core.disk`.

    >>> with ig.memory_limit("8G"):
    ...     scan = ig.io.open_scan("scan.h5")

    Parameters
    ----------
    limit : str, number or None
        As "8G" or "500M", as a share of what is free, "60%", or a number of bytes. None is 60 % of what is
        free when it is needed, as without this block.

    Raises
    ------
    ParameterError
        For anything else.
    """
    token = _bound.set(None if limit is None else parse_memory(limit))
    try:
        yield
    finally:
        _bound.reset(token)


def memory_bound() -> int | None:
    """Bytes of the bound that is given in this context, if one is."""
    return _bound.get()


def memory_left() -> int:
    """Bytes that may still be asked for: the bound less what this process has, or 60 % of what is free."""
    import psutil

    if (bound := _bound.get()) is None:
        return int(_SHARE * free_memory())
    return max(0, bound - psutil.Process().memory_info().rss)


def parse_memory(limit: str | float) -> int:
    """Bytes of a bound such as "8G", "500M" or "60%".

    Raises
    ------
    ParameterError
    """
    text = str(limit).strip().upper().removesuffix("B").removesuffix("I")
    number, unit = (text[:-1], text[-1:]) if text[-1:] in (*"KMGT", "%") else (text, "")
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e18 or (unit == "%" and value > 100):
        raise ParameterError(f"The bound of memory is such as 8G, 500M or 60%; got {limit!r}.")
    return int(value / 100 * free_memory()) if unit == "%" else int(value * _UNITS[unit])


def free_memory() -> int:
    """Bytes that this process can still get: of the machine, its control group and its own limit."""
    import psutil

    free = [psutil.virtual_memory().available]
    free += [limit - used for limit, used in _of_groups()]
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        free.append(limit - psutil.Process().memory_info().vms)
    return max(min(free), 0)


def free_device_memory(device: torch.device) -> int:
    """Bytes of a CUDA device that PyTorch can still get: free ones, and those its allocator holds unused."""
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def peak_of(call: Callable[[], object], device: torch.device) -> int:
    """Bytes of a CUDA device that a call takes at its peak, beyond those that are taken before."""
    import torch

    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call()
    return torch.cuda.max_memory_allocated(device) - before


def room_for(needed: int, device: torch.device) -> int:
    """How many of what takes so many bytes a CUDA device has memory for at once, in 60 % of what is free."""
    return int(_SHARE * free_device_memory(device)) // max(1, needed)


def release_device_memory() -> None:
    """Give back what PyTorch's allocator holds of tensors that are gone, after memory has run out."""
    import torch

    gc.collect()  # tracebacks may be part of cycles
    torch.cuda.empty_cache()


def release_freed_memory() -> None:
    """Give back to the system what was freed, where the C library would keep it for what comes next.

    glibc keeps some of each thread that has ever been: a process that reconstructs scan after scan, each by
    new threads, would come to hold more and more.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _of_groups() -> Iterator[tuple[int, int]]:
    """Limit and use of the control groups that this process is in, of Linux's versions 1 and 2."""
    files = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes"), 2: ("memory.max", "memory.current")}
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, name = line.split(":", 2)
        version = 1 if kinds else 2
        if version == 1 and "memory" not in kinds.split(","):
            continue
        root = _CGROUP / "memory" if version == 1 else _CGROUP
        group = root / name.lstrip("/")
        for folder in (group, *group.parents):
            if folder in (_CGROUP.parent, root.parent):
                break
            try:
                limit, used = (int((folder / file).read_text()) for file in files[version])
                cached = dict(row.split() for row in (folder / "memory.stat").read_text().splitlines())
            except (OSError, ValueError):  # no limit is "max", and a container sees the root alone
                continue
            names = ("total_inactive_file", "inactive_file")
            yield limit, used - next((int(cached[each]) for each in names if each in cached), 0)


def allowed_memory() -> int:
    """Bytes that may be asked for: the bound that is given, else 60 % of what is free."""
    bound = _bound.get()
    return int(_SHARE * free_memory()) if bound is None else bound


def require_memory(needed: float, what: str, remedy: str = "") -> None:
    """Refuse to ask for more memory than the bound.

    Parameters
    ----------
    needed : number
        Bytes.
    what : str
        What takes them, as the message begins.
    remedy : str
        What else than a higher bound would help, such as "choose fewer slices".

    Raises
    ------
    MemoryLimitError
    """
    bound, allowed = _bound.get(), allowed_memory()
    if needed > allowed:
        source = f"{_SHARE:.0%} of what is free" if bound is None else "the bound that is given"
        raise MemoryLimitError(
            f"{what} needs {size_in_words(needed)} of memory, more than {size_in_words(allowed)}, {source}: "
            f"{f'{remedy}, or ' if remedy else ''}give a higher bound (--max-memory, in Python "
            "invgen.memory_limit) if there is more."
        )


def size_in_words(bytes: float) -> str:
    """A size, such as "7.5 GiB"."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if bytes < 1024 or unit == "TiB":
            return f"{bytes:.3g} {unit}" if bytes < 999.5 else f"{bytes:.0f} {unit}"
        bytes /= 1024
    raise AssertionError

"""A first look at a file by a process that can be ended: libhdf5 can hang, or crash, on damage."""

from __future__ import annotations

import os
import resource
import signal
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py

from invgen.core.errors import FileError

__all__ = ["probe"]

#: Of the processor, for what takes milliseconds in files that are not damaged.
_SECONDS = 20
_HDF5 = b"\x89HDF\r\n\x1a\n"


def probe(path: Path) -> None:
    """Read all metadata of an HDF5 file in a child of this process, and refuse the file where that hangs.

    It is for programs of one thread, as the command line is before it computes: a child has but one. It
    takes 20 ms, and as long as reading the metadata does. What is wrong otherwise is said when it is read.

    Raises
    ------
    FileError
        When the child did not end by itself.
    """
    if not _is_hdf5(path):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads, which newer versions of Python suspect
        child = os.fork()
    if child == 0:
        try:
            _limit()
            _read_metadata(path)
        finally:
            os._exit(0)  # whatever it raised: nothing of this process is cleaned up twice
    try:
        _, status = os.waitpid(child, 0)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    if os.WIFSIGNALED(status):
        ends = "takes for ever" if os.WTERMSIG(status) == signal.SIGXCPU else "ends the process"
        raise FileError(f"{path} cannot be read, the file is damaged: reading its metadata {ends}.")


def _limit() -> None:
    with open(os.devnull, "r+b") as nowhere:
        for descriptor in (1, 2):
            os.dup2(nowhere.fileno(), descriptor)
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + _SECONDS, most))


def _read_metadata(path: Path) -> None:
    """Open all that hard links lead to, and read its attributes: one that is damaged does not end it."""
    with h5py.File(path, "r") as file:
        seen, queue = set(), [file]
        while queue:
            item = queue.pop()
            with suppress(Exception):
                found = h5py.h5o.get_info(item.id)
                if (found.fileno, found.addr) in seen:
                    continue
                seen.add((found.fileno, found.addr))
            for name in _names(item.attrs):
                with suppress(Exception):
                    _ = item.attrs[name]
            if not isinstance(item, h5py.Group):
                with suppress(Exception):
                    _ = item.shape, item.dtype, item.chunks
                continue
            for name in _names(item):
                with suppress(Exception):
                    if isinstance(item.get(name, getlink=True), h5py.HardLink):
                        queue.append(item[name])


def _names(holder: Any) -> list[str]:
    names: list[str] = []
    with suppress(Exception):
        names.extend(iter(holder))
    return names


def _is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 does, maybe after a block of the user's; a pipe would be waited for."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            for start in (0, *(2**n for n in range(9, 14))):
                file.seek(start)
                if file.read(8) == _HDF5:
                    return True
    except OSError:
        pass
    return False

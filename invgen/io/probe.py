"""A first look at a file by a process that can be ended: libhdf5 can hang, or crash, on damage."""

from __future__ import annotations

import os
import resource
import signal
import warnings
from collections.abc import Callable
from pathlib import Path

from invgen.core.errors import FileError

__all__ = ["probe"]

#: Of the processor, for what takes milliseconds in files that are not damaged.
_SECONDS = 60
_HDF5 = b"\x89HDF\r\n\x1a\n"


def probe(path: Path, read: Callable[[], object]) -> None:
    """Read the metadata of an HDF5 file in a child of this process, and then no more of it where that hangs.

    It is for programs of one thread, as the command line is before it computes: a child has but one. It
    takes about as long as `read` itself and 20 ms. Errors of `read` are nothing: it raises them again here.

    Parameters
    ----------
    path : Path
    read : callable()

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
        _read_and_end(read)
    try:
        _, status = os.waitpid(child, 0)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    if os.WIFSIGNALED(status):
        ended = "takes for ever" if os.WTERMSIG(status) == signal.SIGXCPU else "ends the process"
        raise FileError(f"{path} cannot be read, the file is damaged: reading its metadata {ended}.")


def _read_and_end(read: Callable[[], object]) -> None:
    try:
        with open(os.devnull, "r+b") as nowhere:
            for descriptor in (1, 2):
                os.dup2(nowhere.fileno(), descriptor)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = int(used.ru_utime + used.ru_stime) + _SECONDS
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, most))
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)
        warnings.simplefilter("ignore")
        read()
    finally:
        os._exit(0)  # whatever it raised: nothing of this process is cleaned up twice


def _is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 does, maybe after a block of the user's."""
    try:
        with path.open("rb") as file:
            for start in (0, *(2**n for n in range(9, 14))):
                file.seek(start)
                if file.read(8) == _HDF5:
                    return True
    except OSError:
        pass
    return False

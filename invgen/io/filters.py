"""Filters by which HDF5 files are compressed, and those that hdf5plugin adds."""

from __future__ import annotations

from collections.abc import Mapping

import h5py

from invgen.core.errors import FileError
from invgen.core.text import quoted

__all__ = ["require_filters"]

#: Numbers registered with The HDF Group of the filters that hdf5plugin has.
_PLUGIN = {
    307: "bzip2",
    32001: "blosc",
    32004: "LZ4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32017: "SZ",
    32018: "FCIDECOMP",
    32024: "SZ3",
    32026: "blosc2",
    32028: "SPERR",
}


def require_filters(filters: Mapping[int, str], what: str) -> None:
    """Make sure that a dataset can be unpacked; hdf5plugin is imported where h5py alone cannot.

    Parameters
    ----------
    filters : mapping of int to str
        Number of each filter, and the name that the file gives it.
    what : str
        The dataset, for messages.

    Raises
    ------
    FileError
        Which names the filter that is missing, and how to install it.
    """
    missing = [code for code in filters if not h5py.h5z.filter_avail(code)]
    if not missing:
        return
    try:
        import hdf5plugin  # noqa: F401  (it registers its filters)

        has_plugin = True
        missing = [code for code in missing if not h5py.h5z.filter_avail(code)]
    except ImportError:
        has_plugin = False
    if not missing:
        return
    code = missing[0]
    if code in _PLUGIN and not has_plugin:
        raise FileError(
            f"{what} is compressed by the filter {_PLUGIN[code]} ({code}), which is not installed: "
            "pip install 'invgen[hdf5plugin]'."
        )
    stated = f", {quoted(filters[code])} in the file," if filters[code] else ""
    raise FileError(
        f"{what} is compressed by the filter number {code}{stated} which neither h5py nor hdf5plugin has. "
        "Install its plugin and name the folder in HDF5_PLUGIN_PATH, or unpack the file by h5repack -f NONE."
    )

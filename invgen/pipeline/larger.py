"""Volumes larger than memory: which are kept on disk, and what their methods hold."""

from __future__ import annotations

import shutil

from invgen.core.disk import Room, room_on_disk
from invgen.core.errors import FileError
from invgen.core.memory import allowed_memory, size_in_words
from invgen.pipeline.work import Notice
from invgen.solvers import FDK, FISTA, OSSART, SIRT
from invgen.solvers.methods import Method

__all__ = ["room_for"]

#: Methods that work slab by slab, and the number of arrays of the volume's size, and of the data's, that they
#: hold at their peak in memory, as measured; one in double precision counts twice.
_ARRAYS = {FDK: (4, 8), SIRT: (9, 15), OSSART: (16, 16), FISTA: (45, 16)}


def room_for(method: Method, voxels: int, rays: int, notice: Notice) -> Room | None:
    """Room on disk for a volume and its data that do not fit in memory; None where they do, or there is none.

    Parameters
    ----------
    method : Method
        None is returned for those that need more of a volume than some slices at a time.
    voxels, rays : int
    notice : callable(text)
        Called with a sentence where there is.

    Raises
    ------
    FileError
        Where the disk is too full, too.
    """
    if method.solver not in _ARRAYS:
        return None
    volumes, panels = _ARRAYS[method.solver]
    needed, allowed, room = 4 * (volumes * voxels + panels * rays), allowed_memory(), room_on_disk()
    if room is None or needed <= allowed:
        return None
    if shutil.disk_usage(room.folder).free < needed:
        raise FileError(
            f"In memory this needs about {size_in_words(needed)}, more than {size_in_words(allowed)}, and "
            f"{room.folder} has no room for it: write the output to another disk, average more columns "
            "(--bin), or give a higher bound (--max-memory)."
        )
    notice(
        f"In memory this needs about {size_in_words(needed)}, more than {size_in_words(allowed)}: volume and "
        f"data are kept in files in {room.folder}, and computed slab by slab on the CPU."
    )
    return room

"""Frames by their image key, which says what each of them is, as NXtomo has it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from invgen.core.errors import DataError
from invgen.io.hdf5 import Dataset, Group, find_object, get_dataset, has_link, read_all, walk

__all__ = ["DARK", "FLAT", "PROJECTION", "frames_of_key", "image_key", "keyed"]

PROJECTION, FLAT, DARK = 0, 1, 2  # and 3, invalid


def keyed(entry: Group, seen: set[tuple[int, int]] | None = None) -> Iterator[Group]:
    """Groups below an entry, detectors as a rule, that have frames with an image key."""
    for group in walk(entry, seen):
        if isinstance(group, Group) and has_link(group, "image_key"):
            yield group


def image_key(detector: Group) -> np.ndarray:
    """What each frame is: ``image_key``, or ``image_key_control`` where that is negative.

    Of alignment frames, which the ESRF takes after a scan to see whether the object has moved, the former
    says projection.
    """
    key = read_all(get_dataset(detector, "image_key")).reshape(-1)
    control = find_object(detector, "image_key_control")
    if not isinstance(control, Dataset):
        return key
    controls = read_all(control).reshape(-1)
    if len(controls) != len(key):
        raise DataError(
            f"{control.name} has {len(controls)} entries for the {len(key)} of image_key; it should have one "
            "for each."
        )
    return np.where(controls < 0, controls, key)


def frames_of_key(detector: Group, value: int) -> tuple[Dataset, np.ndarray] | None:
    """The frames of a detector and the numbers of those with that key; None where it has none."""
    data, key = find_object(detector, "data"), image_key(detector)
    index = np.flatnonzero(key == value)
    if not isinstance(data, Dataset) or data.ndim != 3 or len(data) != len(key) or not len(index):
        return None
    return data, index

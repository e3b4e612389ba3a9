"""Calibrated intervals of reconstructions, on disk beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import torch

from invgen.core.errors import ParameterError
from invgen.io.hdf5 import Dataset, File, attribute, find_object, get_dataset, text_attribute

__all__ = ["Intervals", "IntervalsWriter"]

_ENDS = ("lower", "upper")


class IntervalsWriter:
    """Write the ends of intervals slice by slice.

    ``/intervals/lower`` and ``/intervals/upper``, float32, have the shape of the images, (slices, H, W),
    those of complex images being of the modulus; of means over regions (slices, k). NaN where there are none.
    Attributes of ``/intervals`` say what is promised: "level", "guarantee", "confidence" where there is one,
    "images", the number of the calibration, and "about", which these were.

    Parameters
    ----------
    file : h5py.File
        The file to write to.
    slices : int
    about : mapping of str to str or number
        The attributes.
    """

    def __init__(self, file: h5py.File, slices: int, about: Mapping[str, Any]) -> None:
        self._slices, self._group = slices, file.create_group("intervals")
        self._group.attrs.update(about)

    def write(self, index: int, lower: torch.Tensor, upper: torch.Tensor) -> None:
        """Write the ends of the intervals of a slice, both of shape (H, W) or (k,)."""
        for name, end in zip(_ENDS, (lower, upper), strict=True):
            if name not in self._group:
                layout = {"shape": (self._slices, *end.shape), "chunks": (1, *end.shape)}
                self._group.create_dataset(name, dtype="f4", fillvalue=np.nan, **layout)
            if self._group[name].shape[1:] != tuple(end.shape):
                raise ParameterError(
                    f"expected intervals of the shape {self._group[name].shape[1:]}; got {tuple(end.shape)}."
                )
            self._group[name][index] = end.detach().cpu().numpy()


@dataclass(frozen=True)
class Intervals:
    """Intervals in a file; they stay there until they are sliced.

    Attributes
    ----------
    lower, upper : Dataset, shape (slices, H, W), of regions (slices, k)
    level : float
    guarantee : str
    confidence : float or None
    images : int
    about : str
    """

    lower: Dataset
    upper: Dataset
    level: float
    guarantee: str
    confidence: float | None
    images: int
    about: str

    @classmethod
    def of(cls, file: File, volume: Dataset) -> Intervals | None:
        """What stands beside the volume; None where nothing does.

        Raises
        ------
        ValueError, FileError
            Where it does not fit the volume.
        """
        group = find_object(file, "intervals")
        if group is None:
            return None
        lower, upper = (get_dataset(file, f"intervals/{name}") for name in _ENDS)
        for end in (lower, upper):
            fits = end.shape == volume.shape or (end.ndim == 2 and len(end) == len(volume))
            if end.dtype.kind != "f" or end.shape != lower.shape or not fits:
                raise ValueError(f"its {end.name} is {end.shape} of {end.dtype}")
        confidence, guarantee = attribute(group, "confidence"), text_attribute(group, "guarantee")
        if guarantee is None:
            raise ValueError("its intervals have no guarantee")
        return cls(
            lower,
            upper,
            float(attribute(group, "level")),
            guarantee,
            None if confidence is None else float(confidence),
            int(attribute(group, "images")),
            text_attribute(group, "about") or "",
        )

    @property
    def of_pixels(self) -> bool:
        """Whether they are of pixels, rather than of regions."""
        return self.lower.ndim > 2

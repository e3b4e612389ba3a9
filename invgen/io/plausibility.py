"""How plausible reconstructions are, on disk beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import h5py
import numpy as np
import torch

from invgen.core.errors import ParameterError
from invgen.io.hdf5 import Dataset, File, find_object, get_dataset

__all__ = ["P_VALUES", "PlausibilityWriter", "Plausible"]

#: Names of p-values, the one to decide by first: see `invgen.plausibility.Assessment`.
P_VALUES = ("scan", "residual", "typicality", "bound")


class PlausibilityWriter:
    """Write p-values and maps slice by slice.

    ``/plausibility/p_values/scan``, ``residual``, ``typicality`` and ``bound`` have the shape (slices,),
    float64, NaN where there is none. ``/plausibility/map``, float32, (slices, H, W), is the local error of
    denoising over the error that the prior expects: about one where the image is as expected. It is there for
    priors that are denoisers.

    Parameters
    ----------
    file : h5py.File
        The file to write to.
    slices : int
    image_shape : (int, int)
    """

    def __init__(self, file: h5py.File, slices: int, image_shape: tuple[int, ...]) -> None:
        self._shape, self._slices = tuple(image_shape), slices
        self._group = file.create_group("plausibility")
        self._p_values = {
            name: self._group.create_dataset(f"p_values/{name}", data=np.full(slices, np.nan))
            for name in P_VALUES
        }

    def write(self, index: int, p_values: Mapping[str, float], shown: torch.Tensor | None) -> None:
        """Write the p-values of a slice, and its map (H, W)."""
        for name, p in p_values.items():
            self._p_values[name][index] = p
        if shown is None:
            return
        if tuple(shown.shape) != self._shape:
            raise ParameterError(f"expected a map of the shape {self._shape}; got {tuple(shown.shape)}.")
        if "map" not in self._group:
            layout = {"shape": (self._slices, *self._shape), "chunks": (1, *self._shape)}
            self._group.create_dataset("map", dtype="f4", fillvalue=np.nan, **layout)
        self._group["map"][index] = shown.detach().cpu().numpy()


@dataclass(frozen=True)
class Plausible:
    """How plausible the slices in a file are.

    Attributes
    ----------
    p_values : dict of str to array, float64, shape (slices,)
        See `PlausibilityWriter`.
    map : Dataset, shape (slices, H, W), or None
        It stays in the file until it is sliced.
    """

    p_values: dict[str, np.ndarray]
    map: Dataset | None

    @classmethod
    def of(cls, file: File, volume: Dataset) -> Plausible | None:
        """What stands beside the volume; None where nothing does.

        Raises
        ------
        ValueError, FileError
            Where it does not fit the volume.
        """
        if find_object(file, "plausibility") is None:
            return None
        p_values = {}
        for name in P_VALUES:
            found = get_dataset(file, f"plausibility/p_values/{name}")
            if found.shape != volume.shape[:1] or found.dtype.kind != "f":
                raise ValueError(f"its p-values are {found.shape} of {found.dtype}")
            p_values[name] = np.asarray(found[()], dtype=np.float64)
        if find_object(file, "plausibility/map") is None:
            return cls(p_values, None)
        shown = get_dataset(file, "plausibility/map")
        if shown.shape != (len(volume), *volume.shape[-2:]) or shown.dtype.kind != "f":
            raise ValueError(f"its map of plausibility is {shown.shape} of {shown.dtype}")
        return cls(p_values, shown)

    def deciding(self, index: int) -> float | None:
        """The p-value of a slice to decide by; None where it has none."""
        found = [float(self.p_values[name][index]) for name in ("scan", "bound")]
        return next((p for p in found if not np.isnan(p)), None)

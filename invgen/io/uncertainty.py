"""Samples of a posterior and their statistics on disk, beside the reconstruction."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import torch

from invgen.core.errors import ParameterError
from invgen.core.moments import moments
from invgen.io.hdf5 import Dataset, File, find_object, get_dataset, text_attribute
from invgen.reconstruction import Reconstruction

__all__ = ["QUANTILES", "Posterior", "PosteriorWriter"]

#: Quantiles in the file: the median, and the ends of the 90 percent interval.
QUANTILES = (0.05, 0.5, 0.95)

#: Number of samples that the outer quantiles take (`Reconstruction.quantile`).
_ENOUGH = 19


class PosteriorWriter:
    """Write samples and their statistics slice by slice.

    ``/samples`` has the shape (n, slices, H, W), one chunk for each image, in the type of the reconstruction.
    With two samples or more there are ``/std``, float32, the standard deviation (of complex images that of
    the distance from the mean), and ``/quantiles/0.05``, ``0.5`` and ``0.95``, float32 (of complex images
    those of the modulus), each of shape (slices, H, W). The attribute "estimator" of ``/quantiles`` states
    whether the outer ones are "order statistics" of the samples or, for fewer than 19, follow "Student's
    distribution": `invgen.Reconstruction.interval`.

    Parameters
    ----------
    file : h5py.File
        The file to write to.
    samples, slices : int
    image_shape : tuple of int
    complex : bool
    antithetic : bool
        Whether samples come in such pairs: the attribute "antithetic" of ``/samples``.
    """

    def __init__(
        self,
        file: h5py.File,
        samples: int,
        slices: int,
        image_shape: tuple[int, ...],
        complex: bool,
        antithetic: bool = False,
    ) -> None:
        self._shape, self._antithetic = (samples, *image_shape), antithetic
        self._samples = file.create_dataset(
            "samples",
            (samples, slices, *image_shape),
            "c8" if complex else "f4",
            chunks=(1, 1, *image_shape),
        )
        self._samples.attrs["antithetic"] = antithetic
        self._images: dict[str, h5py.Dataset] = {}
        if samples > 1:
            names = ["std", *(f"quantiles/{q}" for q in QUANTILES)]
            layout = {"shape": (slices, *image_shape), "dtype": "f4", "chunks": (1, *image_shape)}
            self._images = {name: file.create_dataset(name, **layout) for name in names}
            estimator = "order statistics" if samples >= _ENOUGH else "Student's distribution"
            file["quantiles"].attrs["estimator"] = estimator

    @staticmethod
    def bytes_per_pixel(complex: bool, samples: int) -> int:
        """Size of samples and statistics for each pixel of a slice."""
        return samples * (8 if complex else 4) + (4 * (1 + len(QUANTILES)) if samples > 1 else 0)

    def write(self, index: int, samples: torch.Tensor) -> None:
        """Write the samples of a slice, shape (n, H, W), and their statistics."""
        drawn = samples.detach().cpu()
        if drawn.shape != self._shape:
            raise ParameterError(f"expected samples {self._shape} of a slice; got {tuple(drawn.shape)}.")
        if drawn.is_complex() and self._samples.dtype.kind != "c":
            raise ParameterError("the file is one of real images; open it as complex.")
        self._samples[:, index] = drawn.numpy()
        if not self._images:
            return
        found = Reconstruction(drawn.mean(0), drawn, antithetic=self._antithetic)
        low, high = found.interval(0.9)
        for name, image in zip(
            self._images,
            (moments(drawn, self._antithetic).std, low, found.quantile(QUANTILES[1]), high),
            strict=True,
        ):
            self._images[name][index] = image.numpy()


@dataclass(frozen=True)
class Posterior:
    """Samples and their statistics in a file; all of it stays there until it is sliced.

    Attributes
    ----------
    samples : Dataset, shape (n, slices, H, W)
    std : Dataset, shape (slices, H, W), or None
        None for a single sample.
    quantiles : dict from float to Dataset of shape (slices, H, W)
        Empty for a single sample.
    estimator : str or None
        How the outer quantiles were estimated.
    """

    samples: Dataset
    std: Dataset | None
    quantiles: dict[float, Dataset]
    estimator: str | None

    @classmethod
    def of(cls, file: File, volume: Dataset) -> Posterior | None:
        """Samples and statistics beside the volume; None where it has no samples.

        Raises
        ------
        ValueError, FileError
            When they do not fit the volume, or some are missing.
        """
        if find_object(file, "samples") is None:
            return None
        samples = get_dataset(file, "samples")
        if samples.shape[1:] != volume.shape or samples.dtype.kind != volume.dtype.kind or not len(samples):
            raise ValueError(f"its samples are {samples.shape} of {samples.dtype}")
        if len(samples) == 1:
            return cls(samples, None, {}, None)
        images = [get_dataset(file, name) for name in ("std", *(f"quantiles/{q}" for q in QUANTILES))]
        for image in images:
            if image.shape != volume.shape or image.dtype.kind != "f":
                raise ValueError(f"its {image.name} is {image.shape} of {image.dtype}")
        std, *quantiles = images
        quantiles_ = find_object(file, "quantiles")
        estimator = None if quantiles_ is None else text_attribute(quantiles_, "estimator")
        return cls(samples, std, dict(zip(QUANTILES, quantiles, strict=True)), estimator)

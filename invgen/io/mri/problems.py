"""From k-space to the reconstruction problem: whitened, compressed, with coil maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from invgen.core.checks import as_count
from invgen.core.errors import CapabilityError
from invgen.io.mri.contents import KSpace
from invgen.io.mri.maps import checked, sensitivities
from invgen.noise import Gaussian
from invgen.operators import MRI, LinearOperator, NonCartesianMRI
from invgen.operators.mri.coils import compression_matrix, mix, whitening_matrix
from invgen.problem import Problem

__all__ = ["Receiver", "to_problem"]


def to_problem(kspace: KSpace, *, coils: Any, compress: int | None, whiten: bool) -> Problem:
    """Reconstruction problem of a slice or volume: see `MRIScan.problem`.

    Raises
    ------
    DataError, ParameterError, ShapeError
        When coil maps cannot be estimated, or do not fit.
    CapabilityError
        When lines are averages of different numbers of readouts, and the coils are not whitened.
    """
    receiver, virtual = _received(kspace, coils, compress, whiten)
    return receiver.problem_of(virtual)


@dataclass(frozen=True)
class Receiver:
    """The coils as a reconstruction sees them, which all measurements of a slice or volume share.

    Attributes
    ----------
    whitening, compression : complex tensor, shape (virtual coils, coils), or None
        One after the other; None where they are not asked for.
    sigma : float or None
        Standard deviation of the whitened noise.
    maps : complex tensor, shape (virtual coils, *image_shape), or None
        None of a single coil.
    """

    whitening: torch.Tensor | None
    sigma: float | None
    compression: torch.Tensor | None
    maps: torch.Tensor | None

    @classmethod
    def of(cls, kspace: KSpace, *, coils: Any, compress: int | None, whiten: bool) -> Receiver:
        """Find it from a measurement; arguments and errors are those of `to_problem`."""
        return _received(kspace, coils, compress, whiten)[0]

    def problem(self, kspace: KSpace) -> Problem:
        """The problem of a measurement by these coils."""
        for matrix in (self.whitening, self.compression):
            kspace = kspace if matrix is None else _mixed(kspace, matrix)
        return self.problem_of(kspace)

    def problem_of(self, kspace: KSpace) -> Problem:
        """The problem of a measurement that is of the virtual coils already."""
        data = kspace.data if self.maps is not None else kspace.data[0]
        operator: LinearOperator
        if kspace.trajectory is None:
            operator = MRI(kspace.image_shape, kspace.mask, self.maps)
        else:
            operator = NonCartesianMRI(kspace.image_shape, kspace.trajectory, self.maps)
        return Problem(operator, data, _noise(kspace, self.sigma, -data.ndim))

    @property
    def nbytes(self) -> int:
        """Size of its maps."""
        return 0 if self.maps is None else self.maps.nbytes


def _received(kspace: KSpace, coils: Any, compress: int | None, whiten: bool) -> tuple[Receiver, KSpace]:
    """The coils of a measurement, and what it is in the virtual ones."""
    maps = None if coils is None or isinstance(coils, str) else checked(coils, kspace)
    if compress is not None:
        compress = as_count(compress, "compress, the number of virtual coils,", most=kspace.coils)
    if maps is None and coils == "none" and kspace.coils > 1:
        maps = sensitivities(kspace, coils)
    whitening, sigma, compression = None, None, None
    matrix = torch.eye(kspace.coils, dtype=torch.complex128)
    if kspace.covariance is not None and (whiten or kspace.coils == 1):
        whitening, sigma = whitening_matrix(kspace.covariance)
        matrix, kspace, maps = whitening, _mixed(kspace, whitening), _maybe_mixed(whitening, maps)
    if compress is not None:
        source = kspace.data if kspace.calibration is None else kspace.calibration
        compression = compression_matrix(source, compress)
        kspace, maps = _mixed(kspace, compression), _maybe_mixed(compression, maps)
        matrix = mix(compression.to(torch.complex128), matrix)
    if maps is None and kspace.coils > 1:
        maps = sensitivities(kspace, coils)
        # normalized in the physical coils: images have the values of a root-sum-of-squares image
        norm = torch.linalg.vector_norm(mix(torch.linalg.pinv(matrix), maps), dim=0)
        maps = torch.where(norm > 0, maps / norm, 0)
    return Receiver(whitening, sigma, compression, maps), kspace


def _maybe_mixed(matrix: torch.Tensor, maps: torch.Tensor | None) -> torch.Tensor | None:
    return None if maps is None else mix(matrix, maps)


def _mixed(kspace: KSpace, matrix: torch.Tensor) -> KSpace:
    """k-space of virtual coils, which are linear combinations of the given ones."""
    calibration, covariance = kspace.calibration, kspace.covariance
    if covariance is not None:
        matrix = matrix.to(covariance)
        covariance = matrix @ covariance @ matrix.mH
    return kspace.reported(
        data=mix(matrix, kspace.data),
        calibration=None if calibration is None else mix(matrix, calibration),
        covariance=covariance,
    )


def _noise(kspace: KSpace, sigma: float | None, axis: int) -> Gaussian | None:
    """Noise of k-space, with the std `sigma` where it is whitened; None where it was not measured."""
    if kspace.covariance is None:
        return None
    averages = kspace.averages
    sampled = torch.ones(1) if averages is None else averages[averages > 0]
    same = bool((sampled == sampled[0]).all())
    if sigma is None:
        if not same:
            raise CapabilityError(
                "lines are averages of different numbers of readouts; their noise has one covariance only "
                "when coils are whitened: leave whiten=True."
            )
        return Gaussian(covariance=kspace.covariance / float(sampled[0]), axis=axis)
    if same or averages is None:
        return Gaussian(sigma / float(sampled[0]) ** 0.5)
    return Gaussian(sigma / averages.double().sqrt())  # infinite where nothing is sampled

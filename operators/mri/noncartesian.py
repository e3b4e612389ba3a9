"""Magnetic resonance imaging along any trajectory."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import torch

from invgen.core.batching import each_alone
from invgen.core.frozen import Constant
from invgen.core.space import IMAGE_AXES, Space
from invgen.operators.linear import LinearOperator
from invgen.operators.mri.checks import checked_coils, checked_image_shape, checked_trajectory
from invgen.operators.mri.density import density_compensation
from invgen.operators.mri.noise_level import noise_level
from invgen.operators.mri.sensitivities import Sensitivities
from invgen.operators.mri.toeplitz import ToeplitzGram, nearest_circulant, transfer_functions
from invgen.operators.nufft import NUFFT

__all__ = ["NonCartesianMRI"]


class NonCartesianMRI(LinearOperator):
    """MRI along radial, spiral and other trajectories: complex images to samples of k-space.

    ``y_c[m] = sum_n coils_c[n] x[n] exp(-2 pi i k_m . (n - N // 2)) / sqrt(prod N)``: on the Cartesian grid
    ``k = (j - N // 2) / N`` this is `Fourier`, and `MRI` with a full mask.

    Parameters
    ----------
    image_shape : (int, int) or (int, int, int)
        (H, W) or (D, H, W).
    trajectory : float tensor, shape (*samples, 2) or (*samples, 3)
        In cycles per pixel, from -0.5 to 0.5; the components are in the order of the image's axes: (ky, kx)
        or (kz, ky, kx). See `invgen.operators.trajectories`, also for other units.
    coils : complex tensor, shape (coils, *image_shape), optional
        Sensitivity of each coil; measurements are then ``(coils, *samples)``. Without it there is one coil of
        uniform sensitivity, and measurements are ``(*samples)``.

    Raises
    ------
    ShapeError, DtypeError, DataError, ParameterError
        For trajectories and coils that do not fit the image or are not finite, and trajectories beyond half a
        cycle per pixel, such as those in other units.

    Notes
    -----
    By non-uniform FFT, accurate to about 1e-4 in single and 1e-10 in double precision; the adjoint is exact.
    ``gram`` is a convolution and does not touch the samples.

    References
    ----------
    Pruessmann et al. (2001), Advances in sensitivity encoding with arbitrary k-space trajectories. Barnett,
    Magland and af Klinteberg (2019), A parallel nonuniform fast Fourier transform library based on an
    "exponential of semicircle" kernel.
    """

    def __init__(self, image_shape: tuple[int, ...], trajectory: Any, coils: Any = None) -> None:
        shape = checked_image_shape(image_shape, "NonCartesianMRI")
        k = checked_trajectory(trajectory, len(shape), "NonCartesianMRI")
        maps = None if coils is None else checked_coils(coils, shape, "NonCartesianMRI")
        samples = tuple(k.shape[:-1])
        names = ("shot", "sample")[-len(samples) :]
        if maps is not None:
            names = ("coil", *names) if len(samples) == len(names) else names
            samples = (len(maps), *samples)
        super().__init__(Space(shape, "complex", IMAGE_AXES), Space(samples, "complex", names))
        #: Number of coils, or None for a single one without a map.
        self.coil_count = None if maps is None else len(maps)
        self._trajectory = Constant(k)
        #: The coils around a transform, or None.
        self.sensitivities = None if maps is None else Sensitivities(maps)
        self._nufft = NUFFT(shape, self._points)
        self._scale = math.prod(shape) ** -0.5

    @property
    def trajectory(self) -> torch.Tensor:
        """In cycles per pixel, float64 (*samples, dimensions)."""
        return self._trajectory.value.clone()

    @property
    def coils(self) -> torch.Tensor | None:
        """Sensitivity maps as given, or None."""
        return None if self.sensitivities is None else self.sensitivities.maps.value.clone()

    @property
    def _points(self) -> torch.Tensor:
        return self._trajectory.value.reshape(-1, self.domain.ndim)

    def restrict(self, x: torch.Tensor) -> torch.Tensor:
        """`x`, zero where all coil sensitivities are zero."""
        return x if self.sensitivities is None else self.sensitivities.restrict(x)

    def estimate_noise(self, y: torch.Tensor) -> torch.Tensor | None:
        """From the outermost samples: see `invgen.operators.mri.noise_level`."""
        points = self._points
        samples = y.reshape(*self.range.batch_shape(y), self.coil_count or 1, len(points))
        return noise_level(samples, 2 * points.norm(dim=1))

    @cached_property
    def density_compensation(self) -> Constant:
        """Weight of each sample, from `invgen.operators.trajectories.density_compensation`."""
        return Constant(density_compensation(self._trajectory.value, self.domain.shape))

    @cached_property
    def transfers(self) -> Constant:
        """Transform of the point spread function, by which ``gram`` multiplies; see `transfer_functions`."""
        return Constant(transfer_functions(self._nufft, self._points))

    @cached_property
    def spectrum(self) -> Constant:
        """Of the circulant matrix nearest to the gram operator."""
        shape = self.domain.shape
        maps = torch.ones(1, *shape) if self.sensitivities is None else self.sensitivities.maps.value
        return Constant(nearest_circulant(self.transfers.value, shape, maps))

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return each_alone(self._forward, x, self.domain.ndim)

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return each_alone(self._backward, y, self.range.ndim)

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        coils = self.sensitivities
        y = self._sample(x) if coils is None else coils.forward(x, self._sample)
        return y.mul_(self._scale)

    def _backward(self, y: torch.Tensor) -> torch.Tensor:
        coils = self.sensitivities
        x = self._grid(y) if coils is None else coils.adjoint(y, self._grid)
        return x.mul_(self._scale)

    def _sample(self, x: torch.Tensor) -> torch.Tensor:
        """Samples of images, with any leading axes."""
        y = self._nufft.forward(x.reshape(-1, *self.domain.shape))
        return y.reshape(*x.shape[: -self.domain.ndim], *self._trajectory.value.shape[:-1])

    def _grid(self, y: torch.Tensor) -> torch.Tensor:
        """Adjoint of `_sample`."""
        samples = self._trajectory.value.ndim - 1
        x = self._nufft.adjoint(y.reshape(-1, len(self._points)))
        return x.reshape(*y.shape[: y.ndim - samples], *self.domain.shape)

    def _gram(self) -> LinearOperator:
        return ToeplitzGram(self, self.transfers, self.sensitivities)

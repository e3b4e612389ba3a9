"""An MRI scan: its slices on demand, and the reconstruction problem of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch

from invgen.io.mri.info import describe
from invgen.io.mri.raw import RawMRIScan

if TYPE_CHECKING:
    from invgen.problem import Problem

__all__ = ["Coils", "MRIScan"]

#: How coil sensitivities are found: estimated, or taken as equal everywhere.
Coils = Literal["espirit", "adaptive", "none"]


class MRIScan(RawMRIScan):
    """An MRI scan in a file, opened by `open_scan`; close it, or use it in a ``with`` statement.

    Its attributes are those of `RawMRIScan`: slices, repetitions, coils, trajectory, image_shape, unit, ...
    """

    def problem(
        self,
        slice: int = 0,
        repetition: int = 0,
        *,
        coils: Coils | torch.Tensor = "espirit",
        compress: int | None = None,
        whiten: bool = True,
    ) -> Problem:
        """Reconstruction problem of one slice or volume: operator with its coil maps, k-space, and noise.

        Parameters
        ----------
        slice, repetition : int
            Counted from 0; negative numbers count from the end.
        coils : {"espirit", "adaptive", "none"} or complex tensor, shape (coils, *grid)
            Coil sensitivities: estimated from the calibrated middle of k-space, from low-resolution images,
            or none, each coil being as sensitive everywhere; or maps on the operator's grid. One coil needs
            none.
        compress : int, optional
            Number of virtual coils, those of most signal, into which the coils are combined.
        whiten : bool
            Where the noise was measured, decorrelate the coils, so that the noise is one number; else its
            covariance is part of the noise model.

        Returns
        -------
        Problem
            Its noise is None where it was not measured. Images are on the operator's grid; see `crop`.

        Raises
        ------
        DataError, ParameterError
            When the maps cannot be estimated from what was measured; the message says what can.
        """
        from invgen.io.mri.problems import to_problem

        return to_problem(self.kspace(slice, repetition), coils=coils, compress=compress, whiten=whiten)

    def info(self) -> dict[str, Any]:
        """Describe the scan, as plain data that can be written as JSON; reads the middle slice."""
        return describe(self)

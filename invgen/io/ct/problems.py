"""From line integrals to the reconstruction problem of a slice."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from invgen.core.errors import CapabilityError, DataError, ParameterError
from invgen.io.ct.beam import Beam
from invgen.io.ct.projections import Projections, require

if TYPE_CHECKING:
    import torch

    from invgen.operators import FanBeam, LinearOperator, Radon
    from invgen.problem import Problem


__all__ = ["detector_offset", "refuse_cone", "to_operator", "to_problem", "with_noise"]


def to_operator(
    projections: Projections,
    *,
    method: str | None = None,
    image_shape: tuple[int, int] | None = None,
    fov: Any = None,
) -> Radon | FanBeam:
    """Operator of line integrals whose center of rotation is known: parallel-beam, or fan-beam.

    An axis at column c is a detector displaced by ``(n - 1) / 2 - c`` columns: nothing is resampled.

    Parameters
    ----------
    projections : Projections
        Line integrals of one slice.
    method : str, optional
        Of parallel beams, as of `invgen.operators.Radon`; a fan beam has one only.
    image_shape : (int, int), optional
        In pixels as wide as a column at the rotation axis; by default the shape that the file states, else a
        square with a pixel for each column.
    fov
        As of the operators.

    Raises
    ------
    CapabilityError
        For a row of a cone beam.
    """
    from invgen.operators import FanBeam, Radon

    require(projections, "a reconstruction", "absorption")
    beam, n = projections.beam, projections.columns
    refuse_cone(beam)
    offset = detector_offset(projections)
    shape = image_shape or projections.image_shape or (n, n)
    if beam is None:
        return Radon(
            shape,
            angles=projections.angles,
            detector_count=n,
            detector_spacing=projections.spacing,
            detector_offset=offset,
            pixel_size=projections.spacing,
            fov=fov,
            method=method or "fourier",
        )
    if method not in (None, "joseph"):
        raise ParameterError(f'a fan beam is projected by the method "joseph"; got {method!r}.')
    return FanBeam(
        shape,
        projections.angles,
        beam.source_origin,
        beam.source_detector,
        detector_count=n,
        detector_spacing=projections.spacing * beam.magnification,
        detector_offset=offset,
        curved=beam.curved,
        pixel_size=projections.spacing,
        fov=fov,
    )


def refuse_cone(beam: Beam | None) -> None:
    """Raise for a cone beam, whose slices are no problems of their own."""
    if beam is not None and beam.kind == "cone":
        raise CapabilityError(
            "a slice of a cone-beam scan has no problem of its own, since its rays pass through others: "
            "Scan.volume_problem() is the problem of all of them."
        )


def detector_offset(projections: Projections) -> float:
    """Displacement of the detector, on the detector itself, for the rotation axis of the projections."""
    if projections.center is None:
        raise ParameterError(
            "the centre of rotation is not known: put Center() or Center(value) among the steps."
        )
    spacing = projections.spacing * (1 if projections.beam is None else projections.beam.magnification)
    return ((projections.columns - 1) / 2 - projections.center) * spacing


def to_problem(
    projections: Projections, operator: Radon | FanBeam | None = None, *, counts: bool = False
) -> Problem:
    """Reconstruction problem of line integrals, with the noise of each ray; or of the quanta themselves.

    Parameters
    ----------
    projections : Projections
        Their center of rotation is known.
    operator : Radon or FanBeam, optional
        By default the one that `to_operator` returns.
    counts : bool
        Measure the quanta of each ray, with their Poisson likelihood, instead of line integrals: where quanta
        are few (`Quanta.are_few`) the logarithm is biased, and its noise is not Gaussian.

    Raises
    ------
    DataError
        Where every ray is dead, or the quanta are not known.
    """
    operator = to_operator(projections) if operator is None else operator
    if counts:
        return _of_quanta(projections, operator)
    return with_noise(operator, projections.data, projections.std, "slice")


def _of_quanta(projections: Projections, operator: LinearOperator) -> Problem:
    """Problem of counts behind the object, the detector's own noise as a background: see `Transmission`."""
    import torch

    from invgen.noise import Transmission
    from invgen.problem import Problem

    quanta, dead = projections.quanta, projections.dead
    if quanta is None:
        raise DataError(
            "the quanta of the rays are not known: the data are no counts, or a step has changed them."
        )
    alive = torch.ones_like(quanta.open) if dead is None else 1 - dead.to(quanta.open.dtype)
    if not bool(alive.any()):
        raise DataError("every ray of the slice is dead: nothing was measured.")
    counts = (quanta.counts + quanta.variance).clamp(min=0) * alive
    return Problem(operator, counts, Transmission(quanta.open * alive, quanta.variance * alive))


def with_noise(operator: LinearOperator, data: torch.Tensor, std: torch.Tensor | None, what: str) -> Problem:
    """Problem of data with the std of the noise of each ray, infinite for dead ones; None is unknown."""
    from invgen.noise import Gaussian
    from invgen.problem import Problem

    if std is not None and not math.isfinite(float(std.min())):
        raise DataError(f"every ray of the {what} is dead: nothing was measured.")
    return Problem(operator, data, noise=None if std is None else Gaussian(std))

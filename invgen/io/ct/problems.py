"""From line integrals to the reconstruction problem of a slice."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from invgen.core.errors import CapabilityError, DataError, ParameterError
from invgen.io.ct.beam import Beam
from invgen.io.ct.coverage import coverage, widened
from invgen.io.ct.geometry import rays_of
from invgen.io.ct.projections import Projections, require
from invgen.io.ct.quanta import Quanta

if TYPE_CHECKING:
    import torch

    from invgen.operators import FanBeam, LinearOperator, Radon
    from invgen.problem import Problem


__all__ = ["of_quanta", "refuse_cone", "to_operator", "to_problem", "with_noise"]


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
        square with a pixel for each column, and larger where the object is taken to be in a larger disc.
    fov : {"image", "disc"} or float, optional
        As of the operators; by default what the data show: see `invgen.io.ct.coverage`.

    Raises
    ------
    CapabilityError
        For a row of a cone beam.
    """
    from invgen.operators import FanBeam, Radon

    require(projections, "a reconstruction", "absorption")
    beam = projections.beam
    refuse_cone(beam)
    if image_shape is None or fov is None:
        found = coverage(projections)
        shape = image_shape or found.image_shape(projections)
        fov = found.fov(projections, shape) if fov is None else fov
        if image_shape is None:
            image_shape = shape if isinstance(fov, str) else widened(shape, fov, projections.spacing)
    rays = rays_of(projections)
    if beam is None:
        return Radon(image_shape, **rays, fov=fov, method=method or "fourier")
    if method not in (None, "joseph"):
        raise ParameterError(f'a fan beam is projected by the method "joseph"; got {method!r}.')
    return FanBeam(image_shape, **rays, fov=fov)


def refuse_cone(beam: Beam | None) -> None:
    """Raise for a cone beam, whose slices are no problems of their own."""
    if beam is not None and beam.kind == "cone":
        raise CapabilityError(
            "a slice of a cone-beam scan has no problem of its own, since its rays pass through others: "
            "Scan.volume_problem() is the problem of all of them."
        )


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
        return of_quanta(operator, projections.quanta, projections.dead, "slice")
    return with_noise(operator, projections.data, projections.std, "slice")


def of_quanta(
    operator: LinearOperator, quanta: Quanta | None, dead: torch.Tensor | None, what: str
) -> Problem:
    """Problem of counts behind the object, the detector's own noise as a background: see `Transmission`."""
    import torch

    from invgen.noise import Transmission
    from invgen.problem import Problem

    if quanta is None:
        raise DataError(
            "the quanta of the rays are not known: the data are no counts, or a step has changed them."
        )
    alive = (quanta.open > 0).to(quanta.open)
    if dead is not None:
        alive = torch.where(dead, 0, alive)
    if not bool(alive.any()):
        raise DataError(f"every ray of the {what} is dead: nothing was measured.")
    counts = (quanta.counts + quanta.variance).clamp(min=0) * alive
    return Problem(operator, counts, Transmission(quanta.open * alive, quanta.variance * alive))


def with_noise(operator: LinearOperator, data: torch.Tensor, std: torch.Tensor | None, what: str) -> Problem:
    """Problem of data with the std of the noise of each ray, infinite for dead ones; None is unknown."""
    from invgen.noise import Gaussian
    from invgen.problem import Problem

    if std is not None and not math.isfinite(float(std.min())):
        raise DataError(f"every ray of the {what} is dead: nothing was measured.")
    return Problem(operator, data, noise=None if std is None else Gaussian(std))

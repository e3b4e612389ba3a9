"""Objects of simulated CT scans: their true images, and their projections without noise."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from invgen import phantoms
from invgen.core.errors import DataError, ParameterError, ShapeError
from invgen.simulate.geometry import Setup

__all__ = ["Source", "observe"]

Source = (
    Literal["foam", "random", "shepp-logan"]
    | phantoms.Ellipses
    | phantoms.Assembly
    | phantoms.Ellipsoids
    | Tensor
)


def observe(source: Source, setup: Setup, seed: int) -> tuple[Tensor, Tensor]:
    """Draw and project an object: (slices, size, size) and (rows, views, columns).

    For parallel and fan beams all slices are the same, and all rows.
    """
    if setup.geometry == "cone":
        return _in_space(source, setup, seed)
    if isinstance(source, Tensor):
        truth, sinogram = _from_image(source, setup)
    else:
        phantom = _in_the_plane(source, setup, seed)
        truth = phantom.image((setup.size, setup.size), setup.pixel_size)
        detector = setup.columns, setup.detector_spacing, setup.detector_offset
        if setup.geometry == "fan":
            if isinstance(phantom, phantoms.Assembly):
                raise ParameterError(
                    "A random object has projections of parallel beams only; a fan beam scans foam, "
                    "shepp-logan, an Ellipses phantom or an image."
                )
            beam = setup.source_origin, setup.source_detector, *detector, setup.curved
            sinogram = phantom.fan_sinogram(setup.angles, *beam)
        else:
            sinogram = phantom.sinogram(setup.angles, *detector)
    return truth.expand(setup.slices, -1, -1), sinogram.expand(setup.rows, -1, -1)


def _in_space(source: object, setup: Setup, seed: int) -> tuple[Tensor, Tensor]:
    half_width, half_height = (n * setup.pixel_size / 2 for n in (setup.size, setup.slices))
    if isinstance(source, Tensor):
        raise ShapeError(
            "A cone beam sees an object in space, and an image has no third dimension. Scan it with the "
            "geometry fan or parallel, or choose foam, shepp-logan or an Ellipsoids phantom."
        )
    if isinstance(source, phantoms.Ellipsoids):
        phantom = source
    elif source == "foam":
        phantom = phantoms.foam_3d(seed, half_width, half_height)
    elif source == "shepp-logan":
        phantom = phantoms.shepp_logan_3d(half_width).scaled(height=half_height / half_width)
    else:
        raise ParameterError(
            "The source of a cone-beam scan is 'foam', 'shepp-logan' or an Ellipsoids phantom; "
            f"got {source!r}."
        )
    projections = phantom.cone_sinogram(
        setup.angles,
        setup.source_origin,
        setup.source_detector,
        (setup.rows, setup.columns),
        setup.detector_spacing,
        (0.0, setup.detector_offset),
    )
    volume = phantom.volume((setup.slices, setup.size, setup.size), setup.pixel_size)
    return volume, projections.transpose(0, 1)


def _in_the_plane(source: object, setup: Setup, seed: int) -> phantoms.Ellipses | phantoms.Assembly:
    half_width = setup.size * setup.pixel_size / 2
    if isinstance(source, phantoms.Ellipses | phantoms.Assembly):
        return source
    if source == "foam":
        return phantoms.foam(seed, half_width)
    if source == "random":
        return phantoms.random(seed, half_width)
    if source == "shepp-logan":
        return phantoms.shepp_logan(half_width)
    raise ParameterError(
        "The source of a scan is 'foam', 'random', 'shepp-logan', an Ellipses or Assembly phantom "
        f"(Ellipsoids for a cone beam) or an image tensor; got {source!r}."
    )


def _from_image(image: Tensor, setup: Setup) -> tuple[Tensor, Tensor]:
    """Project an image on a grid and a detector `fine` times finer than the truth and the scan."""
    from invgen.operators import FanBeam, LinearOperator, Radon

    if image.ndim != 2 or image.numel() == 0:
        raise ShapeError(f"A source image has shape (h, w); got {tuple(image.shape)}. Give one grey slice.")
    image = image.detach().cpu().double()
    peak = float(image.max())
    if not bool(torch.isfinite(image).all()) or not peak > 0 or float(image.min()) < -1e-6 * peak:
        raise DataError("A source image is finite, not negative and not zero everywhere: it attenuates.")
    image = image.clamp_min(0)  # negative by rounding

    size, side = setup.size, max(image.shape)
    down, right = side - image.shape[0], side - image.shape[1]
    square = torch.nn.functional.pad(image, (right // 2, right - right // 2, down // 2, down - down // 2))
    fine = max(2, math.ceil(side / size))
    if side != fine * size:
        square = torch.nn.functional.interpolate(
            square[None, None], size=(fine * size,) * 2, mode="bilinear"
        )[0, 0]
    # Only the disc that all views see can be reconstructed, so that the object ends inside of it.
    place = (torch.arange(fine * size, dtype=torch.float64) + 0.5) / fine - size / 2
    # One percent of air shows that no projection is cut.
    seen = setup.radius_within(0.49 * setup.columns - abs(setup.center_offset))
    square = torch.where(torch.hypot(place[:, None], place) <= seen, square, 0.0)

    shape, pixel_size = (fine * size, fine * size), setup.pixel_size / fine
    detector = fine * setup.columns, setup.detector_spacing / fine, setup.detector_offset
    operator: LinearOperator
    if setup.geometry == "fan":
        beam = setup.source_origin, setup.source_detector, *detector, setup.curved
        operator = FanBeam(shape, setup.angles, *beam, pixel_size)
    else:
        operator = Radon(shape, setup.angles, *detector, pixel_size)
    truth = square.reshape(size, fine, size, fine).mean((1, 3))
    return truth, operator(square).reshape(len(setup.angles), setup.columns, fine).mean(2)

"""Projections of objects whose projections are known in closed form."""

import math

import pytest
import torch

from invgen import phantoms
from invgen.operators import Radon

METHODS = ["fourier", "joseph"]
ANGLES = torch.arange(45, dtype=torch.float64) * 0.14


@pytest.mark.parametrize("method", METHODS)
def test_projection_of_a_disc_is_its_chord_length(method):
    radius, n = 40.0, 128
    A = Radon((n, n), ANGLES, detector_count=n, method=method)
    s = torch.arange(n, dtype=torch.float64) - (n - 1) / 2
    chord = 0.3 * 2 * (radius**2 - s**2).clamp_min(0).sqrt()
    # next to the edge the chord changes within a bin, and an edge made of pixels is not sharp
    inside = s.abs() < radius - 3
    error = (A(phantoms.disc(radius, value=0.3).image((n, n), 1.0)) - chord)[:, inside]
    assert error.norm(dim=1).max() / chord[inside].norm() < 0.01


@pytest.mark.parametrize("method", METHODS)
def test_shepp_logan_sinogram_to_eight_thousandths(method):
    n, views = 256, 180
    phantom = phantoms.shepp_logan(n / 2)
    A = Radon((n, n), views, method=method)
    exact = phantom.sinogram(A.angles, A.range.shape[1], 1.0)
    error = A(phantom.image((n, n), 1.0)) - exact
    assert error.norm() / exact.norm() <= 0.008


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [*range(63, 67), *range(127, 131)])
def test_a_centred_disc_projects_onto_the_middle(n, method):
    A = Radon((n, n), 180, method=method)
    y = A(phantoms.disc(n / 3).image((n, n), 1.0))
    s = torch.arange(y.shape[1], dtype=torch.float64) - (y.shape[1] - 1) / 2
    assert ((y * s).sum(1) / y.sum(1)).abs().max() < 1e-3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [64, 65])
def test_a_disc_off_center_projects_where_the_convention_says(n, method):
    """To a twentieth of a pixel; a wrong convention would be off by half a one or more."""
    x, y = 11.0, -7.0
    A = Radon((n, n + 6), ANGLES, method=method)
    sinogram = A(phantoms.disc(9.0, center=(x, y)).image((n, n + 6), 1.0))
    s = torch.arange(sinogram.shape[1], dtype=torch.float64) - (sinogram.shape[1] - 1) / 2
    centroid = (sinogram * s).sum(1) / sinogram.sum(1)
    expected = x * ANGLES.cos() + y * ANGLES.sin()
    torch.testing.assert_close(centroid, expected, rtol=0, atol=0.05)


@pytest.mark.parametrize(("method", "tolerance"), [("fourier", 1e-10), ("joseph", 0.01)])
def test_every_view_holds_the_mass_of_the_image(method, tolerance):
    """Exactly through the Fourier slice theorem; Joseph's rays sample the image and are good to a percent."""
    p, spacing = 0.4, 0.3
    x = phantoms.shepp_logan(32 * p).image((64, 64), p)
    y = Radon((64, 64), ANGLES, pixel_size=p, detector_spacing=spacing, method=method)(x)
    mass = (x.sum() * p**2).expand(len(ANGLES))
    torch.testing.assert_close(y.sum(1) * spacing, mass, rtol=tolerance, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_lengths_are_in_any_unit(method):
    unit = 0.037
    x = phantoms.foam(1, 20.0).image((30, 41), 1.0)
    geometry = {"detector_spacing": 1.3, "detector_offset": 0.7, "pixel_size": 1.0}
    scaled = {name: unit * length for name, length in geometry.items()}
    pixels = Radon((30, 41), ANGLES, method=method, **geometry)(x)
    units = Radon((30, 41), ANGLES, method=method, **scaled)(x)
    torch.testing.assert_close(units, unit * pixels, rtol=1e-10, atol=1e-12)


def test_a_number_of_views_means_equispaced_over_half_a_turn():
    A = Radon((8, 8), angles=60)
    torch.testing.assert_close(A.angles, torch.arange(60).double() * math.pi / 60)


def test_the_default_detector_covers_the_diagonal():
    A = Radon((30, 40), 8, pixel_size=0.5, detector_spacing=0.3, detector_offset=2.0)
    assert A.geometry.sees_whole_image
    assert A.fov == "image"
    assert 2 * A.geometry.reach >= 25.0
    assert 2 * A.geometry.reach < 25.0 + 2 * 0.3

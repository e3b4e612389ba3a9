"""Where things project to: our convention, and that ODL, ASTRA and scikit-image agree with it."""

import math

import numpy as np
import pytest
import torch

from invgen import phantoms
from invgen.operators import Radon
from invgen.phantoms import Ellipses

METHODS = ["fourier", "joseph"]
N = 65


def lopsided(unit=1.0):
    """Smooth enough for any projector, and different from all of its mirror images and turns."""
    ellipses = Ellipses(
        [1.0, 0.5, -0.3], [8.0, -14.0, 9.0], [11.0, -5.0, 10.0], [7, 5, 3], [10, 4, 4], [0.4, 0, 1]
    )
    return ellipses.scaled(length=unit)


def image(shape=(N, N), unit=1.0):
    return lopsided(unit).image(shape, unit)


def relative(a, b):
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("count", "offset"), [(80, 0.0), (81, 2.0), (80, -2.6)])
def test_the_axis_projects_to_the_middle_less_the_offset(method, count, offset):
    """Positive offsets move the detector towards positive s, and so everything on it to lower bins."""
    spacing = 1.3
    A = Radon((33, 33), 24, count, detector_spacing=spacing, detector_offset=offset, method=method)
    y = A(phantoms.disc(9.0).image((33, 33), 1.0))
    bins = torch.arange(count, dtype=torch.float64)
    centroid = (y * bins).sum(1) / y.sum(1)
    expected = torch.full_like(centroid, (count - 1) / 2 - offset / spacing)
    torch.testing.assert_close(centroid, expected, rtol=0, atol=1e-2)


@pytest.mark.parametrize("method", METHODS)
def test_quarter_turns(method):
    """View 0 sums columns, x to the right; a quarter turn later s is y, upwards; then everything mirrored."""
    x = lopsided(0.45).image((22, 26), 1.0)
    y = Radon((22, 26), [0.0, math.pi / 2, math.pi], 40, method=method)(x)
    # boxes that are seen straight on have sharp edges, which ring in the Fourier method
    tolerance = 1e-9 if method == "joseph" else 0.05
    assert relative(y[0, 7:33], x.sum(0)) < tolerance
    assert relative(y[1, 9:31], x.flip(0).sum(1)) < tolerance
    torch.testing.assert_close(y[2], y[0].flip(0), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_half_a_turn_more_and_the_detector_mirrored_is_the_same_ray(method):
    t = torch.tensor([0.3, 1.0, 2.9], dtype=torch.float64)
    one = Radon((20, 24), t, 40, detector_offset=1.2, method=method)(image((20, 24)))
    other = Radon((20, 24), t + math.pi, 40, detector_offset=-1.2, method=method)(image((20, 24)))
    torch.testing.assert_close(other, one.flip(-1), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("offset", [0.0, 3.4])
def test_astra_agrees(method, offset):
    astra = pytest.importorskip("astra")
    count, spacing, t = 90, 0.8, np.linspace(0.1, 3.0, 17)
    # each view: ray direction, centre of the detector, one bin along it
    u = np.stack([np.cos(t), np.sin(t)], axis=1)
    views = np.concatenate([np.stack([np.sin(t), -np.cos(t)], axis=1), offset * u, spacing * u], axis=1)
    geometry = astra.create_proj_geom("parallel_vec", count, views)
    projector = astra.create_projector("linear", geometry, astra.create_vol_geom(N, N))
    identifier, theirs = astra.create_sino(image().numpy().astype(np.float32), projector)
    astra.data2d.delete(identifier)
    astra.projector.delete(projector)
    ours = Radon((N, N), t, count, spacing, offset, method=method)(image()).numpy()
    assert relative(ours, theirs) < 0.02


@pytest.mark.parametrize("method", METHODS)
def test_odl_agrees(method):
    odl = pytest.importorskip("odl")
    pytest.importorskip("astra")
    height, width, p, count, spacing = 50, 66, 0.5, 110, 0.4
    x = image((height, width), p)
    # ODL indexes images (x, y), both upwards
    space = odl.uniform_discr(
        [-width * p / 2, -height * p / 2], [width * p / 2, height * p / 2], (width, height), dtype="float32"
    )
    t = (np.arange(24) + 0.5) * math.pi / 24
    geometry = odl.applications.tomo.Parallel2dGeometry(
        odl.uniform_partition(0, math.pi, 24),
        odl.uniform_partition(-count * spacing / 2, count * spacing / 2, count),
    )
    transform = odl.applications.tomo.RayTransform(space, geometry, impl="astra_cpu")
    theirs = transform(space.element(x.numpy()[::-1].T.copy())).asarray()
    ours = Radon((height, width), t, count, spacing, pixel_size=p, method=method)(x).numpy()
    assert relative(ours, np.asarray(theirs)) < 0.02


@pytest.mark.parametrize("method", METHODS)
def test_scikit_image_agrees(method):
    transform = pytest.importorskip("skimage.transform")
    degrees = np.linspace(0, 170, 18)
    theirs = transform.radon(image().numpy(), theta=degrees, circle=True).T  # an odd N: their centre is ours
    ours = Radon((N, N), np.deg2rad(degrees), N, fov="disc", method=method)(image()).numpy()
    assert relative(ours, theirs) < 0.04

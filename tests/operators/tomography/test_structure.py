"""What the projection's structure gives, and what becomes of a detector that is too narrow."""

import math

import numpy as np
import pytest
import torch

from invgen import phantoms
from invgen.core.errors import DataError, DtypeError, ParameterError, ShapeError
from invgen.noise import Gaussian
from invgen.operators import FanBeam, Radon
from invgen.operators.tomography import joseph_torch
from invgen.operators.tomography.fourier import Convolution
from invgen.operators.tomography.rays import ParallelRays
from invgen.operators.tomography.redundancy import ray_weights

METHODS = ["fourier", "joseph"]


def white(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"detector_offset": 3.3},
        {"detector_spacing": 0.7, "pixel_size": 0.9},
        {"detector_count": 96},
        {"detector_count": 90, "detector_offset": -4.2},
        {"detector_count": 160, "fov": "disc", "detector_offset": 20.0},
    ],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_gram_is_one_convolution_and_equals_projecting_there_and_back(geometry, dtype, tolerance):
    A = Radon((96, 90), 61, **geometry)
    assert isinstance(A.gram, Convolution)
    x = white(2, 96, 90, dtype=dtype)
    expected = A.H(A(x))
    assert (A.gram(x) - expected).norm() / expected.norm() <= tolerance


@pytest.mark.parametrize(("method", "tolerance"), [("fourier", 2e-3), ("joseph", 1e-12)])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_a_truncated_detector_sees_the_middle_of_a_wide_one(method, tolerance, offset):
    """The Fourier method's detector is periodic: its ringing differs a little with the detector's length."""
    n, narrow, extra = 64, 40, 40
    x = phantoms.shepp_logan(n / 2).image((n, n), 1.0)
    wide = Radon((n, n), 50, narrow + 2 * extra, detector_offset=offset, method=method)(x)
    A = Radon((n, n), 50, narrow, detector_offset=offset, fov="image", method=method)
    middle = wide[:, extra:-extra]
    assert (A(x) - middle).norm() / middle.norm() <= tolerance


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("method", METHODS)
def test_a_narrow_detector_sees_the_disc_that_every_view_sees(method):
    A = Radon((40, 40), 30, 41, detector_offset=2.5, method=method)
    assert A.fov == "disc"
    ones = A.restrict(torch.ones(40, 40))
    x, y = (torch.arange(40) - 19.5), (torch.arange(40) - 19.5)
    distance = torch.hypot(x[None, :].abs() + 0.5, y[:, None].abs() + 0.5)
    assert torch.equal(ones.bool(), distance <= 41 / 2 - 2.5)
    assert not A(torch.ones(40, 40) - ones).any()
    assert torch.equal(A.H(white(30, 41)), A.restrict(A.H(white(30, 41))))


@pytest.mark.parametrize("radius", [12.0, 18.0, 23.0, 40.0])
def test_a_disc_of_any_radius_is_the_field_of_view(radius):
    A = Radon((40, 40), 30, 41, detector_offset=2.5, fov=radius, method="joseph")
    x = torch.arange(40) - 19.5
    distance = torch.hypot(x.abs()[None, :] + 0.5, x.abs()[:, None] + 0.5)
    assert torch.equal(A.restrict(torch.ones(40, 40)).bool(), distance <= radius)
    assert A.truncates == (radius > 41 / 2 - 2.5)
    assert A.subset([0, 1]).fov == radius
    image = A.rebuilt(A.angles, 2.5, "image")
    inside = A.restrict(white(40, 40))
    torch.testing.assert_close(A(inside), image(inside))


@pytest.mark.parametrize("offset", [9.0, -9.0, 0.0])
def test_shares_of_a_line_that_parallel_beams_measure_twice_sum_to_its_view(offset):
    t = torch.arange(60, dtype=torch.float64) * math.pi / 30
    g = Radon((40, 40), t, 31, detector_offset=offset, fov=24.5).geometry
    weights, u = ray_weights(g, True) / (math.pi / 30), g.bins()
    near = g.reach - 0.5
    both = u.abs() <= near
    again = weights[:, both].roll(30, 0).flip(1)  # half a turn later, at -u
    torch.testing.assert_close(weights[:, both] + again, torch.ones_like(again))
    torch.testing.assert_close(weights[:, ~both], torch.ones_like(weights[:, ~both]))


@pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"detector_spacing": 0.43},
        {"detector_spacing": 3.1},
        {"detector_count": 12, "detector_offset": 1.7, "fov": "image"},
        {"pixel_size": 0.01},
    ],
)
@pytest.mark.parametrize("shape", [(24, 24), (17, 30), (31, 4), (1, 9)])
def test_the_compiled_projector_is_the_formula(shape, geometry):
    t = torch.cat(
        [torch.arange(24) * math.pi / 12, torch.rand(9, generator=torch.Generator().manual_seed(0)) * 9]
    )
    A = Radon(shape, t.double(), method="joseph", **geometry)
    rays = ParallelRays(A.geometry)
    x, y = white(2, *shape), white(2, *A.range.shape)
    forward, adjoint = joseph_torch.forward(x, rays), joseph_torch.adjoint(y, rays)
    torch.testing.assert_close(A(x), forward, rtol=0, atol=1e-11 * float(forward.abs().max()))
    torch.testing.assert_close(A.H(y), adjoint, rtol=0, atol=1e-11 * float(adjoint.abs().max()))


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_batch_is_its_elements_to_the_bit_at_the_size_of_a_scan(method, threads, set_threads):
    set_threads(threads)
    A = Radon((128, 120), 90, method=method)
    x, y = white(3, 128, 120, dtype=torch.float32), white(3, *A.range.shape, dtype=torch.float32)
    assert torch.equal(A(x)[1], A(x[1]))
    assert torch.equal(A.H(y)[2], A.H(y[2]))
    assert torch.equal(A.gram(x)[1], A.gram(x[1]))
    assert torch.get_num_threads() == threads


def test_view_weights_sum_to_half_a_turn():
    torch.testing.assert_close(
        Radon((8, 8), 60).geometry.view_weights(), torch.full((60,), math.pi / 60, dtype=torch.float64)
    )
    random = torch.rand(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 7
    assert float(Radon((8, 8), random).geometry.view_weights().sum()) == pytest.approx(math.pi)


def test_views_seen_from_both_sides_share_their_weight():
    t = torch.arange(30, dtype=torch.float64) * math.pi / 30
    weights = Radon((8, 8), torch.cat([t, t + math.pi])).geometry.view_weights()
    assert float(weights.sum()) == pytest.approx(math.pi)
    torch.testing.assert_close(
        weights[:30] + weights[30:], torch.full((30,), math.pi / 30, dtype=torch.float64)
    )


def test_nothing_stands_for_a_missing_wedge():
    t = torch.arange(120, dtype=torch.float64) * math.pi / 180
    weights = Radon((8, 8), t).geometry.view_weights()
    torch.testing.assert_close(weights, torch.full((120,), math.pi / 180, dtype=torch.float64))


def test_sparse_views_are_no_missing_wedge():
    weights = Radon((8, 8), [0.0, 0.5, 1.2, 2.0]).geometry.view_weights()
    assert float(weights.sum()) == pytest.approx(math.pi)


@pytest.mark.parametrize("percent", [1.0, 5.0])
def test_the_noise_level_is_read_off_the_sinogram(percent):
    """To a fifth from one percent of the largest projection on, for each element of a batch."""
    A = Radon((128, 128), 90)
    x = phantoms.shepp_logan(64).image((128, 128), 1.0)
    clean = A(torch.stack([x, 2 * x]))
    std = percent / 100 * float(clean[0].max())
    y = torch.stack([Gaussian(std).sample(clean[0], 0), Gaussian(3 * std).sample(clean[1], 1)])
    expected = torch.tensor([std, 3 * std], dtype=torch.float64)
    torch.testing.assert_close(A.estimate_noise(y), expected, rtol=0.2, atol=0)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        (ShapeError, {"image_shape": (8,)}),
        (ShapeError, {"image_shape": (8, 0)}),
        (ShapeError, {"angles": []}),
        (ShapeError, {"angles": [[0.1, 0.2]]}),
        (ShapeError, {"image_shape": (8.7, 8)}),
        (ParameterError, {"angles": 0}),
        (ParameterError, {"angles": True}),
        (ParameterError, {"angles": 7.5}),
        (ParameterError, {"detector_count": 10.5}),
        (DataError, {"angles": [0.1, float("nan")]}),
        (DtypeError, {"angles": torch.tensor([1j])}),
        (DtypeError, {"angles": ["0", "1"]}),
        (DtypeError, {"angles": None}),
        (ShapeError, {"angles": [[0.1], [0.1, 0.2]]}),
        (ShapeError, {"image_shape": 8}),
        (ParameterError, {"pixel_size": "1"}),
        (ParameterError, {"pixel_size": 10**400}),
        (ParameterError, {"detector_spacing": np.ones(2)}),
        (ParameterError, {"detector_spacing": 1e-300}),
        (ParameterError, {"detector_offset": None}),
        (ParameterError, {"detector_offset": 1e17}),
        (ParameterError, {"pixel_size": 0.0}),
        (ParameterError, {"pixel_size": float("nan")}),
        (ParameterError, {"detector_spacing": -1.0}),
        (ParameterError, {"detector_offset": float("inf")}),
        (ParameterError, {"detector_count": 0}),
        (ParameterError, {"detector_count": 10, "detector_offset": 5.5}),
        (ParameterError, {"fov": "circle"}),
        (ParameterError, {"fov": 0.0}),
        (ParameterError, {"fov": float("nan")}),
        (ParameterError, {"method": "siddon"}),
        (TypeError, {"pixelsize": 1.0}),
    ],
)
def test_a_geometry_that_cannot_be_is_refused(kind, parameters):
    with pytest.raises(kind):
        Radon(**{"image_shape": (8, 8), "angles": 4, **parameters})


@pytest.mark.parametrize("given", [{"curved": "no"}, {"source_origin": "100"}, {"source_detector": None}])
def test_a_fan_that_cannot_be_is_refused_by_name(given):
    lengths = {"source_origin": 100.0, "source_detector": 150.0}
    with pytest.raises(ParameterError, match=next(iter(given))):
        FanBeam((8, 8), 4, **{**lengths, **given})


def test_numpy_counts_and_multiples_are_numbers():
    A = np.float32(2.0) * Radon((8, 8), np.int64(4))
    assert len(Radon((8, 8), np.int64(4)).angles) == 4
    x = torch.ones(8, 8)
    assert torch.equal(A(x), 2 * Radon((8, 8), 4)(x))


def test_a_list_of_angles_keeps_its_precision():
    t = [0.1, 1 / 3, 2.7]
    assert Radon((8, 8), t).angles.tolist() == t


def test_the_callers_angles_stay_the_callers():
    t = torch.linspace(0, 3, 9, dtype=torch.float64)
    A = Radon((16, 16), t)
    before = A.angles.clone()
    t += 1
    assert torch.equal(A.angles, before)

"""Known properties of radial and spiral trajectories, and of the weights of their samples."""

import math

import numpy as np
import pytest
import torch

from invgen.core.errors import DataError, DtypeError, ParameterError, ShapeError
from invgen.operators import NonCartesianMRI, trajectories
from invgen.operators.mri.trajectories import (
    density_compensation,
    golden_angle,
    koosh_ball,
    radial,
    spiral,
    to_cycles_per_pixel,
)

ALL = {
    "radial": radial(13, 16),
    "radial, odd": radial(6, 15, "uniform"),
    "radial, angle": radial(6, 15, 0.3),
    "koosh ball": koosh_ball(20, 16),
    "spiral": spiral(5, 60, 4.5),
    "spiral, angular": spiral(5, 60, 4.5, velocity="angular"),
    "spiral, variable density": spiral(3, 90, 6, power=2.5),
    "a sample": radial(1, 1),
}


@pytest.mark.parametrize("name", ALL)
def test_each_shot_has_a_sample_in_the_middle_and_none_beyond_half_a_cycle(name):
    k = ALL[name]
    assert k.dtype == torch.float64
    assert bool((k.norm(dim=-1).amin(1) == 0).all())
    assert float(k.norm(dim=-1).max()) <= 0.5 + 1e-12


def test_golden_angles_are_those_of_the_papers():
    assert math.degrees(golden_angle()) == pytest.approx(111.246, abs=5e-4)
    assert math.degrees(golden_angle(2)) == pytest.approx(68.754, abs=5e-4)
    assert math.degrees(golden_angle(7)) == pytest.approx(23.628, abs=5e-4)


def gaps(k):
    """Angles between neighboring spokes, which are lines."""
    angles = torch.atan2(k[:, 0, 0], k[:, 0, 1]) % math.pi
    angles = angles.sort().values
    return torch.cat([angles.diff(), angles[:1] + math.pi - angles[-1:]])


@pytest.mark.parametrize("spokes", [5, 21, 34, 55, 100])
def test_golden_spokes_leave_gaps_of_three_lengths_at_most(spokes):
    """Steinhaus' three-distance theorem; none is longer than twice the mean (Winkelmann et al. 2007)."""
    lengths = gaps(radial(spokes, 8))
    assert len(torch.unique((lengths * 1e9).round())) <= 3
    assert float(lengths.max()) < 2 * math.pi / spokes


def test_half_pi_n_spokes_are_dense_enough():
    n = 32
    ends = radial(math.ceil(math.pi / 2 * n), 2 * n, "uniform")[:, 0]
    assert float(ends.diff(dim=0).norm(dim=-1).max()) <= 1 / n
    fewer = radial(math.floor(math.pi / 2 * n) - 1, 2 * n, "uniform")[:, 0]
    assert float(fewer.diff(dim=0).norm(dim=-1).min()) > 1 / n


def test_ends_of_a_koosh_ball_cover_the_sphere_evenly():
    ends = 2 * koosh_ball(400, 8)[:, 0]
    torch.testing.assert_close(ends.norm(dim=-1), torch.ones(400, dtype=torch.float64))
    # lines through the origin: of an even density, the mean of the dyads is a third of the identity
    dyads = torch.einsum("ni,nj->ij", ends, ends) / 400
    torch.testing.assert_close(dyads, torch.eye(3, dtype=torch.float64) / 3, rtol=0, atol=0.01)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_samples_of_a_spiral_are_equally_far_apart(power):
    steps = spiral(2, 2000, 10, power=power).diff(dim=1).norm(dim=-1)[:, 50:]
    assert float(steps.max() / steps.min()) == pytest.approx(1, abs=0.01)


def test_samples_of_a_spiral_are_equally_far_apart_in_angle():
    k = spiral(2, 200, 10, velocity="angular")
    turned = torch.atan2(k[..., 0], k[..., 1]).diff(dim=1)[:, 1:] % (2 * math.pi)
    torch.testing.assert_close(turned, torch.full_like(turned, 20 * math.pi / 199))


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_turns_of_a_spiral_are_dense_enough(power):
    """``interleaves * turns = power N / 2``, for radii along any direction that are 1 / N apart."""
    n, interleaves = 32, 4
    k = spiral(interleaves, 4000, power * n / 2 / interleaves, power=power)
    radius, angle = k.norm(dim=-1), torch.atan2(k[..., 0], k[..., 1])
    crossing = radius[:, 1:][(angle[:, 1:] > 0) & (angle[:, :-1] < 0)]
    apart = crossing.sort().values.diff()
    assert float(apart.max()) == pytest.approx(1 / n, rel=0.05)


def test_interleaves_are_turned_against_each_other():
    k = torch.view_as_complex(spiral(5, 50, 3).flip(-1).contiguous())
    for i in range(5):
        torch.testing.assert_close(k[i], k[0] * np.exp(2j * math.pi * i / 5))


def test_units_are_converted():
    k = radial(3, 16)
    shape = (32, 48)
    torch.testing.assert_close(to_cycles_per_pixel(2 * math.pi * k, "rad/pixel", shape), k)
    torch.testing.assert_close(to_cycles_per_pixel(k * torch.tensor(shape), "cycles/fov", shape), k)
    # pixels of 2 mm and of 5 mm
    torch.testing.assert_close(to_cycles_per_pixel(k / 2e-3, "1/m", shape, (0.064, 0.096)), k)
    torch.testing.assert_close(to_cycles_per_pixel(k / 5e-3, "1/m", (32, 32), 0.16), k)
    torch.testing.assert_close(to_cycles_per_pixel((k / 5e-3).numpy(), "1/m", (32, 32), 0.16), k)


def test_errors_of_trajectories():
    with pytest.raises(ParameterError, match="spokes"):
        radial(0, 8)
    with pytest.raises(ParameterError, match="samples"):
        koosh_ball(3, 2.5)
    with pytest.raises(ParameterError, match=r"'golden', 'uniform' or a number"):
        radial(3, 8, "silver")
    with pytest.raises(ParameterError, match="turns"):
        spiral(3, 8, 0)
    with pytest.raises(ParameterError, match="power"):
        spiral(3, 8, 2, power=0.5)
    with pytest.raises(ParameterError, match="velocity"):
        spiral(3, 8, 2, velocity="fast")
    k = radial(3, 8)
    with pytest.raises(ParameterError, match="unit is"):
        to_cycles_per_pixel(k, "furlong", (8, 8))
    with pytest.raises(ParameterError, match="needs the field_of_view"):
        to_cycles_per_pixel(k, "1/m", (8, 8))
    with pytest.raises(ParameterError, match="positive size"):
        to_cycles_per_pixel(k, "1/m", (8, 8), -0.2)
    with pytest.raises(DtypeError, match=r"torch\.stack"):
        to_cycles_per_pixel(torch.view_as_complex(k), "rad/pixel", (8, 8))
    with pytest.raises(ShapeError, match=r"\(\.\.\., 3\)"):
        to_cycles_per_pixel(k, "rad/pixel", (8, 8, 8))


def test_samples_on_the_cartesian_grid_have_weight_one():
    for shape in [(6, 7), (3, 4, 5)]:
        axes = [(torch.arange(n, dtype=torch.float64) - n // 2) / n for n in shape]
        k = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
        w = density_compensation(k, shape, 3)
        torch.testing.assert_close(w, torch.ones(shape, dtype=torch.float64), rtol=1e-4, atol=1e-4)
        # taken twice, each counts for half
        twice = density_compensation(torch.stack([k, k]), shape, 3)
        torch.testing.assert_close(twice, torch.full_like(twice, 0.5), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("angle", ["uniform", "golden"])
def test_weights_of_spokes_are_the_areas_of_rings(angle):
    """``pi |k| dk / spokes``, in units of the area 1 / N^2 that a sample of the Cartesian grid has."""
    n, spokes, samples = 48, 90, 96
    k = radial(spokes, samples, angle)
    w = density_compensation(k, (n, n)).mean(0)
    radius = k[0].norm(dim=-1)
    inner = (radius > 4 / n) & (
        radius < 0.35
    )  # away from the middle, and from the ends beyond which is nothing
    area = math.pi * radius / samples / spokes * n**2
    torch.testing.assert_close(w[inner], area[inner], rtol=0.02, atol=0)


def test_no_weight_is_negative_nor_above_one():
    for k in (radial(7, 40), spiral(2, 300, 4), spiral(6, 300, 9, power=2)):
        w = density_compensation(k, (32, 32))
        assert 0 < float(w.min()) <= float(w.max()) <= 1 + 1e-3


def place(n):
    return torch.arange(n, dtype=torch.float64) - n // 2


@pytest.mark.parametrize(
    "k",
    [radial(101, 128, "uniform"), radial(144, 128), spiral(16, 600, 3), spiral(16, 600, 4, power=2)],
    ids=["uniform", "golden", "spiral", "variable density"],
)
def test_the_weighted_adjoint_is_the_inverse_where_samples_are_dense(k):
    """Of a bump as broad as a few pixels, whose spectrum ends within all these trajectories."""
    n = 64
    x = torch.exp(-((place(n)[:, None] - 9) ** 2 + (place(n) + 6) ** 2) / 2 / 4**2).to(torch.complex128)
    A = NonCartesianMRI((n, n), k)
    error = A.H(density_compensation(k, (n, n)) * A(x)) - x
    assert float(error.norm() / x.norm()) < 2e-3


def test_a_volume_is_recovered_from_a_koosh_ball():
    n = 12
    x = torch.exp(-(place(n)[:, None, None] ** 2 + (place(n)[:, None] - 1) ** 2 + place(n) ** 2) / 2 / 1.5**2)
    A = NonCartesianMRI((n, n, n), koosh_ball(400, 2 * n))
    w = A.density_compensation.value
    error = A.H(w * A(x.to(torch.complex128))) - x
    assert float(error.norm() / x.norm()) < 0.02


def test_weights_grow_with_those_of_sigpy():
    sigpy = pytest.importorskip("sigpy.mri")
    k = radial(90, 96, "uniform")
    theirs = sigpy.pipe_menon_dcf(48 * k.numpy(), (48, 48), max_iter=30, show_pbar=False)
    ours = density_compensation(k, (48, 48)).numpy()
    inner = (k.norm(dim=-1) < 0.45).numpy()  # their kernel reaches two grid points beyond the ends
    assert np.corrcoef(ours[inner], theirs[inner])[0, 1] > 0.97


def test_weights_grow_with_those_that_came_with_a_measured_spiral(measured_file):
    k, theirs = (np.load(measured_file(f"mri/octopus_ktraj{kind}.npy")) for kind in ("", "_dcf"))
    # the field of view is the phantom's own, for which these shots suffice
    k = to_cycles_per_pixel(np.stack([k.imag, k.real], -1), "1/m", (128, 128), 0.2)
    assert np.corrcoef(density_compensation(k, (128, 128)).numpy().ravel(), theirs.ravel())[0, 1] > 0.9


def test_errors_of_density_compensation():
    k = radial(3, 8)
    with pytest.raises(ParameterError, match="iterations"):
        density_compensation(k, (8, 8), 0)
    with pytest.raises(ParameterError, match="density_compensation expects a trajectory in cycles per pixel"):
        density_compensation(8 * k, (8, 8))
    with pytest.raises(ShapeError, match=r"\(H, W\)"):
        density_compensation(k, (8,))
    with pytest.raises(DataError, match="NaN"):
        density_compensation(torch.full_like(k, torch.nan), (8, 8))


def test_the_module_says_what_is_public():
    assert all(hasattr(trajectories, name) for name in trajectories.__all__)

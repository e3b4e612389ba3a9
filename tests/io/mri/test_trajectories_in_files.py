"""Samples along trajectories in ISMRMRD files: where they are, in whatever unit."""

import math

import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.errors import DataError, ParameterError
from invgen.io import open_scan

from .layouts import header, lines, random_complex, readout

GRID = (20, 24)
UNITS = {"cycles/pixel": (1, 1), "rad/pixel": (2 * math.pi,) * 2, "cycles/fov": (20, 24), "1/m": (500, 500)}


def radial(spokes=7, samples=16):
    """In cycles per pixel, (ky, kx)."""
    return ig.operators.trajectories.radial(spokes, samples).numpy()


def readouts(k, samples, extra=None, **counters):
    for i, path in enumerate(k):
        columns = path[:, ::-1] if extra is None else np.concatenate([path[:, ::-1], extra[i]], axis=1)
        yield readout(samples[:, i], trajectory=columns, kspace_encode_step_1=i, **counters)


@pytest.mark.parametrize("unit", UNITS)
def test_trajectory_is_in_cycles_per_pixel_in_the_order_of_the_image(write_ismrmrd, unit):
    """Pixels of 2 mm: 1/m are 500 cycles per pixel."""
    k, samples = radial(), random_complex((3, 7, 16))
    path = write_ismrmrd(readouts(k * UNITS[unit], samples), header(GRID, GRID, trajectory="radial"))
    with open_scan(path, trajectory_unit=unit) as scan:
        assert (scan.trajectory, scan.image_shape) == ("radial", GRID)
        read = scan.kspace()
        assert read.mask is None
        assert scan.acceleration == pytest.approx(20 * 24 / (7 * 16))
        assert scan.problem(coils="none").operator.range.shape == (3, 7, 16)
    np.testing.assert_array_equal(read.data.numpy(), samples)
    np.testing.assert_allclose(read.trajectory.numpy(), k, atol=1e-6)


def test_image_of_an_asymmetric_object_lies_as_it_was_measured(write_ismrmrd):
    """Samples of the direct sum, of a pixel that no flip or exchange of axes leaves in place."""
    k = radial(60, 32)
    rows, columns = np.meshgrid(np.arange(20) - 10, np.arange(24) - 12, indexing="ij")
    image = np.zeros(GRID)
    image[4, 15] = 1
    phase = k[..., 0, None] * rows[4, 15] + k[..., 1, None] * columns[4, 15]
    samples = np.exp(-2j * np.pi * phase[..., 0])[None]
    path = write_ismrmrd(readouts(k, samples), header(GRID, GRID, trajectory="radial"))
    with open_scan(path) as scan:
        found = ig.solvers.CG(iterations=10)(scan.problem()).x.abs()
    assert divmod(int(found.argmax()), 24) == (4, 15)


def test_density_column_is_left_out(write_ismrmrd):
    k, samples = radial(), random_complex((1, 7, 16))
    density = np.random.default_rng(0).random((7, 16, 1))
    path = write_ismrmrd(readouts(k, samples, density), header(GRID, GRID, trajectory="spiral"))
    with open_scan(path) as scan:
        assert any("density" in note for note in scan.notes)
        np.testing.assert_allclose(scan.kspace().trajectory.numpy(), k, atol=1e-6)


def test_readouts_of_different_lengths_are_one_row_of_samples(write_ismrmrd):
    k, samples = radial(3), random_complex((2, 3, 16))
    whole = list(readouts(k, samples))
    short = readout(samples[:, 0, :10], trajectory=k[0, :10, ::-1], discard_pre=1)
    with open_scan(write_ismrmrd([*whole, short], header(GRID, GRID, trajectory="other"))) as scan:
        read = scan.kspace()
    assert read.data.shape == (2, 3 * 16 + 9)
    np.testing.assert_array_equal(read.data[:, 48:].numpy(), samples[:, 0, 1:10])
    np.testing.assert_allclose(read.trajectory[48:].numpy(), k[0, 1:10], atol=1e-6)


@pytest.mark.parametrize("unit", UNITS)
def test_stack_of_stars_has_kz_of_its_second_step(write_ismrmrd, unit):
    scale = np.array(UNITS[unit])
    k, samples = radial(3), random_complex((1, 3, 16))
    readouts_ = [one for z in range(4) for one in readouts(k * scale, samples, kspace_encode_step_2=z)]
    text = header((6, *GRID), GRID, steps=((7, 0), (4, 1)), trajectory="radial")
    with open_scan(write_ismrmrd(readouts_, text), trajectory_unit=unit) as scan:
        assert scan.image_shape == (6, *GRID)
        read = scan.kspace()
    kz = read.trajectory[..., 0].unique()
    np.testing.assert_allclose(kz.numpy(), np.array([-1, 0, 1, 2]) / 6, atol=1e-6)
    np.testing.assert_allclose(read.trajectory[:3, :, 1:].numpy(), k, atol=1e-6)


def test_planes_outside_of_a_stack_are_refused(write_ismrmrd):
    text = header((6, *GRID), GRID, steps=((7, 0), (4, 1)), trajectory="radial")
    planes = [
        one
        for step in (3, 4)
        for one in readouts(radial(3), random_complex((1, 3, 16)), kspace_encode_step_2=step)
    ]
    path = write_ismrmrd(planes, text)
    with open_scan(path) as scan, pytest.raises(DataError, match="planes 5 to 6 of k-space, which has 6"):
        scan.kspace()


def test_volume_with_three_coordinates(write_ismrmrd):
    k = np.random.default_rng(0).uniform(-0.5, 0.5, (5, 8, 3))
    text = header((6, 6, 8), (6, 8), trajectory="other")
    with open_scan(write_ismrmrd(readouts(k, random_complex((1, 5, 8))), text)) as scan:
        np.testing.assert_allclose(scan.kspace().trajectory.numpy(), k, atol=1e-6)


def test_trajectory_in_another_unit_is_refused_with_the_usual_ones(write_ismrmrd):
    path = write_ismrmrd(
        readouts(radial() * 24, random_complex((1, 7, 16))), header(GRID, GRID, trajectory="radial")
    )
    with (
        open_scan(path) as scan,
        pytest.raises(DataError, match=r"12 cycles per pixel.*rad/pixel.*cycles/fov.*1/m"),
    ):
        scan.kspace()
    with pytest.raises(ParameterError, match="trajectory_unit should be one of"):
        open_scan(path, trajectory_unit="1/mm")


def test_damaged_or_missing_trajectories(write_ismrmrd):
    samples, text = random_complex((1, 7, 16)), header(GRID, GRID, trajectory="radial")
    with pytest.raises(DataError, match=r"says 'radial'.*\[0\] coordinates"):
        open_scan(write_ismrmrd(lines(samples), text, name="none.h5"))
    mixed = [*readouts(radial(), samples), readout(samples[:, 0], trajectory=np.zeros((16, 3)))]
    with pytest.raises(DataError, match=r"\[2, 3\] coordinates"):
        open_scan(write_ismrmrd(mixed, text, name="mixed.h5"))
    k = radial()
    k[2, 3] = np.nan
    with (
        open_scan(write_ismrmrd(readouts(k, samples), text, name="nan.h5")) as scan,
        pytest.raises(DataError, match="NaN"),
    ):
        scan.kspace()


def test_a_trajectory_in_rounded_single_precision_may_touch_the_edge(write_ismrmrd):
    k = np.full((1, 4, 2), 0.5 * (1 + 2e-6))
    k[:, 1:] = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 2))
    with open_scan(
        write_ismrmrd(readouts(k, random_complex((1, 1, 4))), header(GRID, GRID, trajectory="other"))
    ) as scan:
        assert float(scan.kspace().trajectory.max()) == 0.5
        assert isinstance(scan.problem().measurement, torch.Tensor)


class TestConstantAxes:
    """A coordinate that stays the same is no axis of the image."""

    @pytest.mark.parametrize("kz", [0.0, 0.25])
    @pytest.mark.parametrize("depth", [1, 6])
    def test_spirals_with_three_coordinates_are_plane(self, write_ismrmrd, depth, kz):
        k, samples = radial(), random_complex((1, 7, 16))
        text = header((depth, *GRID), GRID, trajectory="spiral", steps=((7, 0),))
        path = write_ismrmrd(readouts(k, samples, np.full((7, 16, 1), kz)), text)
        with open_scan(path) as scan:
            assert scan.image_shape == GRID
            assert not any("density" in note for note in scan.notes)
            assert any(note.startswith(f"kz is {kz:g} everywhere") for note in scan.notes) == (depth > 1)
            np.testing.assert_allclose(scan.kspace().trajectory.numpy(), k, atol=1e-6)

    @pytest.mark.parametrize("still", [0, 1, 2])
    def test_of_arrays_the_other_two_are_left(self, tmp_path, still):
        """Along kx, ky or kz."""
        moving = [axis for axis in (0, 1, 2) if axis != still]
        k = np.full((5, 40, 3), 0.125)
        k[..., moving] = np.random.default_rng(0).uniform(-0.5, 0.5, (5, 40, 2))
        np.save(tmp_path / "y.npy", random_complex((5, 40)))
        given = {"axes": "shot,sample", "trajectory": k}
        shape = [16, 14, 12]  # z, y, x
        fov = [0.16, 0.28, 0.36]
        expected = [2 - axis for axis in reversed(moving)]
        with open_scan(tmp_path / "y.npy", **given, matrix=tuple(shape), field_of_view=fov) as scan:
            assert scan.image_shape == tuple(shape[i] for i in expected)
            assert scan.pixel_size == pytest.approx([1000 * fov[i] / shape[i] for i in expected])
            assert f"k{'xyz'[still]} is 0.125 everywhere: images have 2 axes" in scan.notes
            np.testing.assert_array_equal(scan.kspace().trajectory.numpy(), k[..., moving[::-1]])
        with open_scan(tmp_path / "y.npy", **given, matrix=(8, 10)) as scan:
            assert scan.image_shape == (8, 10)

    @pytest.mark.parametrize("moving", [[], [0]])
    def test_one_axis_is_no_image(self, tmp_path, moving):
        k = np.zeros((3, 20, 2))
        k[..., moving] = np.linspace(-0.5, 0.5, 20)[None, :, None]
        np.save(tmp_path / "y.npy", random_complex((3, 20)))
        with pytest.raises(
            DataError, match=f"moves along {len(moving)} of the axes ky, kx, and an image takes two"
        ):
            open_scan(tmp_path / "y.npy", axes="shot,sample", trajectory=k, matrix=(8, 8))

    def test_a_volume_stays_one(self, tmp_path):
        k = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 20, 3))
        np.save(tmp_path / "y.npy", random_complex((3, 20)))
        with open_scan(tmp_path / "y.npy", axes="shot,sample", trajectory=k, matrix=(4, 6, 8)) as scan:
            assert (scan.image_shape, scan.notes) == ((4, 6, 8), ())

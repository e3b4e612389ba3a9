"""Where MR images are in space: a point of the object lies at its place, whatever was prescribed."""

import nibabel
import numpy as np
import pydicom
import pytest
import torch

import invgen as ig
from invgen.io import open_scan

from .layouts import header, readout

PIXEL, THICKNESS = 2.0, 2.0


def rotation(seed):
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


def directed(one, axes, position):
    """A readout with directions (rows: read, phase, slice) and position, LPS in mm."""
    one.position[:] = position
    one.read_dir[:], one.phase_dir[:], one.slice_dir[:] = axes
    return one


def signal(points, frequencies, center, axes):
    """k-space of points, ``sum exp(-2 pi i k . r)``, r from the center along the axes, k in cycles per mm."""
    places = [(np.asarray(point) - center) @ np.transpose(axes) for point in points]
    grid = np.meshgrid(*frequencies[::-1], indexing="ij")  # (z,) y, x
    return sum(
        np.exp(-2j * np.pi * sum(k * r for k, r in zip(grid[::-1], place, strict=False))) for place in places
    )


def steps(n):
    """Frequencies of n pixels."""
    return (np.arange(n) - n // 2) / (n * PIXEL)


def stack_of(points, centers, axes, order, height=12, width=10):
    """Readouts of slices, one point in each; `order` has the counter of each, and x is oversampled twice."""
    for counter in range(len(order)):
        k = order.index(counter)
        kspace = signal([points[k]], (steps(2 * width), steps(height)), centers[k], axes)
        for y in range(height):
            yield directed(readout(kspace[None, y], kspace_encode_step_1=y, slice=counter), axes, centers[k])


def brightest(volume):
    """Indices of the largest entry of each (H, W)."""
    return [np.unravel_index(np.argmax(image), image.shape) for image in volume]


@pytest.fixture
def oblique(write_ismrmrd, tmp_path):
    """Write five oblique slices, counted in an interleaved order; the file, and the point in each."""

    def write(seed=0, order=(0, 3, 1, 4, 2), mirrored=False):
        axes = rotation(seed).T
        if mirrored:
            axes[2] *= -1
        rng = np.random.default_rng(seed)
        centers = np.array([15.0, -8.0, 40.0]) + 3.5 * np.arange(5)[:, None] * axes[2]
        # on pixels, so that a point is one of them
        places = rng.integers(-4, 5, (5, 2)) * PIXEL
        points = centers + places @ axes[:2]
        readouts, text = stack_of(points, centers, axes, list(order)), header((12, 20), (12, 10), PIXEL)
        path = write_ismrmrd(readouts, text, f"scan-{len(list(tmp_path.iterdir()))}.h5")
        return path, points

    return write


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_points_lie_where_they_were(oblique, tmp_path, seed, mirrored):
    path, points = oblique(seed, mirrored=mirrored)
    ig.reconstruct(path, tmp_path / "x.nii.gz", solver="zero-filled")
    found = nibabel.load(tmp_path / "x.nii.gz")
    volume = np.asarray(found.dataobj).transpose(2, 1, 0)
    for k, (i, j) in enumerate(brightest(volume)):
        place = (found.affine @ [j, i, k, 1])[:3] * [-1, -1, 1]
        np.testing.assert_allclose(place, points[k], atol=1e-4)
    np.testing.assert_allclose(found.header.get_zooms(), (PIXEL, PIXEL, 3.5), rtol=1e-5)


def test_a_series_has_them_too(oblique, tmp_path):
    path, points = oblique(seed=5)
    ig.reconstruct(path, tmp_path / "series", solver="zero-filled", image_format="dicom")
    for file in map(pydicom.dcmread, (tmp_path / "series").iterdir()):
        ((i, j),) = brightest(file.pixel_array[None])
        right, down = np.array(file.ImageOrientationPatient, float).reshape(2, 3)
        rows, columns = map(float, file.PixelSpacing)
        place = np.array(file.ImagePositionPatient, float) + j * columns * right + i * rows * down
        np.testing.assert_allclose(place, points[file.InstanceNumber - 1], atol=1e-5)


def test_interleaved_slices_are_sorted_by_position(oblique):
    path, _ = oblique(order=(0, 3, 1, 4, 2))
    with open_scan(path) as scan:
        assert (
            "slices are in the order of their positions, in which the file counts them 0, 3, 1, 4, 2"
            in scan.notes
        )
        across = scan.contents.orientation.centers @ scan.contents.orientation.directions[2]
        np.testing.assert_allclose(np.diff(across), 3.5, rtol=1e-5)
    path, _ = oblique(order=(0, 1, 2, 3, 4))
    with open_scan(path) as scan:
        assert not any("positions" in note for note in scan.notes)


@pytest.mark.parametrize("shape", [(6, 8, 10), (5, 9, 7)])
def test_points_of_a_slab(write_ismrmrd, tmp_path, shape):
    depth, height, width = shape
    axes, center = rotation(1).T, np.array([3.0, 4.0, -5.0])
    place = np.array([2, -3, 1]) * PIXEL
    kspace = signal([center + place @ axes], [steps(n) for n in (width, height, depth)], center, axes)
    readouts = [
        directed(readout(kspace[z, y][None], kspace_encode_step_1=y, kspace_encode_step_2=z), axes, center)
        for z in range(depth)
        for y in range(height)
    ]
    path = write_ismrmrd(readouts, header(shape, (height, width), PIXEL))
    ig.reconstruct(path, tmp_path / "x.nii", solver="zero-filled")
    found = nibabel.load(tmp_path / "x.nii")
    j, i, k = np.unravel_index(np.argmax(np.asarray(found.dataobj)), found.shape)
    seen = (found.affine @ [j, i, k, 1])[:3] * [-1, -1, 1]
    np.testing.assert_allclose(seen, center + place @ axes, atol=1e-4)
    # slices that are chosen keep their places
    ig.reconstruct(path, tmp_path / "y.nii", solver="zero-filled", slices=slice(1, 5, 2))
    chosen = nibabel.load(tmp_path / "y.nii")
    np.testing.assert_allclose(chosen.affine @ [0, 0, 1, 1], found.affine @ [0, 0, 3, 1], atol=1e-4)


@pytest.mark.parametrize("what", ["none", "one position", "several"])
def test_what_states_no_place_is_axial(write_ismrmrd, tmp_path, what):
    kspace = torch.randn(2, 1, 8, 8, dtype=torch.complex64).numpy()
    axes = [np.zeros((3, 3))] * 2 if what == "none" else [rotation(0).T] * 2
    if what == "several":
        axes = [rotation(0).T, rotation(1).T]
    readouts = [
        directed(readout(kspace[k, :, y], kspace_encode_step_1=y, slice=k), axes[k], (1, 2, 3))
        for k in range(2)
        for y in range(8)
    ]
    path = write_ismrmrd(readouts, header((8, 8), (8, 8), PIXEL))
    with open_scan(path) as scan:
        assert scan.contents.orientation is None
        assert any(("one position" in note) for note in scan.notes) == (what == "one position")
    ig.reconstruct(path, tmp_path / "x.nii", solver="zero-filled")
    found = nibabel.load(tmp_path / "x.nii")
    np.testing.assert_allclose(found.affine[:3, :3], np.diag([-PIXEL, -PIXEL, THICKNESS]))
    assert int(found.header["sform_code"]) == 2

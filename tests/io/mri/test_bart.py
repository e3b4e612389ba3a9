"""Files of BART, written as its documentation has them."""

import numpy as np
import pytest

import invgen as ig
from invgen.core.errors import DataError, FileError, InvgenError, ParameterError
from invgen.io import open_scan
from invgen.operators.mri.trajectories import radial

from .layouts import centered_ifft, random_complex


@pytest.fixture
def cfl(tmp_path):
    """Write an array by BART's dimensions; gives the path without a suffix."""

    def write(array, name="scan", text=None, cut=0):
        array = np.asarray(array)
        sizes = " ".join(map(str, (*array.shape, *[1] * (16 - array.ndim))))
        (tmp_path / f"{name}.hdr").write_text(text or f"# Dimensions\n{sizes}\n# Creator\nBART 0.9.00\n")
        content = array.astype("<c8").tobytes(order="F")
        (tmp_path / f"{name}.cfl").write_bytes(content[: len(content) - cut])
        return tmp_path / name

    return write


@pytest.mark.parametrize("suffix", ["", ".cfl", ".hdr"])
def test_the_grid_is_read_by_each_name(cfl, suffix):
    kspace = random_complex((10, 8, 1, 3))  # READ, PHS1, PHS2, COIL
    with open_scan(f"{cfl(kspace)}{suffix}") as scan:
        assert (scan.format, scan.coils, scan.slices, scan.image_shape) == ("bart", 3, 1, (8, 10))
        found = scan.kspace(0).data.numpy()
        assert {path.name for path in scan.files} == {"scan.cfl", "scan.hdr"}
    assert np.array_equal(found, kspace[:, :, 0].transpose(2, 1, 0))


def test_every_dimension_has_its_meaning(cfl):
    """READ 10, PHS1 8, PHS2 1, COIL 2, TE 3, TIME 4, SLICE 5."""
    shape = (10, 8, 1, 2, 1, 3, 1, 1, 1, 1, 4, 1, 1, 5)
    kspace = random_complex(shape)
    path = cfl(kspace)
    with open_scan(path, index=1) as scan:
        assert (scan.coils, scan.slices, scan.repetitions) == (2, 5, 4)
        found = scan.kspace(3, 2).data.numpy()
    expected = kspace[:, :, 0, :, 0, 1, 0, 0, 0, 0, 2, 0, 0, 3].transpose(2, 1, 0)
    assert np.array_equal(found, expected)
    with pytest.raises(ParameterError, match=r"its axis echo has 3 entries\. Choose one, index="):
        open_scan(path)


def test_volumes(cfl):
    kspace = random_complex((6, 5, 4))
    with open_scan(cfl(kspace)) as scan:
        assert scan.image_shape == (4, 5, 6)
        assert np.array_equal(scan.kspace().data[0].numpy(), kspace.transpose(2, 1, 0))


def test_the_image_is_the_transform_of_both_axes(cfl):
    """READ is along the columns of the image."""
    kspace = random_complex((10, 8))
    found = ig.reconstruct(cfl(kspace), solver="zero-filled").images[0].numpy()
    np.testing.assert_allclose(found, centered_ifft(kspace.T), atol=1e-6)


@pytest.mark.parametrize("kind", ["cfl", "bare", "npy"])
def test_a_trajectory_is_in_cycles_per_field_of_view(cfl, tmp_path, kind):
    """Of its three coordinates the last one is zero in the plane."""
    k = radial(25, 32).numpy()  # shots, samples, (ky, kx)
    place = np.array([3, -2])  # rows, columns from the middle
    data = np.exp(-2j * np.pi * (k @ place)).T[None]  # 1, samples, shots
    trajectory = np.zeros((3, *data.shape[1:]))
    trajectory[0], trajectory[1] = 16 * k[..., 1].T, 16 * k[..., 0].T
    path = cfl(data)
    name = cfl(trajectory, "traj")
    given = {"cfl": f"{name}.cfl", "bare": str(name), "npy": str(tmp_path / "traj.npy")}[kind]
    np.save(tmp_path / "traj.npy", trajectory)
    with open_scan(path, trajectory=given) as scan:
        assert scan.image_shape == (16, 16)
        found = scan.kspace().trajectory.numpy()
        image = abs(scan.problem().operator.H(scan.kspace().data[0]))
    np.testing.assert_allclose(found, k, atol=1e-6)
    assert np.unravel_index(int(image.argmax()), image.shape) == (8 + 3, 8 - 2)


def test_a_mask_says_what_is_sampled(cfl):
    kspace, mask = random_complex((10, 8, 1, 2)), np.arange(8) % 2 == 0
    path = cfl(kspace)
    with open_scan(path, mask=str(cfl(mask[None].astype(float), "pattern"))) as scan:
        found = scan.kspace()
    assert np.array_equal(found.mask.expand(8, 10).numpy(), np.broadcast_to(mask[:, None], (8, 10)))
    with pytest.raises(DataError, match=r"the mask has the sizes \(3, 8\); k-space has x,y of \(10, 8\)"):
        open_scan(path, mask=str(cfl(np.ones((3, 8)), "wrong")))


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "is empty"),
            ("nothing", "no header of BART"),
            ("# Dimensions\n", "no header of BART"),
            ("# Dimensions\n10 x 8\n", "no header of BART"),
            ("# Dimensions\n-10 8\n", "no header of BART"),
            ("# Dimensions\n0 8\n", "claims 0 x 8 numbers"),
            ("# Dimensions\n" + "9999999999999 " * 16, "claims .* numbers, which no scan has"),
            ("# Dimensions\n" + "2 " * 17, "up to 16 dimensions"),
            ("# Dimensions\n" + "9" * 5000, "no header of BART"),
            ("# Dimensions\n10 9\n", r"scan.cfl is truncated: it has 640 bytes, and 10 x 9 .* are 720"),
            ("# Dimensions\n10 7\n", "another file than its header is of"),
        ],
    )
    def test_headers(self, cfl, text, message):
        path = cfl(random_complex((10, 8)), text=text or "\0")
        if not text:
            path.with_suffix(".hdr").write_bytes(b"")
        with pytest.raises(FileError, match=message):
            open_scan(path)

    def test_missing_parts(self, cfl):
        path = cfl(random_complex((10, 8)))
        path.with_suffix(".hdr").unlink()
        with pytest.raises(FileError, match=r"scan.hdr does not exist"):
            open_scan(path)
        with pytest.raises(FileError, match=r"scan.cfl is truncated"):
            open_scan(cfl(random_complex((10, 8)), cut=3))

    @pytest.mark.parametrize(
        ("shape", "options", "message"),
        [
            ((10, 8, 1, 2, 2), {}, "2 entries along MAPS, which have no place in a scan"),
            ((1, 8, 4), {}, "1 entries along READ: they lie along a trajectory; give it"),
            ((10, 8), {"trajectory": np.zeros((3, 8, 4))}, "leave out trajectory"),
            ((10, 8), {"axes": "y,x"}, "of known axes; leave out axes"),
            ((1, 8, 4), {"trajectory": np.zeros((3, 8, 5))}, r"the trajectory has the shape \(3, 8, 5\)"),
            ((1, 8, 4), {"trajectory": 1j * np.ones((3, 8, 4))}, "imaginary parts are not zero"),
            ((10, 8), {"angle_unit": "deg"}, "angle_unit does not apply"),
        ],
    )
    def test_what_does_not_fit(self, cfl, shape, options, message):
        with pytest.raises(InvgenError, match=message):
            open_scan(cfl(random_complex(shape)), **options)

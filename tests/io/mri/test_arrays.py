"""k-space in plain arrays, whatever the order of the axes and the way of writing complex numbers."""

import h5py
import numpy as np
import pytest
import scipy.io
import torch

import invgen as ig
from invgen.core.errors import DataError, FileError, InvgenError, ParameterError
from invgen.io import Scan, open_scan

from .layouts import centered_fft, centered_ifft, random_complex

NUMBERS = random_complex((2, 3, 6, 8))  # slice, coil, y, x


@pytest.fixture
def save(tmp_path):
    """Write arrays in a format; gives the path and the dataset to name."""

    def write(kind, **arrays):
        path = tmp_path / f"a.{kind}"
        name = next(iter(arrays))
        if kind == "npy":
            np.save(path, arrays[name])
            return path, None
        if kind == "mat":
            scipy.io.savemat(path, arrays)
        elif kind == "h5":
            with h5py.File(path, "w") as file:
                for key, value in arrays.items():
                    file[key] = value
        else:  # MATLAB 7.3: HDF5 behind a block of 512 bytes, axes reversed, complex as (real, imag)
            path = tmp_path / "b.mat"
            with h5py.File(path, "w", userblock_size=512) as file:
                for key, value in arrays.items():
                    value = np.asarray(value).T
                    if np.iscomplexobj(value):
                        pairs = np.empty(value.shape, [("real", "f8"), ("imag", "f8")])
                        pairs["real"], pairs["imag"] = value.real, value.imag
                        value = pairs
                    file[key] = value
            with path.open("r+b") as file:
                file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
        return path, name

    return write


@pytest.mark.parametrize("kind", ["npy", "h5", "mat", "mat73"])
@pytest.mark.parametrize(
    ("axes", "array"),
    [
        ("slice,coil,y,x", NUMBERS),
        ("y,x,coil,slice", NUMBERS.transpose(2, 3, 1, 0)),
        ("x,slice,Channel,y", NUMBERS.transpose(3, 0, 1, 2)),
        ("slice, coil, y, x, complex", NUMBERS.view(np.float32).reshape(2, 3, 6, 8, 2)),
        ("complex,y,x,coil,slice", np.stack([NUMBERS.real, NUMBERS.imag]).transpose(0, 3, 4, 2, 1)),
    ],
)
def test_axes_in_any_order(save, kind, axes, array):
    path, name = save(kind, kspace=array)
    with open_scan(path, dataset=name, axes=axes) as scan:
        assert (scan.format, scan.slices, scan.coils, scan.image_shape) == ("kspace", 2, 3, (6, 8))
        assert (scan.unit, scan.pixel_size) == ("pixel", (1.0, 1.0))
        for slice in range(2):
            np.testing.assert_array_equal(scan.kspace(slice).data.numpy(), NUMBERS[slice])


def test_volumes_repetitions_and_a_single_coil(save):
    path, _ = save("npy", k=NUMBERS)
    with open_scan(path, axes="repetition,z,y,x") as scan:
        assert (scan.repetitions, scan.slices, scan.coils, scan.image_shape) == (2, 1, 1, (3, 6, 8))
        np.testing.assert_array_equal(scan.kspace(0, 1).data.numpy(), NUMBERS[1][None])
        assert scan.problem(0, 1).operator.domain.shape == (3, 6, 8)
    np.save(path, NUMBERS[0, 0])
    with open_scan(path, axes="y,x") as scan:
        np.testing.assert_array_equal(scan.kspace().data.numpy(), NUMBERS[:1, 0])


@pytest.mark.parametrize(("real", "imaginary"), [("r", "i"), ("real", "imag")])
def test_compounds_of_real_and_imaginary_part(tmp_path, real, imaginary):
    pairs = np.empty(NUMBERS.shape, [(real, "f8"), (imaginary, "f8")])
    pairs[real], pairs[imaginary] = NUMBERS.real, NUMBERS.imag
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["k"] = pairs
    with open_scan(tmp_path / "a.h5", dataset="k", axes="slice,coil,y,x") as scan:
        assert scan.kspace(1).data.dtype == torch.complex64
        np.testing.assert_array_equal(scan.kspace(1).data.numpy(), NUMBERS[1])


def test_what_is_zero_in_all_coils_is_not_sampled(save):
    array = NUMBERS[0].copy()
    array[:, ::2], array[1, 1] = 0, 0
    path, _ = save("npy", k=array)
    with open_scan(path, axes="coil,y,x") as scan:
        assert scan.kspace().mask.all(dim=1).tolist() == [False, True] * 3
        assert scan.acceleration == 2.0


@pytest.mark.parametrize(
    "mask", [np.arange(8) % 2, (np.arange(48).reshape(6, 8) % 5 > 0), (np.arange(8) % 2 > 0)]
)
def test_mask_leaves_out_what_it_does_not_sample(save, mask):
    """By name, with its axes as k-space has them, or as an array; or one entry for each column."""
    stored = mask.T if mask.ndim == 2 else mask
    path, name = save("h5", k=NUMBERS.transpose(3, 2, 1, 0), mask=stored)
    expected = np.broadcast_to(mask != 0, (6, 8))
    for given in ("mask", stored):
        with open_scan(path, dataset=name, axes="x,y,coil,slice", mask=given) as scan:
            read = scan.kspace(1)
            np.testing.assert_array_equal(read.mask.expand(6, 8).numpy(), expected)
            np.testing.assert_array_equal(read.data.numpy(), NUMBERS[1] * expected)
            assert any("left out by the mask" in line for line in read.report)


def test_masks_of_another_shape_or_kind(save):
    path, name = save("h5", k=NUMBERS, mask=np.ones(6), none=np.zeros(8), text=np.array([b"yes"] * 8))
    for mask, words in [
        ("mask", r"shape \(6,\); k-space has y,x of \(6, 8\).*8 columns"),
        (np.ones((8, 6)), r"\(8, 6\)"),
        ("none", "samples nothing"),
        ("text", "real numbers"),
    ]:
        with pytest.raises(DataError, match=words):
            open_scan(path, dataset=name, axes="slice,coil,y,x", mask=mask)
    with pytest.raises(FileError, match="no dataset 'nowhere'"):
        open_scan(path, dataset=name, axes="slice,coil,y,x", mask="nowhere")


@pytest.mark.parametrize(("axis", "number"), [("x", -1), ("y", -2)])
def test_oversampling_is_removed_along_the_axis_that_is_named(save, axis, number):
    path, _ = save("npy", k=NUMBERS[0])
    with open_scan(path, axes="coil,y,x", remove_oversampling=axis) as scan:
        assert scan.encoded_shape == (6, 8)
        read = scan.kspace()
        n = NUMBERS.shape[number]
        assert scan.image_shape == read.image_shape == ((6, 4) if axis == "x" else (3, 8))
    start = n // 2 - n // 4
    image = np.moveaxis(
        np.moveaxis(centered_ifft(NUMBERS[0], (number,)), number, 0)[start : start + n // 2], 0, number
    )
    np.testing.assert_allclose(read.data.numpy(), centered_fft(image, (number,)), atol=1e-6)


def test_oversampling_of_what_is_no_readout(save):
    array = NUMBERS[0].copy()
    array[:, 1, 3] = 0
    path, _ = save("npy", k=array)
    with (
        open_scan(path, axes="coil,y,x", remove_oversampling="x") as scan,
        pytest.raises(DataError, match="end to end"),
    ):
        scan.kspace()
    with pytest.raises(ParameterError, match=r"remove_oversampling='z'.*one of y, x"):
        open_scan(path, axes="coil,y,x", remove_oversampling="z")


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ("coil,y", "does not fit .* 3 axes"),
        ("coil,y,y", "does not fit"),
        ("coil,y,wave", "does not fit"),
        ("coil,slice,y", "is no k-space"),
        ("coil,y,sample", "is no k-space"),
        ("shot,y,x", "is no k-space"),
        ("slice,z,x", "is no k-space"),
        ("coil,shot,sample", "trajectory=..."),
    ],
)
def test_axes_that_are_none(save, axes, words):
    path, _ = save("npy", k=NUMBERS[0])
    with pytest.raises(ParameterError, match=words):
        open_scan(path, axes=axes)


def test_axes_of_projections_stay_those_of_projections(tmp_path):
    np.save(tmp_path / "ct.npy", np.ones((5, 3, 4)))
    with open_scan(tmp_path / "ct.npy", axes="angle,y,x", angles=np.arange(5)) as scan:
        assert isinstance(scan, Scan)
    with pytest.raises(ParameterError, match="a CT scan, to which matrix, mask does not apply"):
        open_scan(tmp_path / "ct.npy", axes="angle,y,x", mask="m", matrix=(3, 3))
    np.save(tmp_path / "k.npy", NUMBERS[0])
    with pytest.raises(ParameterError, match='axes="coil,y,x"'):
        open_scan(tmp_path / "k.npy")
    with pytest.raises(ParameterError, match="angles, flats does not apply"):
        open_scan(tmp_path / "k.npy", axes="coil,y,x", angles=np.ones(3), flats="f")


def test_numbers_that_are_not_complex(save, tmp_path):
    for array, axes, words in [
        (NUMBERS[0].real, "coil,y,x", "complex. If real and imaginary"),
        (NUMBERS[0].real, "coil,y,complex", "is no k-space"),
        (NUMBERS[0].real, "y,x,complex", "holds 8 of float32"),
        (NUMBERS[0, :0], "coil,y,x", "is empty"),
        (np.full((3, 6, 8), 1e300 + 0j), "coil,y,x", "NaN or infinite"),
        (np.zeros((3, 6, 8), complex), "coil,y,x", "not measured"),
    ]:
        path, _ = save("npy", k=array)
        with pytest.raises((DataError, ParameterError), match=words), open_scan(path, axes=axes) as scan:
            scan.kspace()
    (tmp_path / "a.tiff").write_bytes(b"II*\x00" + bytes(100))
    with pytest.raises(FileError, match="no complex numbers"):
        open_scan(tmp_path / "a.tiff", axes="coil,y,x")


def path_of(shots=5, samples=16):
    """A trajectory (shots, samples, 2) in cycles per pixel, (ky, kx), and samples (coils, shots, samples)."""
    return ig.operators.trajectories.radial(shots, samples).numpy(), random_complex((3, shots, samples))


@pytest.mark.parametrize("form", ["complex", "last", "first", "file", "array"])
@pytest.mark.parametrize("kind", ["h5", "mat", "mat73"])
def test_trajectories_in_any_form(save, tmp_path, kind, form):
    """With the axes of k-space, here sample and shot; components are kx, ky as in ISMRMRD."""
    k, samples = path_of()
    stored = (k[..., 1] + 1j * k[..., 0]).T if form != "last" else k[..., ::-1].transpose(1, 0, 2)
    stored = k[..., ::-1].transpose(2, 1, 0) if form == "first" else stored
    path, name = save(kind, data=samples.transpose(2, 1, 0), k=stored)
    np.save(tmp_path / "k.npy", stored)
    given = {"file": str(tmp_path / "k.npy"), "array": stored}.get(form, "k")
    with open_scan(path, dataset=name, axes="sample,shot,coil", trajectory=given, matrix=(16, 18)) as scan:
        assert (scan.trajectory, scan.image_shape, scan.coils) == ("non-cartesian", (16, 18), 3)
        read = scan.kspace()
    np.testing.assert_allclose(read.trajectory.numpy(), k, atol=1e-15)
    np.testing.assert_array_equal(read.data.numpy(), samples)


@pytest.mark.parametrize(
    ("unit", "scale", "options"),
    [
        ("rad/pixel", 2 * np.pi, {"matrix": (16, 24)}),
        ("cycles/fov", (16, 24), {}),
        ("1/m", (16 / 0.32, 24 / 0.24), {"field_of_view": (0.32, 0.24)}),
    ],
)
def test_units_of_trajectories_and_the_matrix_that_they_imply(save, unit, scale, options):
    k, samples = path_of(40)
    k[0, 0] = -0.5, 0.5
    path, _ = save("npy", data=samples[0])
    stored = (k * scale)[..., ::-1].copy()
    more = {"trajectory": stored, "trajectory_unit": unit, **options}
    samples = random_complex((40, 16))
    np.save(path, samples)
    with open_scan(path, axes="shot,sample", **more) as scan:
        assert scan.image_shape == (16, 24)
        np.testing.assert_allclose(scan.kspace().trajectory.numpy(), k, atol=1e-12)
        assert scan.coils == 1
        assert scan.problem().operator.range.shape == (40, 16)
        assert scan.pixel_size == pytest.approx((20, 10) if unit == "1/m" else (1, 1))


def test_trajectories_that_do_not_fit(save):
    k, samples = path_of()
    path, _ = save("npy", data=samples)
    common = {"axes": "coil,shot,sample", "matrix": (16, 16)}
    bad = k.copy()
    bad[0, 0] = np.nan
    for options, words in [
        ({"trajectory": k[:4]}, r"\(4, 16, 2\); k-space has shot,sample of \(5, 16\)"),
        ({"trajectory": k[..., 0]}, "not complex"),
        ({"trajectory": k * 16}, "beyond the half cycle"),
        ({"trajectory": bad}, "NaN"),
        ({"trajectory": k, "matrix": (16, 16, 16)}, "matrix="),
        ({"trajectory": k, "matrix": (16, 16.5)}, "positive whole number"),
        ({"trajectory": k, "matrix": 16}, "positive whole number"),
        ({"trajectory": k, "matrix": None}, "does not determine the size"),
        ({"trajectory": k, "trajectory_unit": "1/m"}, "needs field_of_view"),
        ({"trajectory": k, "trajectory_unit": "1/m", "field_of_view": -1}, "field_of_view is a positive"),
        ({"trajectory": k * 1e6, "trajectory_unit": "cycles/fov", "matrix": None}, "is its unit"),
        ({"trajectory": k, "remove_oversampling": "x"}, "for Cartesian"),
        ({"trajectory": k, "axes": "coil,y,x"}, "has no trajectory"),
    ]:
        with pytest.raises(InvgenError, match=words):
            open_scan(path, **(common | options))


def test_brain_is_undersampled_by_eight_around_a_calibrated_middle(measured_file):
    with open_scan(measured_file("mri/sigpy_cartesian_ksp.npy"), axes="coil,y,x") as scan:
        assert (scan.coils, scan.image_shape) == (8, (230, 180))
        assert scan.acceleration == pytest.approx(8.04, abs=0.01)
        assert scan.info()["calibration_region"] == [24, 24]


def test_phantom_that_is_oversampled_along_x_fills_its_field_of_view(measured_file):
    """Outside of the field of view there is air, of 2 % of the energy at most: the phantom is round."""
    path, options = (
        measured_file("mri/twixtools_gre_phantom_2ch.h5"),
        {"dataset": "kspace", "axes": "coil,y,x"},
    )
    with open_scan(path, **options) as scan:
        whole = scan.kspace().data
    with open_scan(path, remove_oversampling="x", **options) as scan:
        kept = scan.kspace().data
        assert scan.image_shape == (160, 160)
    assert 0.98 < float(kept.norm() / whole.norm()) ** 2 < 1


def test_spiral_of_a_phantom_is_read_with_the_field_of_view_that_it_had(measured_file):
    """The ACR phantom is 190 mm across, a quarter of the 384 mm squared ((190 / 384)^2 pi / 4 = 0.19)."""
    path = measured_file("mri/octopus_acrph_noncart_ksp.mat")
    options = {"dataset": "dat", "axes": "sample,shot,coil", "trajectory_unit": "1/m", "field_of_view": 0.384}
    with open_scan(path, trajectory=str(measured_file("mri/octopus_ktraj.npy")), **options) as scan:
        assert (scan.coils, scan.image_shape, scan.unit) == (20, (192, 192), "mm")
        assert scan.pixel_size == pytest.approx((2, 2))
        read = scan.kspace()
    image = ig.operators.NonCartesianMRI((192, 192), read.trajectory)
    weights = image.density_compensation.value
    magnitude = image.H(weights * read.data.to(torch.complex128)).abs().square().sum(0).sqrt()
    bright = magnitude > 0.25 * magnitude.flatten().kthvalue(int(0.98 * magnitude.numel())).values
    assert float(bright.double().mean()) == pytest.approx(0.19, abs=0.04)


@pytest.mark.parametrize("kind", ["npy", "h5", "mat", "mat73"])
def test_an_echo_is_chosen_by_its_index(save, kind):
    whole = random_complex((2, 3, 4, 6, 8))  # echo, set, coil, y, x
    path, name = save(kind, kspace=whole)
    given = {"dataset": name, "axes": "echo,set,coil,y,x"}
    with open_scan(path, **given, index=(1, -1)) as scan:
        assert (scan.coils, scan.slices) == (4, 1)
        assert np.array_equal(scan.kspace().data.numpy(), whole[1, 2])
    with pytest.raises(ParameterError, match=r"echo has 2, set has 3 entries\. Choose one, index="):
        open_scan(path, **given)

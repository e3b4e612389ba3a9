"""fastMRI's files: the stored reconstruction is that of the k-space that is read, and padding is no data."""

import h5py
import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.errors import DataError, FileError, ParameterError
from invgen.io import MRIScan, open_scan

from .layouts import center_crop, centered_ifft, header, random_complex


def root_sum_of_squares(kspace):
    images = ig.operators.Fourier(kspace.image_shape, axes=(-2, -1)).H(kspace.data)
    return images.abs().square().sum(0).sqrt()


@pytest.mark.parametrize(
    ("rows", "columns", "crop"),
    [(64, 48, (32, 30)), (63, 48, (31, 31)), (64, 47, (31, 40)), (50, 51, (25, 51)), (40, 32, (64, 20))],
)
@pytest.mark.parametrize("coils", [3, None])
def test_stored_reconstruction_is_the_crop_of_the_root_sum_of_squares(fastmri, rows, columns, crop, coils):
    """Also where sizes are odd, and where fewer rows were measured than the crop has."""
    crop = (min(crop[0], rows), crop[1])
    path, _ = fastmri(rows=rows, columns=columns, crop=crop, coils=coils)
    with open_scan(path) as scan:
        assert isinstance(scan, MRIScan)
        assert (scan.format, scan.slices, scan.coils, scan.repetitions) == ("fastmri", 2, coils or 1, 1)
        assert (scan.encoded_shape, scan.image_shape) == ((rows, columns), crop)
        assert scan.pixel_size == pytest.approx((2.0, 2.0))
        for slice in range(2):
            image = scan.crop(root_sum_of_squares(scan.kspace(slice)))
            torch.testing.assert_close(image, scan.reference(slice), rtol=1e-5, atol=1e-5)


def test_solver_and_crop_give_the_stored_reconstruction(fastmri):
    with open_scan(fastmri()[0]) as scan:
        problem = scan.problem(1, coils="none")
        image = scan.crop(ig.solvers.RootSumOfSquares()(problem).x)
        torch.testing.assert_close(image.real, scan.reference(1), rtol=1e-5, atol=1e-5)
        assert problem.noise is None


def test_oversampled_rows_are_cropped_in_the_image(fastmri):
    path, kspace = fastmri()
    with open_scan(path) as scan:
        read = scan.kspace(0)
    assert read.image_shape == (32, 48)
    image = centered_ifft(kspace[0])[:, 16:48]  # 64 rows to 32, the 32nd to the 16th
    again = centered_ifft(read.data.numpy())
    np.testing.assert_allclose(again, image, atol=1e-5)
    assert any("64 to 32" in line for line in read.report)


def test_padding_is_not_measured(fastmri):
    """Of 48 columns 4 and 5 are zeros that were added: fastMRI's padding_left and padding_right."""
    with open_scan(fastmri()[0]) as scan:
        mask = scan.kspace(0).mask.expand(scan.kspace(0).image_shape)
        assert scan.acceleration == pytest.approx(48 / 39)
    assert mask[0].nonzero().flatten().tolist() == list(range(4, 43))
    assert (mask == mask[0]).all()


def test_columns_that_the_mask_of_a_test_file_leaves_out_are_not_measured(fastmri):
    mask = np.zeros(48, bool)
    mask[::4] = mask[20:28] = True
    path, kspace = fastmri(mask=mask)
    with open_scan(path) as scan:
        read = scan.kspace(0)
        expected = mask & (np.arange(48) >= 4) & (np.arange(48) < 43)
        np.testing.assert_array_equal(read.mask.expand(read.image_shape)[0].numpy(), expected)
        assert scan.info()["calibration_region"] == [32, 9]  # and the 29th column, a fourth one
        assert scan.info()["acceleration"] == pytest.approx(48 / expected.sum())
    assert not np.abs(kspace[..., ~mask]).any()


def test_k_space_that_is_wider_than_the_encoded_matrix_has_its_lines_around_the_middle(fastmri):
    path, _ = fastmri(columns=48, left=8, right=8)
    with h5py.File(path, "a") as file:
        del file["ismrmrd_header"]
        file["ismrmrd_header"] = header((32, 64), (30, 32), steps=((32, 16),)).encode()
    with open_scan(path) as scan:
        mask = scan.kspace(0).mask.expand(scan.kspace(0).image_shape)[0]
    assert mask.nonzero().flatten().tolist() == list(range(8, 40))


def test_header_that_places_lines_outside_is_not_followed(fastmri):
    path, _ = fastmri()
    with h5py.File(path, "a") as file:
        del file["ismrmrd_header"]
        file["ismrmrd_header"] = header((48, 64), (30, 32), steps=((48, 3),)).encode()
    with open_scan(path) as scan:
        assert any("not followed" in note for note in scan.notes)
        assert scan.acceleration == pytest.approx(48 / 39)


def test_without_header_the_message_shows_how_to_read_it(fastmri):
    path, kspace = fastmri()
    with h5py.File(path, "a") as file:
        del file["ismrmrd_header"]
    with pytest.raises(FileError, match=r"ismrmrd_header.*--dataset kspace --axes slice,coil,y,x"):
        open_scan(path)
    with open_scan(path, dataset="kspace", axes="slice,coil,y,x") as scan:
        np.testing.assert_array_equal(scan.kspace(1).data.numpy(), kspace[1])


def test_what_does_not_apply_is_refused_by_name(fastmri):
    path, _ = fastmri()
    for options, words in [
        ({"angles": np.arange(3)}, "angles"),
        ({"quantity": "absorption"}, "quantity"),
        ({"rotation": "clockwise"}, "rotation"),
        ({"mask": "mask"}, "mask"),
        ({"trajectory_unit": "1/m"}, "trajectory_unit"),
    ]:
        with pytest.raises(ParameterError, match=f"{words} does not apply"):
            open_scan(path, **options)


def test_slices_that_are_not_there_and_files_that_are_closed(fastmri):
    with open_scan(fastmri()[0]) as scan:
        with pytest.raises(ParameterError, match="no slice 2: the scan has 2"):
            scan.kspace(2)
        with pytest.raises(ParameterError, match="no repetition 1"):
            scan.kspace(0, 1)
        torch.testing.assert_close(scan.kspace(-1).data, scan.kspace(1).data)
    with pytest.raises(FileError, match="is closed"):
        scan.kspace(0)


def test_bad_samples_and_masks(fastmri):
    path, _ = fastmri()
    with h5py.File(path, "a") as file:
        kspace = file["kspace"][:]
        kspace[0, 1, 2, 10], kspace[1] = np.nan, 0
        file["kspace"][:] = kspace
    with open_scan(path) as scan:
        with pytest.raises(DataError, match=r"slice 0, holds 1 NaN or infinite value.*coil 1, ky 2, kx 10:"):
            scan.kspace(0)
        with pytest.raises(DataError, match="not measured"):
            scan.kspace(1)
        assert "not measured" in scan.info()["warnings"][0]
    with h5py.File(path, "a") as file:
        file["mask"] = np.ones(47)
    with pytest.raises(DataError, match=r"mask.*\(47,\).*48 columns"):
        open_scan(path)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5, 6), (4, 0, 6), (7,)])
def test_other_shapes_are_refused(tmp_path, shape):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = random_complex(shape)
        file["ismrmrd_header"] = header().encode()
    with pytest.raises(FileError, match="of shape"):
        open_scan(tmp_path / "a.h5")


def test_crop_keeps_axes_that_are_shorter_than_what_is_wanted(fastmri):
    with open_scan(fastmri()[0]) as scan:
        image = torch.rand(5, 20, 40)
        np.testing.assert_array_equal(scan.crop(image).numpy(), center_crop(image.numpy(), (20, 30)))

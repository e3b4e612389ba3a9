"""What is reconstructed, in every format: the numbers, and where they lie in space."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
from skimage.io import imsave

import invgen as ig
from invgen.core.errors import FileError, ParameterError
from invgen.io import read_reconstruction

#: The name of an output in each format, and the format where the name does not say it.
OUTPUTS = {"nifti": "x.nii.gz", "dicom": "x", "tiff": "x.tif", "npy": "x.npy"}


def of_nifti(path):
    found = nibabel.load(path)
    affine = np.diag([-1, -1, 1, 1]) @ found.affine
    about = json.loads(found.header.extensions[0].get_content())
    return np.asarray(found.dataobj).transpose(2, 1, 0), affine, found.header.get_xyzt_units()[0], about


def of_dicom(path):
    files = [pydicom.dcmread(each) for each in path.iterdir()]
    files.sort(key=lambda file: file.InstanceNumber)
    first = files[0]
    right, down = np.array(first.ImageOrientationPatient, float).reshape(2, 3)
    positions = np.array([file.ImagePositionPatient for file in files], float)
    across = np.cross(right, down)
    assert (np.diff(positions @ across) > 0).all()
    rows, columns = map(float, first.PixelSpacing)
    step = across * float(first.SpacingBetweenSlices)
    np.testing.assert_allclose(positions - positions[0], np.arange(len(files))[:, None] * step, atol=1e-6)
    affine = np.eye(4)
    affine[:3] = np.stack([columns * right, rows * down, step, positions[0]], axis=1)
    unit = "unknown" if first.SOPClassUID == pydicom.uid.SecondaryCaptureImageStorage else "mm"
    values = [file.pixel_array * float(file.RescaleSlope) + float(file.RescaleIntercept) for file in files]
    return np.stack(values), affine, unit, json.loads(first.private_block(0x77, "invgen")[0x01].value)


def of_tiff(path):
    with tifffile.TiffFile(path) as file:
        image = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
        about = json.loads(image["Description"])
        unit = image["Pixels"].get("PhysicalSizeXUnit", "unknown")
        affine = np.array(about["affine"])
        if unit == "mm":
            sizes = [image["Pixels"][f"PhysicalSize{axis}"] for axis in "XYZ"]
            np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), sizes, rtol=1e-6)
        return file.asarray(), affine, unit, about


def of_npy(path):
    about = json.loads(Path(f"{path}.json").read_text())
    unit = {"pixel": "unknown"}.get(about["unit"], about["unit"])
    return np.load(path), np.array(about["affine"]), unit, about


READ = {"nifti": of_nifti, "dicom": of_dicom, "tiff": of_tiff, "npy": of_npy}


@pytest.mark.parametrize("form", OUTPUTS)
@pytest.mark.parametrize("scan", ["parallel", "fan", "cone", "grid"])
def test_what_hdf5_holds_every_format_holds(scans, tmp_path, scan, form):
    many = {} if scan == "fan" else {"slices": slice(1, 3)}
    ig.reconstruct(scans[scan], tmp_path / "x.h5", **many)
    ig.reconstruct(scans[scan], tmp_path / OUTPUTS[form], **many, image_format=form)
    values, affine, unit, about = READ[form](tmp_path / OUTPUTS[form])
    with read_reconstruction(tmp_path / "x.h5") as file:
        expected, placed, size = file.volume[:], file.affine, (file.pixel_size, file.pixel_height)
        assert unit == {"mm": "mm", "pixel": "unknown"}[file.unit]
    if file.is_complex and form != "npy":
        expected = np.abs(expected)
    tolerance = 1e-6 * np.abs(expected).max()
    if form == "dicom":
        tolerance = (expected.max() - expected.min()) / (2**16 - 1) / 2 * 1.001
    np.testing.assert_allclose(values.reshape(expected.shape), expected, rtol=0, atol=tolerance)
    np.testing.assert_allclose(affine, placed, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :2], axis=0), size, rtol=1e-6)
    assert about["settings"]["image_format"] == form
    assert f"--image-format {form}" in about["settings"]["command"]
    assert len(list(tmp_path.iterdir())) == (3 if form == "npy" else 2)


@pytest.mark.parametrize("scan", ["parallel", "cone"])
def test_slices_of_ct_lie_around_the_axis_and_the_middle_of_the_detector(scans, tmp_path, scan):
    ig.reconstruct(scans[scan], tmp_path / "x.nii")
    found = nibabel.load(tmp_path / "x.nii")
    middle = (found.affine @ [*((np.array(found.shape) - 1) / 2), 1])[:3]
    np.testing.assert_allclose(middle, 0, atol=1e-5)
    ig.reconstruct(scans[scan], tmp_path / "y.nii", slices=slice(1, 4, 2))
    chosen = nibabel.load(tmp_path / "y.nii")
    for i in range(2):
        np.testing.assert_allclose(
            chosen.affine @ [0, 0, i, 1], found.affine @ [0, 0, 1 + 2 * i, 1], atol=1e-5
        )


@pytest.mark.filterwarnings("ignore:the object is wider")
def test_pixels_of_the_detector_that_are_averaged_make_larger_voxels(scans, tmp_path):
    for bin in (1, 2):
        ig.reconstruct(scans["parallel"], tmp_path / f"{bin}.nii", bin=bin)
    one, two = (nibabel.load(tmp_path / f"{bin}.nii").header.get_zooms() for bin in (1, 2))
    np.testing.assert_allclose(two, (2 * one[0], 2 * one[1], 2 * one[2]), rtol=1e-6)


@pytest.mark.parametrize("form", OUTPUTS)
def test_samples_have_their_deviation_beside_the_mean(scans, prior, tmp_path, form):
    given = {"solver": "dds", "prior": str(prior), "samples": 3, "slices": slice(0, 2), "iterations": 4}
    ig.reconstruct(scans["parallel"], tmp_path / "x.h5", **given)
    ig.reconstruct(scans["parallel"], tmp_path / OUTPUTS[form], **given, image_format=form)
    beside = tmp_path / OUTPUTS[form].replace("x", "x_std", 1)
    with read_reconstruction(tmp_path / "x.h5") as file:
        mean, std = file.volume[:], file.posterior.std[:]
    for path, expected in ((tmp_path / OUTPUTS[form], mean), (beside, std)):
        step = float(expected.max() - expected.min()) / (2**16 - 1)
        np.testing.assert_allclose(READ[form](path)[0], expected, rtol=1e-6, atol=step)
    assert READ[form](beside)[3]["quantity"] == "standard deviation"


def test_no_file_beside_replaces_what_the_command_reads(scans, prior, tmp_path):
    scan = tmp_path / "x_std.nii"  # as a name says nothing
    scan.write_bytes(scans["parallel"].read_bytes())
    given = {"solver": "dds", "prior": str(prior), "samples": 2, "slices": 0, "iterations": 2}
    with pytest.raises(FileError, match=r"x_std\.nii is what the command reads"):
        ig.reconstruct(scan, tmp_path / "x.nii", **given)
    assert scan.read_bytes() == scans["parallel"].read_bytes()


class TestRefused:
    """Before any work."""

    @pytest.fixture(autouse=True)
    def no_work(self, monkeypatch):
        def first(self, *args):
            raise AssertionError("work has begun")

        for kind in ("ct.CT", "mri.Images"):
            monkeypatch.setattr(f"invgen.pipeline.{kind}.first", first)

    @pytest.mark.parametrize(
        ("name", "form", "message"),
        [
            ("x.png", None, "are not those of a picture"),
            ("x.dcm", None, "would hold 4 slices, and a DICOM file has one"),
            ("x.h5", "nifti", r"its name should end with \.nii or \.nii\.gz"),
            ("old", "dicom", "old is a folder; give another name"),
        ],
    )
    def test_names(self, scans, tmp_path, name, form, message):
        (tmp_path / "old").mkdir()
        with pytest.raises(FileError, match=message):
            ig.reconstruct(scans["parallel"], tmp_path / name, image_format=form)
        assert [path.name for path in tmp_path.iterdir()] == ["old"]

    def test_no_file(self, scans):
        with pytest.raises(ParameterError, match="image_format is of a file"):
            ig.reconstruct(scans["parallel"], image_format="nifti")

    def test_unknown_formats(self, scans, tmp_path):
        with pytest.raises(ParameterError, match="--image-format is one of hdf5, nifti"):
            ig.reconstruct(scans["parallel"], tmp_path / "x.nii", image_format="minc")


@pytest.mark.parametrize("form", ["nifti", "dicom"])
def test_restored_pictures(tmp_path, form):
    rng = np.random.default_rng(0)
    imsave(tmp_path / "in.png", rng.integers(0, 255, (15, 12), dtype=np.uint8), check_contrast=False)
    imsave(tmp_path / "color.png", rng.integers(0, 255, (15, 12, 3), dtype=np.uint8), check_contrast=False)
    given = {"operator": "denoise", "noise_std": 0.05, "weight": 5.0, "iterations": 5}
    expected = ig.reconstruct(tmp_path / "in.png", **given).images
    ig.reconstruct(tmp_path / "in.png", tmp_path / OUTPUTS[form], **given, image_format=form)
    values, _, unit, _ = READ[form](tmp_path / OUTPUTS[form])
    np.testing.assert_allclose(values, expected, atol=1e-5)
    assert unit == "unknown"
    with pytest.raises(FileError, match="holds gray images, and these are in color"):
        ig.reconstruct(tmp_path / "color.png", tmp_path / f"c{OUTPUTS[form]}", **given, image_format=form)

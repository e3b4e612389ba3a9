"""Images in every format, as the programs of others open them."""

import gzip
import json

import h5py
import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
import torch

from invgen.core.errors import CapabilityError, FileError, ParameterError
from invgen.io import IMAGE_FORMATS, ReconstructionWriter, format_of, read_reconstruction
from invgen.io.formats.volume import Volume, provenance
from invgen.io.placement import Placement

HEIGHT, WIDTH, SLICES = 7, 5, 4


def rotation(seed):
    """A matrix of rotation."""
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


def placed(seed=0, unit="mm", slices=SLICES):
    """Oblique slices, 2.5 mm apart, of pixels of 0.5 x 0.75 mm."""
    right, down, across = rotation(seed).T
    first = np.array([10.0, -20.0, 30.0])
    positions = first + 2.5 * np.arange(slices)[:, None] * across
    return Placement(positions, right, down, (0.5, 0.75), 2.0, unit, stated=True)


def volume_of(placement, image_shape=(HEIGHT, WIDTH), **changes):
    settings = {"solver": "fbp", "command": "invgen recon 'a scan.h5' -o b.nii"}
    about = {"modality": "MR", "complex": False, "origin": provenance("scan.h5", settings)}
    return Volume(len(placement.positions), image_shape, placement, **{**about, **changes})


def images(slices=SLICES, seed=1):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.standard_normal((slices, HEIGHT, WIDTH)).astype(np.float32))


def written(path, form, values, volume, order=None):
    with IMAGE_FORMATS[form].writer(path, volume) as file:
        for index in order or range(len(values)):
            file.write(index, values[index])
    return path


def read_dicom(folder):
    """A series sorted as viewers do, by the position along the normal; and its values."""
    files = [pydicom.dcmread(path) for path in folder.iterdir()]
    right, down = np.array(files[0].ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(right, down)
    files.sort(key=lambda file: float(np.dot(normal, np.array(file.ImagePositionPatient, float))))
    values = [file.pixel_array * float(file.RescaleSlope) + float(file.RescaleIntercept) for file in files]
    return files, np.stack(values)


class TestValues:
    """What is read is what was written, in whatever order."""

    ORDER = (2, 0, 3, 1)

    @pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
    def test_nifti(self, tmp_path, suffix):
        x = images()
        path = written(tmp_path / f"x{suffix}", "nifti", x, volume_of(placed()), self.ORDER)
        found = nibabel.load(path)
        assert found.get_data_dtype() == np.float32
        assert np.array_equal(np.asarray(found.dataobj).transpose(2, 1, 0), x)

    def test_tiff(self, tmp_path):
        x = images()
        path = written(tmp_path / "x.tif", "tiff", x, volume_of(placed()), self.ORDER)
        with tifffile.TiffFile(path) as file:
            assert len(file.pages) == SLICES
            assert np.array_equal(file.asarray(), x)
            assert np.array_equal(file.pages[2].asarray(), x[2])

    def test_npy(self, tmp_path):
        x = torch.complex(images(), images(seed=2))
        volume = volume_of(placed(), complex=True)
        path = written(tmp_path / "x.npy", "npy", x, volume, self.ORDER)
        found = np.load(path)
        assert found.dtype == np.complex64
        assert np.array_equal(found, x)

    def test_dicom(self, tmp_path):
        x = images()
        path = written(tmp_path / "x", "dicom", x, volume_of(placed()), self.ORDER)
        _, found = read_dicom(path)
        step = float(x.max() - x.min()) / (2**16 - 1)
        assert np.abs(found - x.numpy()).max() <= step / 2 * (1 + 1e-6)

    @pytest.mark.parametrize("scale", [1e-30, 1e30])
    @pytest.mark.parametrize("offset", [0, 1e4])
    def test_dicom_of_any_range(self, tmp_path, scale, offset):
        x = (images().double() + offset).mul(scale).float()
        _, found = read_dicom(written(tmp_path / "x", "dicom", x, volume_of(placed())))
        step = float(x.max().double() - x.min().double()) / (2**16 - 1)
        # and the 16 characters that a number has
        tolerance = step / 2 * (1 + 1e-6) + 1e-9 * float(x.abs().max())
        assert np.abs(found - x.double().numpy()).max() <= tolerance

    def test_dicom_of_one_value(self, tmp_path):
        x = torch.full((SLICES, HEIGHT, WIDTH), -0.75)
        _, found = read_dicom(written(tmp_path / "x", "dicom", x, volume_of(placed())))
        assert np.array_equal(found, x)

    @pytest.mark.parametrize("form", ["nifti", "dicom", "tiff"])
    def test_complex_images_are_their_modulus(self, tmp_path, form):
        x = torch.complex(images(), images(seed=2))
        name = tmp_path / ("x" if form == "dicom" else f"x{IMAGE_FORMATS[form].suffixes[0]}")
        path = written(name, form, x, volume_of(placed(), complex=True))
        found = {
            "nifti": lambda: np.asarray(nibabel.load(path).dataobj).transpose(2, 1, 0),
            "dicom": lambda: read_dicom(path)[1],
            "tiff": lambda: tifffile.imread(path),
        }[form]()
        np.testing.assert_allclose(found, x.abs(), rtol=1e-6, atol=5e-5)


class TestSpace:
    """Each voxel is where it was."""

    def corner(self, place, k, i, j):
        """Position of a pixel in mm, LPS, by the definition."""
        height, width = place.pixel_size
        return place.positions[k] + i * height * place.down + j * width * place.right

    @pytest.mark.parametrize("seed", range(4))
    def test_nifti(self, tmp_path, seed):
        place = placed(seed)
        path = written(tmp_path / "x.nii.gz", "nifti", images(), volume_of(place))
        found = nibabel.load(path)
        for affine in (found.affine, found.header.get_sform(), found.header.get_qform()):
            for k, i, j in np.ndindex(SLICES, HEIGHT, WIDTH):
                expected = self.corner(place, k, i, j) * [-1, -1, 1]
                np.testing.assert_allclose((affine @ [j, i, k, 1])[:3], expected, atol=2e-5)
        assert (int(found.header["sform_code"]), int(found.header["qform_code"])) == (1, 1)
        assert found.header.get_xyzt_units()[0] == "mm"
        np.testing.assert_allclose(found.header.get_zooms(), (0.75, 0.5, 2.5), rtol=1e-6)

    @pytest.mark.parametrize("seed", range(4))
    def test_dicom(self, tmp_path, seed):
        place = placed(seed)
        files, _ = read_dicom(written(tmp_path / "x", "dicom", images(), volume_of(place)))
        for k, file in enumerate(files):
            # PS3.3, equation C.7.6.2.1-1
            x, y = np.array(file.ImageOrientationPatient, float).reshape(2, 3)
            rows, columns = map(float, file.PixelSpacing)
            for i, j in np.ndindex(HEIGHT, WIDTH):
                found = np.array(file.ImagePositionPatient, float) + x * columns * j + y * rows * i
                np.testing.assert_allclose(found, self.corner(place, k, i, j), atol=1e-8)
            assert (file.InstanceNumber, file.Rows, file.Columns) == (k + 1, HEIGHT, WIDTH)
            assert (float(file.SpacingBetweenSlices), float(file.SliceThickness)) == (2.5, 2.0)

    def test_slices_that_are_unevenly_apart(self, tmp_path):
        """DICOM has each position; others the mean distance."""
        flat = placed()
        positions = flat.positions + np.array([0, 0.5, 0, 0])[:, None] * flat.normal
        place = Placement(positions, flat.right, flat.down, flat.pixel_size, 2.0, "mm", True)
        files, _ = read_dicom(written(tmp_path / "x", "dicom", images(), volume_of(place)))
        for file, position in zip(files, positions, strict=True):
            np.testing.assert_allclose(np.array(file.ImagePositionPatient, float), position, atol=1e-8)
        found = nibabel.load(written(tmp_path / "x.nii", "nifti", images(), volume_of(place)))
        assert float(found.header.get_zooms()[2]) == pytest.approx(2.5)

    def test_tiff(self, tmp_path):
        path = written(tmp_path / "x.tif", "tiff", images(), volume_of(placed()))
        with tifffile.TiffFile(path) as file:
            assert file.is_ome
            pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
            tags = file.pages[0].tags
            # pixels for each centimeter
            assert tags["ResolutionUnit"].value == 3
            x, y = (tags[f"{axis}Resolution"].value for axis in "XY")
        assert [pixels[f"PhysicalSize{axis}"] for axis in "XYZ"] == pytest.approx([0.75, 0.5, 2.5])
        assert {pixels[f"PhysicalSize{axis}Unit"] for axis in "XYZ"} == {"mm"}
        assert (x[0] / x[1], y[0] / y[1]) == pytest.approx((10 / 0.75, 10 / 0.5))

    def test_npy(self, tmp_path):
        place = placed()
        path = written(tmp_path / "x.npy", "npy", images(), volume_of(place))
        about = json.loads(path.with_name("x.npy.json").read_text())
        for k, i, j in np.ndindex(SLICES, HEIGHT, WIDTH):
            found = np.array(about["affine"]) @ [j, i, k, 1]
            np.testing.assert_allclose(found[:3], self.corner(place, k, i, j))
        assert (about["unit"], about["pixel_size"]) == ("mm", [0.5, 0.75])
        assert about["slice_distance"] == pytest.approx(2.5)

    def test_sizes_that_are_not_known_are_not_called_mm(self, tmp_path):
        volume = volume_of(placed(unit="pixel"))
        found = nibabel.load(written(tmp_path / "x.nii", "nifti", images(), volume))
        assert found.header.get_xyzt_units()[0] == "unknown"
        with tifffile.TiffFile(written(tmp_path / "x.tif", "tiff", images(), volume)) as file:
            assert "PhysicalSize" not in file.ome_metadata
        (first, *_), _ = read_dicom(written(tmp_path / "x", "dicom", images(), volume))
        assert first.SOPClassUID == pydicom.uid.SecondaryCaptureImageStorage
        assert "not known" in first.ImageComments


class TestDicom:
    @pytest.mark.parametrize(
        ("modality", "stored"),
        [("MR", pydicom.uid.MRImageStorage), ("CT", pydicom.uid.CTImageStorage)],
    )
    def test_a_series_is_one(self, tmp_path, modality, stored):
        path = written(tmp_path / "x", "dicom", images(), volume_of(placed(), modality=modality))
        assert sorted(each.name for each in path.iterdir()) == [f"{i}.dcm" for i in range(1, 5)]
        files, _ = read_dicom(path)
        for name in ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "RescaleSlope"):
            assert len({file[name].value for file in files}) == 1
        assert len({file.SOPInstanceUID for file in files}) == SLICES
        for file in files:
            assert (file.SOPClassUID, file.Modality) == (stored, modality)
            assert file.file_meta.MediaStorageSOPInstanceUID == file.SOPInstanceUID
            assert file.file_meta.MediaStorageSOPClassUID == stored
            assert pydicom.uid.UID(file.SOPInstanceUID).is_valid
            assert (file.PatientName, file.PatientID, file.RescaleType) == ("", "", "US")
            for name in ("RescaleSlope", "RescaleIntercept"):
                assert len(str(file[name].value)) <= 16

    def test_identifiers_follow_from_the_content(self, tmp_path):
        def series(name, x, **changes):
            files, _ = read_dicom(written(tmp_path / name, "dicom", x, volume_of(placed(), **changes)))
            return [files[0].SeriesInstanceUID, *(file.SOPInstanceUID for file in files)]

        first = series("a", images())
        assert series("b", images()) == first
        assert not set(series("c", images(seed=3))) & set(first)
        assert not set(series("d", images(), quantity="standard deviation")) & set(first)

    def test_one_slice_is_one_file(self, tmp_path):
        x = images(slices=1)
        path = written(tmp_path / "x.dcm", "dicom", x, volume_of(placed(slices=1)))
        found = pydicom.dcmread(path)
        step = float(found.RescaleSlope)
        assert np.abs(found.pixel_array * step + float(found.RescaleIntercept) - x[0].numpy()).max() <= step
        with pytest.raises(FileError, match="would hold 4 slices, and a DICOM file has one"):
            written(tmp_path / "y.dcm", "dicom", images(), volume_of(placed()))

    def test_a_folder_that_exists_stays_as_it_is(self, tmp_path):
        (tmp_path / "x").mkdir()
        (tmp_path / "x" / "mine").write_text("mine")
        with pytest.raises(FileError, match="x exists; a DICOM series is written to a new folder"):
            written(tmp_path / "x", "dicom", images(), volume_of(placed()))
        assert (tmp_path / "x" / "mine").read_text() == "mine"

    def test_the_package_that_is_missing_is_named(self, tmp_path, monkeypatch):
        monkeypatch.setattr("invgen.io.formats.dicom.find_spec", lambda name: None)
        with pytest.raises(CapabilityError, match=r"pip install 'invgen\[dicom\]'"):
            written(tmp_path / "x", "dicom", images(), volume_of(placed()))


class TestRecord:
    """The file says how to make it again."""

    def test_nifti(self, tmp_path):
        found = nibabel.load(written(tmp_path / "x.nii.gz", "nifti", images(), volume_of(placed())))
        (extension,) = found.header.extensions
        about = json.loads(extension.get_content())
        assert about["settings"]["command"] == "invgen recon 'a scan.h5' -o b.nii"

    def test_dicom(self, tmp_path):
        (first, *_), _ = read_dicom(written(tmp_path / "x", "dicom", images(), volume_of(placed())))
        assert first.ImageComments == "invgen recon 'a scan.h5' -o b.nii"
        about = json.loads(first.private_block(0x77, "invgen")[0x01].value)
        assert about["settings"]["solver"] == "fbp"

    def test_tiff(self, tmp_path):
        with tifffile.TiffFile(written(tmp_path / "x.tif", "tiff", images(), volume_of(placed()))) as file:
            text = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Description"]
        assert json.loads(text)["settings"]["solver"] == "fbp"


#: A name for each format.
NAMES = {"nifti": "x.nii.gz", "dicom": "x", "tiff": "x.tif", "npy": "x.npy"}


class TestWholeOrNotThere:
    @pytest.mark.parametrize("form", NAMES)
    @pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
    def test_what_is_interrupted_leaves_nothing(self, tmp_path, form, error):
        def run():
            with IMAGE_FORMATS[form].writer(tmp_path / NAMES[form], volume_of(placed())) as file:
                file.write(0, images()[0])
                raise error

        with pytest.raises(error):
            run()
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("form", NAMES)
    def test_missing_slices_are_an_error(self, tmp_path, form):
        with pytest.raises(FileError, match="3 of 4 slices are missing"):
            written(tmp_path / NAMES[form], form, images(), volume_of(placed()), order=(1,))
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("form", NAMES)
    def test_wrong_slices_are_refused(self, tmp_path, form):
        with (
            pytest.raises(ParameterError, match=r"slice 0 to 3 of shape \(7, 5\)"),
            IMAGE_FORMATS[form].writer(tmp_path / NAMES[form], volume_of(placed())) as file,
        ):
            file.write(0, torch.zeros(5, 7))
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("form", NAMES)
    def test_a_folder_that_is_not_there(self, tmp_path, form):
        with pytest.raises(FileError, match="cannot be written"):
            written(tmp_path / "absent" / NAMES[form], form, images(), volume_of(placed()))

    @pytest.mark.parametrize("form", NAMES)
    def test_what_fails_at_the_end_leaves_the_old_file(self, tmp_path, form, monkeypatch):
        """A disk that fills up while the file is completed."""
        if form != "dicom":
            (tmp_path / NAMES[form]).write_text("the old one")
        before = sorted(tmp_path.iterdir())

        def full(self):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(IMAGE_FORMATS[form].writer, "_finish", full)
        with pytest.raises(FileError, match="the disk is full"):
            written(tmp_path / NAMES[form], form, images(), volume_of(placed()))
        assert sorted(tmp_path.iterdir()) == before


def test_large_axes_are_nifti_2(tmp_path):
    x = torch.arange(40_000.0)[None, None]
    place = placed(slices=1)
    found = nibabel.load(written(tmp_path / "x.nii", "nifti", x, volume_of(place, (1, 40_000))))
    assert isinstance(found, nibabel.Nifti2Image)
    assert np.array_equal(np.asarray(found.dataobj)[:, 0, 0], x[0, 0])


def test_colors_have_a_place_in_some(tmp_path):
    x = torch.rand(2, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    place = placed(slices=2, unit="pixel")
    volume = volume_of(place, (3, HEIGHT, WIDTH), modality="image")
    assert np.array_equal(np.load(written(tmp_path / "x.npy", "npy", x, volume)), x.movedim(1, -1))
    assert np.array_equal(tifffile.imread(written(tmp_path / "x.tif", "tiff", x, volume)), x.movedim(1, -1))
    for form in ("nifti", "dicom"):
        with pytest.raises(FileError, match="holds gray images"):
            written(tmp_path / NAMES[form], form, x, volume)


class TestNames:
    @pytest.mark.parametrize(
        ("name", "stated", "form"),
        [
            ("x.h5", None, "hdf5"),
            ("x.nii.gz", None, "nifti"),
            ("X.NII", None, "nifti"),
            ("x.dcm", None, "dicom"),
            ("x.tiff", None, "tiff"),
            ("x.gz", None, None),
            ("x", None, None),
            ("x", "dicom", "dicom"),
            ("x.2026", "dicom", "dicom"),
            ("x.nii", "nifti", "nifti"),
        ],
    )
    def test_the_format(self, tmp_path, name, stated, form):
        assert format_of(tmp_path / name, stated) == form

    @pytest.mark.parametrize(
        ("name", "stated", "ends"),
        [
            ("x", "nifti", r"\.nii or \.nii\.gz\."),
            ("x.h5", "dicom", r"\.dcm, or be that of a folder"),
            ("x.nii", "tiff", r"\.tif or \.tiff"),
        ],
    )
    def test_names_of_others_are_refused(self, tmp_path, name, stated, ends):
        with pytest.raises(FileError, match=f"written as {stated}: its name should end with {ends}"):
            format_of(tmp_path / name, stated)


def test_equal_runs_make_equal_compressed_files(tmp_path):
    volume = volume_of(placed())
    a, b = (written(tmp_path / f"{name}.nii.gz", "nifti", images(), volume) for name in "ab")
    assert a.read_bytes() == b.read_bytes()
    assert len(gzip.decompress(a.read_bytes())) > 4 * images().numel()


def test_hdf5_has_the_same_placement(tmp_path):
    place = placed()
    about = {"pixel_size": (0.5, 0.75), "unit": "mm", "source": "scan.h5", "settings": {}}
    with ReconstructionWriter(
        tmp_path / "x.h5", slices=SLICES, image_shape=(HEIGHT, WIDTH), placement=place, **about
    ) as file:
        for index, image in enumerate(images()):
            file.write(index, image)
    with read_reconstruction(tmp_path / "x.h5") as found:
        assert np.array_equal(found.affine, place.affine)
    with h5py.File(tmp_path / "x.h5") as file:
        assert np.array_equal(file["positions"], place.positions)

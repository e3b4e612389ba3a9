"""Folders of TIFF files: in natural order, alike, and read only where a slice is."""

import numpy as np
import pytest
import tifffile

import invgen as ig
from invgen.core.errors import FileError, MemoryLimitError, ParameterError
from invgen.io import open_scan
from invgen.io.arrays import load_tiff
from invgen.io.tiffs import TiffSeries, tiff_files

ANGLES = np.linspace(0, np.pi, 12, endpoint=False)


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(1, 60000, (12, 5, 16)).astype(np.uint16)


@pytest.fixture
def folder(tmp_path, frames):
    """Write frames with numbers that are not padded."""

    def write(name="proj", stem="p_", **layout):
        (tmp_path / name).mkdir(exist_ok=True)
        for i, frame in enumerate(frames):
            tifffile.imwrite(tmp_path / name / f"{stem}{i}.tif", frame, **layout)
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    "layout", [{}, {"compression": "zlib"}, {"byteorder": ">"}, {"bigtiff": True}], ids=str
)
def test_a_folder_is_a_scan_in_natural_order(folder, frames, layout):
    path = folder(**layout)
    (path / "notes.txt").write_text("not a projection")
    (path / "._p_0.tif").write_bytes(b"what another system leaves")
    for given in (path, f"{path}/", path / "p_*.tif", path / "p_*"):
        with open_scan(given, angles=ANGLES) as scan:
            assert (scan.views, scan.slices, scan.columns) == (12, 5, 16)
            for row in (3, 0):
                assert np.array_equal(scan.projections(row).data, frames[:, row])
            assert len(scan.files) == 12
    with open_scan(path, axes="row,angle,column", angles=ANGLES[:5]) as scan:  # a folder of sinograms
        assert np.array_equal(scan.projections(2).data, frames[2])


def test_a_slice_of_files_that_are_not_compressed_reads_its_rows_alone(folder, monkeypatch):
    series = TiffSeries(tiff_files(folder()), "proj")
    monkeypatch.setattr(tifffile, "imread", lambda path: pytest.fail("a file was read whole"))
    assert series[:, 2:3].shape == (12, 1, 16)
    assert series[3:5, 1].shape == (2, 16)
    assert series[4, 1, 2:4].shape == (2,)


def test_files_that_differ_are_named(folder, frames):
    path = folder()
    tifffile.imwrite(path / "p_7.tif", frames[7, :, :9])
    with pytest.raises(FileError, match=r"p_7\.tif holds \(5, 9\) uint16, and p_0\.tif \(5, 16\)"):
        open_scan(path)
    tifffile.imwrite(path / "p_7.tif", frames[7].astype(np.float32))
    with pytest.raises(FileError, match=r"p_7\.tif holds \(5, 16\) float32"):
        open_scan(path)
    content = (path / "p_6.tif").read_bytes()
    (path / "p_6.tif").write_bytes(content[:-40])
    with pytest.raises(FileError, match=r"p_6\.tif.*(truncated|damaged)"):
        open_scan(path)


def test_a_folder_of_several_series_is_none(folder):
    path = folder()
    folder(stem="flat_")
    with pytest.raises(FileError, match=r"several series.*flat_\*\.tif.*\(12\).*p_\*\.tif.*\(12\)"):
        open_scan(path)
    with open_scan(path / "p_*.tif", flats=str(path / "flat_*.tif"), angles=ANGLES) as scan:
        assert (scan.views, len(scan.contents.flats)) == (12, 12)


def test_a_folder_or_a_pattern_without_such_files(tmp_path):
    with pytest.raises(FileError, match="a folder that holds no TIFF files"):
        open_scan(tmp_path)
    with pytest.raises(FileError, match="means no TIFF file"):
        open_scan(tmp_path / "p_*.tif")


def test_one_file_of_a_series_is_one_image(folder):
    path = folder()
    with pytest.raises(ParameterError, match=r"one image of 5 x 16 pixels\. Of 12 files.*p_\*\.tif"):
        open_scan(path / "p_3.tif", axes="angle,row,column", angles=ANGLES)


def test_pages_that_are_compressed_are_unpacked_below_the_bound_of_memory(tmp_path, monkeypatch):
    path = tmp_path / "pages.tif"
    tifffile.imwrite(path, np.zeros((20, 64, 64), "f4"), compression="zlib", photometric="minisblack")
    with ig.memory_limit("100K"), pytest.raises(MemoryLimitError, match="which is compressed, needs 320 KiB"):
        load_tiff(path)

    def exhausted(*_, **__):
        raise MemoryError

    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", exhausted)
    with pytest.raises(MemoryError):  # no damage
        load_tiff(path)

"""Scans of Nikon's systems: the geometry that CIL gives them, and volumes that are their truth."""

import h5py
import numpy as np
import pytest
import tifffile
import torch

from invgen.core.errors import FileError, InvgenError
from invgen.io import open_scan
from invgen.simulate import simulate_ct
from invgen.solvers import FDK

WHITE = 50000


def write(folder, frames, first, step, name="part", **numbers):
    """Write frames (view, row from the top, column as seen against the beam) and their text."""
    folder.mkdir(exist_ok=True)
    stated = {
        "Name": name,
        "InputSeparator": "_",
        "SrcToObject": 40.0,
        "SrcToDetector": 100.0,
        "DetectorPixelsX": frames.shape[2],
        "DetectorPixelsY": frames.shape[1],
        "DetectorPixelSizeX": 0.5,
        "DetectorPixelSizeY": 0.5,
        "Projections": len(frames),
        "InitialAngle": first,
        "AngularStep": step,
        "WhiteLevel": WHITE,
        "MaskRadius": 3.2,
    } | numbers
    lines = ["[XTekCT]", *(f"{name}={value}" for name, value in stated.items() if value is not None)]
    (folder / f"{name}.xtekct").write_text("\r\n".join([*lines, "[Xrays]", "XraykV=100", ""]))
    for i, frame in enumerate(frames):
        tifffile.imwrite(folder / f"{name}_{i + 1:04d}.tif", frame.astype(np.uint16))
    return folder / f"{name}.xtekct"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """A cone-beam scan of the simulator, and the same as Nikon's systems would have written it."""
    folder = tmp_path_factory.mktemp("nikon")
    scan = folder / "scan.h5"
    simulate_ct(
        scan, "shepp-logan", geometry="cone", size=32, views=60, pixel_size=0.1, slices=8, stripes=0.0
    )
    with h5py.File(scan) as file:
        dark = file["exchange/data_dark"][:].mean(0)
        white = file["exchange/data_white"][:].mean(0)
        ratio = (file["exchange/data"][:] - dark) / (white - dark)
        angles, spacing = file["exchange/theta"][:], file["truth"].attrs["detector_spacing"]
        distances = {name: file["truth"].attrs[name] for name in ("source_origin", "source_detector")}
    path = write(
        folder / "nikon",
        np.clip(np.round(WHITE * ratio), 0, 65535)[..., ::-1],
        180 + angles[0],
        angles[1] - angles[0],
        SrcToObject=distances["source_origin"],
        SrcToDetector=distances["source_detector"],
        DetectorPixelSizeX=spacing,
        DetectorPixelSizeY=spacing,
    )
    return scan, path


def test_a_scan_is_reconstructed_to_its_truth(simulated):
    scan, nikon = simulated
    with h5py.File(scan) as file:
        exact = torch.from_numpy(file["truth/image"][:])
    with open_scan(nikon) as found, open_scan(scan) as reference:
        assert (found.format, found.geometry, found.unit) == ("Nikon", "cone", "mm")
        assert found.pixel_size == pytest.approx(reference.pixel_size)
        assert torch.allclose(
            found.projections(4).angles - found.projections(4).angles[0],
            reference.projections(4).angles - reference.projections(4).angles[0],
        )
        images = [FDK(window="ram-lak")(each.volume_problem()).x[1:-1] for each in (found, reference)]
    errors = [float((image - exact).norm() / exact.norm()) for image in images]
    assert errors[0] < 0.3  # as of the scan that it was made from
    assert errors[0] == pytest.approx(errors[1], rel=0.05)


def test_a_voxel_is_seen_where_the_geometry_of_cil_has_it(tmp_path):
    """Its vectors for ASTRA: source, detector, and the steps of rows and columns, turned by each angle.

    ``cil.plugins.astra.utilities.convert_geometry_to_astra_vec_3D``, panel origin top-right.
    """
    first, step, pixel, distance, length = 30.0, 72.0, 0.5, 40.0, 100.0
    noise = np.random.default_rng(0).integers(-100, 100, (5, 33, 41))
    path = write(tmp_path / "scan", WHITE + noise, first, step)
    with open_scan(path) as scan:
        operator = scan.volume_problem(center=20.0).operator
    depth, height, width = operator.domain.shape
    voxel, place = pixel * distance / length, (5, 9, 30)
    volume = torch.zeros(operator.domain.shape)
    volume[place] = 1
    seen = operator(volume).numpy()[..., ::-1]  # columns as in the files
    x = (place[2] - (width - 1) / 2) * voxel
    y = ((height - 1) / 2 - place[1]) * voxel
    z = ((depth - 1) / 2 - place[0]) * voxel  # the first row is the top one
    point = np.array([x, y, z])
    for i, image in enumerate(seen):
        turn = np.deg2rad(first + step * i - 180)  # -(CIL's angle), which is -step i - first + 180
        c, s = np.cos(turn), np.sin(turn)
        turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        source, detector = turned @ [0, -distance, 0], turned @ [0, length - distance, 0]
        column, row = turned @ [-1, 0, 0], np.array([0, 0, -1])
        beam = turned @ [0, 1, 0]
        hit = source + (point - source) * ((detector - source) @ beam) / ((point - source) @ beam)
        expected = ((hit - detector) @ row / pixel + 16, (hit - detector) @ column / pixel + 20)
        total = image.sum()
        rows, columns = np.indices(image.shape)
        found = ((rows * image).sum() / total, (columns * image).sum() / total)
        assert np.allclose(found, expected, atol=0.25), (i, found, expected)


def test_the_number_of_a_file_is_its_place(tmp_path):
    """Not the order of the letters; files beyond those that are stated are no projections."""
    frames = np.full((12, 3, 8), WHITE) - 100 * np.arange(12)[:, None, None]
    path = write(tmp_path / "scan", frames, 0.0, 30.0)
    for i in range(12):
        (path.parent / f"part_{i + 1:04d}.tif").rename(path.parent / f"part_{i + 1}.tif")
    tifffile.imwrite(path.parent / "part_0.tif", frames[0].astype(np.uint16))
    with open_scan(path) as scan:
        assert np.array_equal(scan.contents.projections.read(0)[:, 0], frames[:, 0, 0])
        assert {file.name for file in scan.files} == {
            "part.xtekct",
            *(f"part_{i + 1}.tif" for i in range(12)),
        }
        assert np.allclose(np.diff(scan.angles), np.pi / 6)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"SrcToObject": None}, "SrcToObject should be a number; it is not there"),
        ({"SrcToObject": "far" * 100}, "SrcToObject should be a number"),
        ({"SrcToObject": 200}, "nearer to it than the rotation axis"),
        ({"Projections": 13}, "1 of them are missing.*number 13"),
        ({"Projections": 1e30}, "whole number"),
        ({"DetectorPixelsX": 9}, "9 columns; those of"),
        ({"WhiteLevel": 0}, "open beam"),
        ({"AngularStep": 0}, "AngularStep is zero"),
        ({"InputFolderName": ".."}, "out of its own.*--follow-links"),
    ],
)
def test_what_is_stated_is_not_trusted(tmp_path, numbers, words):
    path = write(tmp_path / "scan", np.full((12, 3, 8), WHITE), 0.0, 30.0, **numbers)
    with pytest.raises(InvgenError, match=words) as caught:
        open_scan(path)
    assert len(str(caught.value)) < 400 + len(str(path))


def test_a_missing_projection_is_named(tmp_path):
    path = write(tmp_path / "scan", np.full((12, 3, 8), WHITE), 0.0, 30.0)
    (path.parent / "part_0007.tif").unlink()
    with pytest.raises(FileError, match=r"1 of them are missing from .*the first is number 7"):
        open_scan(path)

"""MATLAB files of the Helsinki Tomography Challenge 2022: read exactly, oriented as their segmentations."""

from contextlib import suppress

import numpy as np
import pytest
import scipy.io
import torch
from skimage.filters import threshold_otsu

from invgen.core.errors import DataError, FileError, InvgenError, InvgenWarning
from invgen.io import Beam, open_scan
from invgen.phantoms import shepp_logan
from invgen.solvers import FBP

DISTANCES = {"distanceSourceOrigin": 410.66, "distanceSourceDetector": 553.74}
MAGNIFICATION = 553.74 / 410.66


@pytest.fixture
def htc(tmp_path):
    """Write a scan in the challenge's layout, with few columns; keywords replace fields, None drops one."""

    def write(struct="CtDataFull", degrees=None, columns=64, sinogram=None, **replaced):
        degrees = np.arange(0, 360.5, 4) if degrees is None else degrees
        spacing = 0.2 * 560 / columns
        if sinogram is None:
            phantom = shepp_logan(35.0).scaled(value=0.05)
            beam = DISTANCES.values()
            sinogram = phantom.fan_sinogram(np.deg2rad(degrees), *beam, columns, spacing).numpy()
        parameters = DISTANCES | {
            "distanceUnit": "mm",
            "angles": np.atleast_2d(degrees),
            "pixelSizePost": spacing,
            "effectivePixelSizePost": spacing / MAGNIFICATION,
            "numDetectorsPost": columns,
        }
        fields = {"type": "2D", "sinogram": sinogram, "parameters": parameters | replaced}
        for name, value in replaced.items():
            if value is None:
                del fields["parameters"][name]
        path = tmp_path / "scan.mat"
        scipy.io.savemat(path, {struct: fields})
        return path

    return write


@pytest.mark.parametrize("name", ["ta", "tc", "solid_disc"])
def test_measured_scans_lie_as_their_segmentations(measured_file, name):
    """At a quarter of the challenge's pixels and an eighth of its views, without any option."""
    path = f"ct/htc2022_{name}_full"
    theirs = scipy.io.loadmat(measured_file(f"{path}_recon_fbp_seg.mat"))
    segmentation = theirs["reconFullFbpSeg"].astype(float)
    with open_scan(measured_file(f"{path}.mat")) as scan:
        assert scan.beam == Beam("fan", 410.66, 553.74)
        assert (scan.views, scan.columns, scan.unit, scan.notes) == (721, 560, "mm", ())
        assert scan.pixel_size == pytest.approx(0.14832232, rel=1e-7)
        assert np.allclose(np.rad2deg(scan.angles), np.arange(0, 360.5, 0.5))
        assert scan.info()["warnings"] == []
        assert scan.find_center() == pytest.approx(279.4, abs=0.1)  # within a fifth of the detector's middle
        problem = scan.problem(0, views=slice(None, None, 8), bin=2)
    image = FBP(window="hann")(problem).x.numpy()
    material = image > threshold_otsu(image)
    expected = segmentation.reshape(256, 2, 256, 2).mean((1, 3)) > 0.5
    assert (material & expected).sum() / (material | expected).sum() > 0.98


def test_geometry_is_that_of_the_file(htc):
    with open_scan(htc(columns=256)) as scan:
        operator = scan.problem(0, center=127.5).operator
    g = operator.geometry
    assert (g.source_origin, g.source_detector, g.detector_offset, g.curved) == (410.66, 553.74, 0, False)
    assert g.detector_spacing == pytest.approx(0.4375)
    assert g.image_shape == (512, 512)
    assert g.pixel_size == pytest.approx(0.4375 / MAGNIFICATION)
    assert torch.allclose(g.angles, torch.arange(91.0).double() * 4 * torch.pi / 180)


def test_reconstruction_comes_near_the_truth(htc):
    with open_scan(htc(degrees=np.arange(0, 360, 2.0), columns=128)) as scan:
        problem = scan.problem(0, image_shape=(128, 128))
        assert scan.find_center() == pytest.approx(63.5, abs=0.02)
    truth = shepp_logan(35.0).scaled(value=0.05).image((128, 128), problem.operator.geometry.pixel_size)
    image = FBP(window="ram-lak")(problem).x
    assert (image - truth).norm() / truth.norm() < 0.25


def test_limited_scans_keep_the_axis_in_the_middle_and_say_so(htc):
    degrees = np.arange(30, 120.5, 1)
    with open_scan(htc("CtDataLimited", degrees)) as scan:
        assert (scan.views, scan.contents.dataset) == (91, "CtDataLimited/sinogram")
        with pytest.raises(DataError, match="too little of a turn"):
            scan.find_center()
        out = scan.line_integrals(0)
        assert out.center == 31.5
        assert any("taken at the detector's middle" in sentence for sentence in out.report)
        assert not any("found" in sentence for sentence in scan.line_integrals(0, center=30).report)


def test_views_that_turn_the_other_way_are_detected_and_remedied(htc):
    path = htc(degrees=np.arange(0, 360, 2.0), angles=-np.arange(0, 360, 2.0)[None] % 360)
    with open_scan(path) as scan, pytest.warns(InvgenWarning, match="--rotation clockwise"):
        scan.find_center()
    with open_scan(path, rotation="clockwise") as scan:
        assert scan.find_center() == pytest.approx(31.5, abs=0.02)
        assert (np.diff(scan.angles) > 0).all()  # counted as the file does
        turned = scan.problem(0, center=31.5, image_shape=(64, 64))
    with open_scan(htc(degrees=np.arange(0, 360, 2.0))) as scan:
        straight = scan.problem(0, center=31.5, image_shape=(64, 64))
    pair = [problem.operator.H(problem.measurement) for problem in (turned, straight)]
    assert torch.allclose(*pair, rtol=1e-3, atol=1e-4 * float(pair[0].max()))


def test_a_field_is_still_read_by_its_name(htc):
    with open_scan(htc(), dataset="CtDataFull/sinogram", axes="angle,column") as scan:
        assert (scan.format, scan.beam, scan.has_angles) == ("MAT array", None, False)


def test_the_caller_may_say_other_angles(htc):
    with open_scan(htc(), angles=np.linspace(0, 1, 91)) as scan:
        assert scan.angles[-1] == 1


BAD = {
    "no distance": ({"distanceSourceOrigin": None}, FileError, "no field distanceSourceOrigin"),
    "no unit": ({"distanceUnit": None}, FileError, "no field distanceUnit"),
    "no angles": ({"angles": None}, FileError, "no field angles"),
    "unknown unit": ({"distanceUnit": "furlong"}, DataError, "'furlong', which is no unit of length"),
    "number for a unit": ({"distanceUnit": 3.0}, FileError, "distanceUnit should be a text"),
    "text for a number": ({"distanceSourceDetector": "far"}, FileError, "should be real numbers"),
    "two distances": ({"distanceSourceOrigin": [[1.0, 2.0]]}, FileError, "should be a positive number"),
    "NaN": ({"pixelSizePost": np.nan}, FileError, "pixelSizePost should be a positive number; it is nan"),
    "exchanged": ({"distanceSourceOrigin": 600.0}, DataError, "the distances are exchanged"),
    "other pixels": ({"effectivePixelSizePost": 0.2}, DataError, "effectivePixelSizePost is 0.2 mm"),
    "few angles": ({"angles": np.zeros((1, 90))}, DataError, "90 angles for 91 projections"),
    "complex angles": ({"angles": np.zeros((1, 91)) * 1j}, FileError, "should be real numbers"),
    "other detector": ({"numDetectorsPost": 560}, DataError, "64 columns, and .* says 560"),
    "flat sinogram": ({"sinogram": np.zeros((1, 64, 91, 2))}, DataError, "2 or 3 axes"),
    "text sinogram": ({"sinogram": "lost"}, FileError, "sinogram should be real numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_are_not_as_the_challenge_has_them(htc, name):
    replaced, error, message = BAD[name]
    with pytest.raises(error, match=message):
        open_scan(htc(**replaced))


def test_no_struct_at_all(tmp_path):
    scipy.io.savemat(tmp_path / "scan.mat", {"CtDataFull": np.zeros((3, 4))})
    with pytest.raises(FileError, match="should be a struct"):
        open_scan(tmp_path / "scan.mat")
    scipy.io.savemat(tmp_path / "scan.mat", {"CtDataFull": {"type": "2D"}})
    with pytest.raises(FileError, match="no field parameters"):
        open_scan(tmp_path / "scan.mat")


def test_truncated_files(htc):
    path = htc()
    content = path.read_bytes()
    for fraction in (0.1, 0.5, 0.99):
        path.write_bytes(content[: int(fraction * len(content))])
        with pytest.raises(FileError):
            open_scan(path)


@pytest.mark.parametrize("seed", range(30))
def test_corrupt_bytes_never_crash(htc, seed):
    rng = np.random.default_rng(seed)
    path = htc(columns=16)
    content = bytearray(path.read_bytes())
    places = rng.integers(128, len(content), 5) if seed % 2 else rng.integers(128, 700, 5)
    for place in places:
        content[place] = rng.integers(256)
    path.write_bytes(content)
    with suppress(InvgenError), open_scan(path) as scan:  # any other error fails
        scan.info()
        scan.preprocess(0)

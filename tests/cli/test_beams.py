"""Fan and cone beams on the command line, and the measured fans of the Helsinki Tomography Challenge."""

from __future__ import annotations

import json
import shlex

import h5py
import numpy as np
import pytest
import scipy.io
from skimage.filters import threshold_otsu

from invgen.io import read_reconstruction
from invgen.simulate import simulate_ct


@pytest.fixture(scope="module")
def fan(tmp_path_factory):
    path = tmp_path_factory.mktemp("fan") / "fan.h5"
    simulate_ct(path, "shepp-logan", geometry="fan", size=48, views=90, pixel_size=0.1)
    return path


@pytest.fixture(scope="module")
def cone(tmp_path_factory):
    path = tmp_path_factory.mktemp("cone") / "cone.h5"
    simulate_ct(path, "shepp-logan", geometry="cone", size=24, views=48, slices=6)
    return path


def volume(path):
    with read_reconstruction(path) as file:
        return file.volume[:]


def relative_error(image, scan):
    with h5py.File(scan) as file:
        truth = file["truth/image"][:]
    return np.linalg.norm(image - truth) / np.linalg.norm(truth)


@pytest.mark.slow
def test_a_measured_fan_without_a_word_on_its_geometry(invgen, data, tmp_path):
    """Full figures are in the benchmarks; here at a quarter of the pixels and an eighth of the views."""
    path, out = data / "ct" / "htc2022_tc_full.mat", tmp_path / "out.h5"
    result = invgen("recon", path, "-o", out, "--bin", 2, "--views", "::8")
    assert result.exit_code == 0, result.output
    segmentation = scipy.io.loadmat(data / "ct" / "htc2022_tc_full_recon_fbp_seg.mat")["reconFullFbpSeg"]
    expected = segmentation.astype(float).reshape(256, 2, 256, 2).mean((1, 3)) > 0.5
    with read_reconstruction(out) as file:
        image, unit, pixel_size = file.volume[0], file.unit, file.pixel_size
    assert (unit, pixel_size) == ("mm", pytest.approx(2 * 0.14832232))
    material = image > threshold_otsu(image)
    assert (material & expected).sum() / (material | expected).sum() > 0.98


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("solver", ["fbp", "tv", "cg", "sirt", "ossart"])
def test_every_solver_takes_fans(invgen, fan, tmp_path, solver):
    words = ("--solver", solver, "--size", 48)
    assert invgen("recon", fan, "-o", tmp_path / "out.h5", *words).exit_code == 0
    assert relative_error(volume(tmp_path / "out.h5"), fan) < 0.45


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("solver", ["fbp", "tv", "cg", "sirt", "ossart"])
def test_every_solver_takes_cones(invgen, cone, tmp_path, solver):
    more = () if solver == "fbp" else ("--iterations", 60)
    words = ("--solver", solver, *more, "--slices", "1:7", "--size", 24)  # the others are above and below
    result = invgen("recon", cone, "-o", tmp_path / "out.h5", *words)
    assert result.exit_code == 0, result.output
    assert ("fbp (FDK)" in result.output) == (solver == "fbp")
    assert relative_error(volume(tmp_path / "out.h5"), cone) < 0.5


def test_slices_of_a_cone_are_those_of_the_volume(invgen, cone, tmp_path):
    invgen("recon", cone, "-o", tmp_path / "all.h5", "--center", 12)
    invgen("recon", cone, "-o", tmp_path / "some.h5", "--center", 12, "--slices", "2:5")
    assert np.array_equal(volume(tmp_path / "all.h5")[2:5], volume(tmp_path / "some.h5"))
    invgen("recon", cone, "-o", tmp_path / "coarse.h5", "--center", 12, "--bin", 2)
    assert volume(tmp_path / "coarse.h5").shape == (4, 12, 12)
    with read_reconstruction(tmp_path / "some.h5") as file:
        assert file.settings["rows"] == [2, 3, 4]
        assert "divided by" in " ".join(file.report(0))


def test_more_rows_of_a_cone_than_there_are_cannot_be_binned(refused, cone, tmp_path):
    assert "the cone beam has 8" in refused("recon", cone, "-o", tmp_path / "out.h5", "--bin", 20)


@pytest.mark.slow
def test_a_slice_of_a_cone_is_compared_to_its_own_truth(invgen, refused, cone, tmp_path):
    out, picture = tmp_path / "out.h5", tmp_path / "out.png"
    invgen("recon", cone, "-o", out, "--size", 24)
    assert invgen("view", out, "-o", picture, "--compare", cone, "--slices", "1:7").exit_code == 0
    message = refused("view", out, "-o", picture, "--compare", cone, "--slices", 0)
    assert "truth of slices 1 to 6; there is no 0" in message


@pytest.mark.parametrize(
    "options",
    [
        ("--angles-range", "300:120", "--views", "::2", "--rotation", "clockwise"),
        ("--angles-range", "0:250", "--bin", "2"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_the_output_reports_the_command_that_makes_it_again(invgen, fan, tmp_path, options):
    first, second = tmp_path / "first.h5", tmp_path / "second.h5"
    assert invgen("recon", fan, "-o", first, *options).exit_code == 0
    with read_reconstruction(first) as file:
        command = shlex.split(file.settings["command"])
        assert len(file.angles) == (23 if "--views" in options else 63)
    assert set(options) <= set(command)
    command[command.index(str(first))] = str(second)
    assert invgen(*command[1:]).exit_code == 0
    assert np.array_equal(volume(first), volume(second))


def test_angles_that_are_no_range(invgen, refused, fan, tmp_path):
    words = ("recon", fan, "-o", tmp_path / "out.h5", "--angles-range")
    for text in ("90", "a:b", "0:90:2"):
        result = invgen(*words, text)
        assert result.exit_code == 2
        assert "--angles-range" in result.output
    assert "no views from 400 to 420 degrees: the scan has 90, at 0 to 356 degrees" in refused(
        *words, "400:420"
    )
    assert "selects none of the 23 views" in refused(*words, "0:90", "--views", "30:")


def test_too_few_angles_to_find_the_axis(invgen, fan, tmp_path):
    """The whole scan determines the axis of a part of it; a file with that part only does not."""
    out, part = tmp_path / "out.h5", tmp_path / "part.h5"
    part.write_bytes(fan.read_bytes())
    with h5py.File(part, "a") as file:
        for name in ("data", "theta"):
            values = file[f"exchange/{name}"][:25]
            del file[f"exchange/{name}"]
            file[f"exchange/{name}"] = values
        exact, columns = file["truth"].attrs["rotation_center"], file["exchange/data"].shape[2]
    assert "standard error" in invgen("recon", fan, "-o", out, "--angles-range", "0:100").output
    with read_reconstruction(out) as file:
        assert file.center == pytest.approx(exact, abs=0.05)
    assert "taken at the detector's middle" in " ".join(invgen("recon", part, "-o", out).output.split())
    with read_reconstruction(out) as file:
        assert file.center == (columns - 1) / 2
        assert "taken at the detector's middle" in " ".join(file.report(0))
    invgen("recon", part, "-o", out, "--center", exact)
    with read_reconstruction(out) as file:
        assert file.center == pytest.approx(exact)


def test_views_that_turn_the_other_way(invgen, fan, tmp_path):
    path, out = tmp_path / "turned.h5", tmp_path / "out.h5"
    path.write_bytes(fan.read_bytes())
    with h5py.File(path, "a") as file:
        file["exchange/theta"][:] = (-file["exchange/theta"][:]) % 360
    assert "--rotation clockwise" in invgen("recon", path, "-o", out, "--size", 48).output
    wrong = relative_error(volume(out), fan)
    result = invgen("recon", path, "-o", out, "--size", 48, "--rotation", "clockwise")
    assert "Warning" not in result.output
    assert relative_error(volume(out), fan) < 0.45 < wrong


def test_info_reports_the_geometry(invgen, fan, cone, scan):
    reported = json.loads(invgen("info", fan, "--json").output)["geometry"]
    assert reported["source_detector"] == pytest.approx(1.5 * reported["source_origin"])
    assert reported["detector_spacing"] == pytest.approx(0.15)
    assert (reported["kind"], reported["unit"], reported["curved"]) == ("fan", "mm", False)
    assert (reported["magnification"], reported["rotation"]) == (pytest.approx(1.5), "counterclockwise")
    half_angle = np.arctan(reported["detector_columns"] * 0.075 / reported["source_detector"])
    assert reported["fan_angle_degrees"] == pytest.approx(2 * np.rad2deg(half_angle))
    text = " ".join(invgen("info", fan).output.split())
    assert "fan, 19.2 mm from the source to the rotation axis, 28.8 mm to the detector" in text
    assert json.loads(invgen("info", cone, "--json").output)["geometry"]["detector_rows"] == 8
    assert "turning clockwise" in invgen("info", cone, "--rotation", "clockwise").output
    reported = json.loads(invgen("info", scan, "--json").output)["geometry"]
    assert (reported["kind"], reported["source_origin"], reported["magnification"]) == ("parallel", None, 1)
    assert reported["fan_angle_degrees"] == 0

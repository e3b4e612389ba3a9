"""From a scan to an image: what is chosen, what is kept, and that it can be done again."""

from __future__ import annotations

import shlex

import h5py
import numpy as np
import pytest

from invgen.io import read_reconstruction


def volume(path):
    with read_reconstruction(path) as file:
        return file.volume[:]


def relative_error(image, truth):
    return np.linalg.norm(image - truth) / np.linalg.norm(truth)


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("solver", ["fbp", "tv", "cg", "sirt", "ossart"])
def test_every_solver_comes_near_the_truth(invgen, scan, tmp_path, solver):
    out = tmp_path / "out.h5"
    result = invgen("recon", scan, "-o", out, "--solver", solver, "--slices", "2:4", "--size", 64)
    assert result.exit_code == 0, result.output
    assert "2 (2 to 3), 64 x 64 pixels" in result.output
    with h5py.File(scan) as file:
        truth = file["truth/image"][2:4]
    assert relative_error(volume(out), truth) < 0.5


def test_the_center_is_found_and_reported(invgen, scan, tmp_path):
    result = invgen("recon", scan, "-o", tmp_path / "out.h5")
    with h5py.File(scan) as file, read_reconstruction(tmp_path / "out.h5") as out:
        exact = file["truth"].attrs["rotation_center"]
        assert out.center == pytest.approx(exact, abs=0.1)
        assert f"column {out.center:.2f}" in result.output


def test_streaming_equals_each_slice_by_itself(invgen, scan, tmp_path):
    """One operator serves all slices, and leaves nothing behind in it."""
    invgen("recon", scan, "-o", tmp_path / "all.h5", "--solver", "sirt", "--iterations", 5)
    invgen("recon", scan, "-o", tmp_path / "one.h5", "--solver", "sirt", "--iterations", 5, "--slices", 5)
    assert np.array_equal(volume(tmp_path / "all.h5")[5], volume(tmp_path / "one.h5")[0])


@pytest.mark.parametrize(
    "options",
    [
        ("--solver", "tv", "--slices", "1:4", "--iterations", "20", "--no-nonnegative"),
        ("--views", "::2", "--bin", "2", "--window", "cosine", "--stripes", "all"),
    ],
)
def test_the_output_reports_the_command_that_makes_it_again(invgen, scan, tmp_path, options):
    first, second = tmp_path / "with space.h5", tmp_path / "second.h5"
    assert invgen("recon", scan, "-o", first, *options).exit_code == 0
    with read_reconstruction(first) as file:
        command = shlex.split(file.settings["command"])
    assert command[:2] == ["invgen", "recon"]
    reported = next(
        line for line in invgen("info", first).output.splitlines() if line.startswith("made by: ")
    )
    assert shlex.split(reported.removeprefix("made by: ")) == command
    assert invgen("info", first).exit_code == 0
    command[command.index(str(first))] = str(second)
    assert invgen(*command[1:]).exit_code == 0
    assert np.array_equal(volume(first), volume(second))


def test_the_weight_is_chosen_once_on_the_middle_slice(invgen, scan, tmp_path):
    out = tmp_path / "out.h5"
    result = invgen("recon", scan, "-o", out, "--solver", "tv", "--slices", "2:7", "--iterations", 10)
    assert "chosen on slice 4 and kept for all slices" in result.output
    with read_reconstruction(out) as file:
        assert f"{file.settings['weight']:.4g}" in result.output
        assert file.settings["rows"] == [2, 3, 4, 5, 6]
        assert file.versions["invgen"]
        assert len(file.angles) == 45
        assert "divided by" in " ".join(file.report(0))


def test_quiet_says_nothing(invgen, scan, tmp_path):
    assert invgen("recon", scan, "-o", tmp_path / "out.h5", "--quiet").output.strip() == ""


def test_lost_frames_of_one_slice_change_its_operator_only(invgen, scan, tmp_path):
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(scan.read_bytes())
    with h5py.File(damaged, "a") as file:
        file["exchange/data"][7, 1] = 3000  # the shutter stayed closed over one row
    common = ("--center", "37", "--window", "hann")
    assert invgen("recon", damaged, "-o", tmp_path / "a.h5", *common).exit_code == 0
    assert invgen("recon", scan, "-o", tmp_path / "b.h5", *common).exit_code == 0
    a, b = volume(tmp_path / "a.h5"), volume(tmp_path / "b.h5")
    assert np.array_equal(a[2:], b[2:])
    assert 0 < relative_error(a[1], b[1]) < 0.3
    with read_reconstruction(tmp_path / "a.h5") as file:
        assert "left out 1 of 45 frames" in " ".join(file.report(1))


def test_rings_go_by_the_filter_that_is_named(invgen, tmp_path):
    out, images = tmp_path / "out.h5", []
    for response, chosen in ((0, ()), (0.1, ()), (0.1, ("--stripes", "sorting"))):
        scan = tmp_path / f"{response}.h5"
        words = ("--size", 128, "--views", 90, "--stripes", response, "--photons", 1e6)
        assert invgen("simulate", "ct", "shepp-logan", "-o", scan, *words).exit_code == 0
        assert invgen("recon", scan, "-o", out, "--center", 63.5, *chosen).exit_code == 0
        images.append(volume(out))
    clean, rings, filtered = images
    # the median of five independent responses has 0.54 of the standard deviation of one
    assert np.linalg.norm(filtered - clean) < 0.6 * np.linalg.norm(rings - clean)
    with read_reconstruction(out) as file:
        assert file.settings["stripes"] == "sorting"
        assert "removed stripes by sorting" in " ".join(file.report(0))


def test_an_option_of_another_solver_is_refused(refused, scan, tmp_path):
    message = refused("recon", scan, "-o", tmp_path / "out.h5", "--solver", "tv", "--window", "hann")
    assert "--window means nothing to the solver tv; it is for fbp" in message


@pytest.mark.parametrize(
    "option",
    [
        ("--slices", "a:b"),
        ("--views", "1:2:0"),
        ("--views", "::-1"),
        ("--center", "left"),
        ("--stripes", "best"),
        ("--weight", "much"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error(invgen, scan, tmp_path, option):
    result = invgen("recon", scan, "-o", tmp_path / "out.h5", *option)
    assert result.exit_code == 2
    assert option[0] in result.output


class TestMeasuredScans:
    def test_tooth_is_centered_at_296(self, invgen, data, tmp_path):
        out = tmp_path / "tooth.h5"
        result = invgen("recon", data / "ct" / "tooth.h5", "-o", out)
        assert result.exit_code == 0, result.output
        with read_reconstruction(out) as file:
            assert abs(file.center - 296) < 0.5
            assert file.volume.shape == (1, 640, 640)

    def test_basalt_by_the_names_of_its_arrays(self, invgen, data, tmp_path):
        out = tmp_path / "basalt.h5"
        words = (
            "--dataset",
            "sino_basalt",
            "--axes",
            "column,angle",
            "--angles",
            "angles",
            "--angle-unit",
            "rad",
        )
        result = invgen("recon", data / "ct" / "sino_basalt.mat", "-o", out, *words)
        assert result.exit_code == 0, result.output
        with read_reconstruction(out) as file:
            assert abs(file.center - 312) < 0.5  # 313 as MATLAB counts
            assert np.isfinite(file.volume[:]).all()


def test_a_preview_says_how_all_is_reconstructed(invgen, scan, tmp_path):
    result = invgen("recon", scan, "-o", tmp_path / "x.h5", "--preview", "--window", "cosine")
    assert result.exit_code == 0, result.output
    (line,) = (each for each in result.output.splitlines() if each.startswith("Preview"))
    assert line.startswith("Preview: 8 of 8 slices, by fbp. In full: invgen recon ")
    assert line.endswith("--window cosine")


@pytest.mark.parametrize("words", [("--preview",), ("--roi", "2:9,3:9")])
def test_calibrations_are_of_whole_images(refused, scan, tmp_path, words):
    said = refused("calibrate", scan, "-o", tmp_path / "x.calibration", *words)
    assert f"{words[0]} is of reconstructions" in said


@pytest.mark.parametrize("text", ["2:9", "2,3", "a:3,1:2", "0:8:2,0:8"])
def test_a_window_that_is_none(invgen, scan, tmp_path, text):
    result = invgen("recon", scan, "-o", tmp_path / "x.h5", "--roi", text)
    assert result.exit_code == 2
    assert not (tmp_path / "x.h5").exists()

"""MRI scans on the command line: the same commands as for CT, their own solvers and options."""

from __future__ import annotations

import json
import shlex
import signal
import time

import h5py
import numpy as np
import pytest
import torch

import invgen as ig
from invgen.cli.sampling import draw_sampling
from invgen.io import ReconstructionWriter, open_scan, read_reconstruction
from invgen.simulate import simulate_mri
from invgen.solvers.methods import find

SOLVERS = ("rss", "zero-filled", "cg-sense", "tv")


def volume(path):
    with read_reconstruction(path) as file:
        return file.volume[:]


def relative_error(path, truth, index=0):
    """Of the modulus, where the phase is that of the maps and not the object's."""
    image = np.abs(volume(path)[index])
    return np.linalg.norm(image - np.abs(truth)) / np.linalg.norm(truth)


def truth(path, index=0):
    with h5py.File(path) as file:
        return file["truth/image"][index]


def as_array(mri, path, slice=1):
    """k-space of a slice as a NPY file that says nothing of itself."""
    with open_scan(mri) as scan:
        np.save(path, scan.kspace(slice).data.numpy())
    return path


class TestInfo:
    def test_reports_coils_matrix_sampling_and_noise(self, invgen, mri):
        result = invgen("info", mri)
        assert result.exit_code == 0, result.output
        for reported in (
            "4 coils, 3 slices",
            "56 x 48 pixels",
            "5 x 5 mm",
            "cartesian",
            "the middle 16 x 48",
        ):
            assert reported in result.output
        reported = json.loads(invgen("info", mri, "--json").output)
        assert (reported["kind"], reported["coils"], reported["noise_scan"]) == ("mri", 4, True)
        assert reported["acceleration"] == pytest.approx(56 / 36)  # every second line, and 16 in the middle

    @pytest.mark.parametrize("sampling", ["equispaced", "radial"])
    def test_draws_a_dot_for_each_sample(self, invgen, tmp_path, sampling):
        path = tmp_path / "scan.h5"
        simulate_mri(path, size=32, coils=2, sampling=sampling, calibration=6)
        with open_scan(path) as scan:
            kspace = scan.kspace()
        drawing, _, legend = draw_sampling(kspace).rpartition("\n\n")
        dots = sum(bin(ord(c) - 0x2800).count("1") for line in drawing.splitlines() for c in line)
        if sampling == "equispaced":
            assert dots == int(kspace.mask.expand(32, 32).sum())
            assert "all samples" in legend
        else:
            assert 6 * 30 < dots < 6 * 64  # six spokes across 60 dots, some of them shared
            assert "6 of 13 shots" in legend
        assert drawing in invgen("info", path).output

    def test_of_an_output(self, invgen, mri, tmp_path):
        invgen("recon", mri, "-o", tmp_path / "out.h5", "--slices", 0)
        reported = json.loads(invgen("info", tmp_path / "out.h5", "--json").output)
        assert reported["values"] == "complex"
        assert "views" not in reported
        assert reported["command"].startswith("invgen recon ")
        assert "made by: invgen recon" in invgen("info", tmp_path / "out.h5").output


class TestRecon:
    @pytest.mark.cases_are_slow
    @pytest.mark.parametrize("solver", SOLVERS)
    def test_every_solver_comes_near_the_truth(self, invgen, mri, tmp_path, solver):
        out = tmp_path / "out.h5"
        result = invgen("recon", mri, "-o", out, "--solver", solver, "--slices", "1:3")
        assert result.exit_code == 0, result.output
        assert "2 (1 to 2), 56 x 48 pixels" in result.output
        # aliasing of every second line is what the first two leave
        assert relative_error(out, truth(mri, 1)) < (0.25 if solver in ("rss", "zero-filled") else 0.1)
        with read_reconstruction(out) as file:
            assert file.is_complex
            assert (file.pixel_size, file.pixel_height, file.unit) == (5, 5, "mm")
            assert "oversampling" in " ".join(file.report(0))
            assert np.array_equal(file.volume.file["magnitude"][:], np.abs(file.volume[:]))

    def test_values_do_not_depend_on_whitening(self, invgen, mri, tmp_path):
        """The coils' own root sum of squares is what the image is scaled to, also after whitening."""
        for name, words in (("white.h5", ()), ("plain.h5", ("--no-whiten",))):
            words = ("--solver", "cg-sense", "--iterations", 12, *words)
            assert invgen("recon", mri, "-o", tmp_path / name, "--slices", 1, *words).exit_code == 0
            assert relative_error(tmp_path / name, truth(mri, 1)) < 0.1
        white, plain = (np.abs(volume(tmp_path / name)) for name in ("white.h5", "plain.h5"))
        assert np.linalg.norm(white - plain) < 0.05 * np.linalg.norm(plain)
        assert not np.array_equal(white, plain)

    @pytest.mark.parametrize("words", [("--maps", "adaptive"), ("--compress", 3)])
    def test_other_maps_and_fewer_coils(self, invgen, mri, tmp_path, words):
        result = invgen("recon", mri, "-o", tmp_path / "out.h5", "--slices", 1, *words)
        assert result.exit_code == 0, result.output
        assert "cg-sense" in result.output
        assert relative_error(tmp_path / "out.h5", truth(mri, 1)) < 0.15

    @pytest.mark.cases_are_slow
    @pytest.mark.parametrize("sampling", ["radial", "spiral"])
    @pytest.mark.parametrize("solver", SOLVERS)
    def test_samples_along_curves(self, invgen, tmp_path, sampling, solver):
        path, out = tmp_path / "scan.h5", tmp_path / "out.h5"
        simulate_mri(path, size=64, coils=3, sampling=sampling, acceleration=1)
        words = ("--iterations", 30) if solver == "tv" else ()
        result = invgen("recon", path, "-o", out, "--solver", solver, *words)
        assert result.exit_code == 0, result.output
        # the curves end at a circle; the truth has the corners of k-space, too
        frequencies = np.fft.fftfreq(64)
        circle = np.hypot(frequencies, frequencies[:, None]) < 0.5
        round_truth = np.fft.ifft2(circle * np.fft.fft2(truth(path)))
        assert relative_error(out, round_truth) < 0.15

    def test_streaming_equals_each_slice_by_itself(self, invgen, mri, tmp_path):
        for name, slices in (("all.h5", "0:3"), ("one.h5", "2")):
            invgen("recon", mri, "-o", tmp_path / name, "--solver", "cg-sense", "--slices", slices)
        assert np.array_equal(volume(tmp_path / "all.h5")[2], volume(tmp_path / "one.h5")[0])

    @pytest.mark.cases_are_slow
    @pytest.mark.parametrize(
        "words",
        [
            (),
            ("--solver", "tv", "--iterations", "8", "--slices", "1:3"),
            ("--no-whiten", "--compress", "2", "--maps", "adaptive"),
        ],
    )
    def test_the_output_reports_the_command_that_makes_it_again(self, invgen, mri, tmp_path, words):
        first, second = tmp_path / "with space.h5", tmp_path / "second.h5"
        assert invgen("recon", mri, "-o", first, *words).exit_code == 0
        with read_reconstruction(first) as file:
            command = shlex.split(file.settings["command"])
        command[command.index(str(first))] = str(second)
        assert "--solver" in command
        assert invgen(*command[1:]).exit_code == 0
        assert np.array_equal(volume(first), volume(second))

    def test_a_volume_is_reconstructed_at_once_and_slices_are_kept(self, invgen, tmp_path):
        """Coil-wise constant maps, so that the fully sampled volume is known."""
        rng = np.random.default_rng(0)
        image = rng.standard_normal((8, 24, 20)) + 2
        shifted = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(image), norm="ortho"))
        np.save(tmp_path / "volume.npy", np.stack([0.6 * shifted, 0.8j * shifted]).astype(np.complex64))
        words = ("--axes", "coil,z,y,x", "--slices", "2:5", "--solver", "rss")
        result = invgen("recon", tmp_path / "volume.npy", "-o", tmp_path / "out.h5", *words)
        assert result.exit_code == 0, result.output
        assert "3 (2 to 4), 24 x 20 pixels" in result.output
        np.testing.assert_allclose(np.abs(volume(tmp_path / "out.h5")), np.abs(image[2:5]), atol=1e-5)

    def test_iterations_of_cg_sense(self, invgen, mri, tmp_path):
        """So many as are asked for; else it stops at the noise, but not before aliasing is unfolded."""
        words = ("recon", mri, "-o", tmp_path / "out.h5", "--slices", 1)
        assert "iterations  3," in invgen(*words, "--iterations", 3).output
        reported = next(line for line in invgen(*words).output.splitlines() if "iterations" in line)
        assert 10 <= int(reported.split()[1].rstrip(",")) <= 30

    def test_what_a_file_does_not_say_is_typed(self, invgen, mri, tmp_path):
        array, out = as_array(mri, tmp_path / "kspace.npy"), tmp_path / "out.h5"
        words = ("--axes", "coil,y,x", "--field-of-view", "0.28,0.24")
        result = invgen("recon", array, "-o", out, *words)
        assert result.exit_code == 0, result.output
        assert "estimated from the outer part of k-space" in result.output
        assert relative_error(out, truth(mri, 1)) < 0.2  # it also takes signal of so small a matrix for noise
        with read_reconstruction(out) as file:
            assert file.pixel_size == pytest.approx(5)

    def test_without_calibration_it_is_root_sum_of_squares(self, invgen, refused, mri, tmp_path):
        kspace = np.load(as_array(mri, tmp_path / "kspace.npy"))
        kspace[:, 26:31] = 0
        np.save(tmp_path / "kspace.npy", kspace)
        words = ("recon", tmp_path / "kspace.npy", "-o", tmp_path / "out.h5", "--axes", "coil,y,x")
        result = invgen(*words)
        assert result.exit_code == 0, result.output
        assert "no coil maps can be made" in result.output
        with read_reconstruction(tmp_path / "out.h5") as file:
            assert file.settings["solver"] == "rss"
        refused(*words, "--solver", "cg-sense")


class TestPartialFourier:
    """Five eighths of k-space: what zero filling blurs is there."""

    @staticmethod
    def scan(path, **settings):
        settings = {"size": 48, "acceleration": 1, "calibration": 0, "partial_fourier": 0.625} | settings
        simulate_mri(path, **settings)
        return path

    @pytest.mark.parametrize("coils", [1, 8])
    @pytest.mark.parametrize("solver", ["homodyne", "pocs"])
    def test_comes_nearer_than_zero_filling(self, invgen, tmp_path, solver, coils):
        path = self.scan(tmp_path / "scan.h5", coils=coils)
        errors = []
        for name in ("zero-filled", solver):
            result = invgen("recon", path, "-o", tmp_path / "out.h5", "--solver", name)
            assert result.exit_code == 0, result.output
            errors.append(relative_error(tmp_path / "out.h5", truth(path)))
        assert errors[1] < errors[0] / 2
        found = "partial Fourier along y: 30 of 48 entries (0.625), further on the positive side"
        assert found in result.output
        with read_reconstruction(tmp_path / "out.h5") as file:
            assert found in file.report(0)

    @pytest.mark.parametrize("solver", ["homodyne", "pocs"])
    def test_coils_without_maps_are_those_of_each_alone(self, invgen, tmp_path, solver):
        path, out = self.scan(tmp_path / "scan.h5", coils=3), tmp_path / "out.h5"
        result = invgen("recon", path, "-o", out, "--solver", solver, "--maps", "none")
        assert result.exit_code == 0, result.output
        with open_scan(path) as scan:
            kspace = scan.kspace()
        A = ig.operators.MRI(kspace.image_shape, kspace.mask)
        alone = find(solver, "cartesian").solver()
        images = [alone(ig.Problem(A, y)).x.abs() for y in kspace.data]
        expected = torch.stack(images).square().sum(0).sqrt()
        np.testing.assert_allclose(np.abs(volume(out)[0]), expected, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("solver", ["homodyne", "pocs"])
    def test_an_asymmetric_echo(self, invgen, tmp_path, solver):
        """The first samples of each readout, which has its own axis, are missing."""
        path = self.scan(tmp_path / "scan.h5", coils=4, partial_fourier=1.0)
        kspace = np.load(as_array(path, tmp_path / "kspace.npy", slice=0))
        kspace[..., :16] = 0
        np.save(tmp_path / "kspace.npy", kspace)
        errors = []
        for name in ("zero-filled", solver):
            words = ("--axes", "coil,y,x", "--solver", name)
            result = invgen("recon", tmp_path / "kspace.npy", "-o", tmp_path / "out.h5", *words)
            assert result.exit_code == 0, result.output
            errors.append(relative_error(tmp_path / "out.h5", truth(path)))
        assert errors[1] < errors[0]
        assert "partial Fourier along x: 32 of 48 entries" in result.output

    def test_without_calibration_coils_have_no_maps(self, invgen, tmp_path):
        """The middle that is symmetric has five lines, from which a phase follows, but no maps."""
        path, out = self.scan(tmp_path / "scan.h5", coils=3, partial_fourier=0.55), tmp_path / "out.h5"
        result = invgen("recon", path, "-o", out, "--solver", "homodyne")
        assert result.exit_code == 0, result.output
        assert "no coil maps can be made" in result.output
        with read_reconstruction(out) as file:
            assert "--maps none" in file.settings["command"]

    def test_lines_that_are_missing_are_for_pocs(self, invgen, refused, tmp_path):
        path = self.scan(tmp_path / "scan.h5", coils=8, acceleration=2, calibration=16, partial_fourier=0.75)
        words = ("recon", path, "-o", tmp_path / "out.h5", "--solver")
        assert "some are missing. Use POCS" in refused(*words, "homodyne")
        errors = []
        for solver in ("cg-sense", "pocs"):
            assert invgen(*words, solver).exit_code == 0
            errors.append(relative_error(tmp_path / "out.h5", truth(path)))
        assert errors[1] < errors[0]

    def test_of_symmetric_k_space_there_is_nothing_to_fill(self, refused, mri, tmp_path):
        for solver in ("homodyne", "pocs"):
            message = refused("recon", mri, "-o", tmp_path / "out.h5", "--solver", solver)
            assert "nothing to fill" in message
            assert "cg-sense" in message

    def test_other_methods_need_maps(self, refused, mri, tmp_path):
        words = ("recon", mri, "-o", tmp_path / "out.h5", "--solver", "cg-sense", "--maps", "none")
        assert "--maps none is for homodyne and pocs" in refused(*words)


def test_which_of_several_measurements_of_a_slice_is_taken_is_said(invgen, mri, tmp_path):
    as_array(mri, tmp_path / "k.npy")
    once = np.load(tmp_path / "k.npy")
    np.save(tmp_path / "k.npy", np.stack([once, 2 * once]))
    words = ("recon", tmp_path / "k.npy", "--axes", "repetition,coil,y,x", "--solver", "rss")
    results = [invgen(*words, "-o", tmp_path / f"{chosen}.h5", "--repetition", chosen) for chosen in (0, 1)]
    for chosen, result in enumerate(results):
        assert result.exit_code == 0, result.output
        assert f"measured 2 times: repetition {chosen}" in result.output
    np.testing.assert_allclose(volume(tmp_path / "1.h5"), 2 * volume(tmp_path / "0.h5"), rtol=1e-6)


class TestRefused:
    @pytest.mark.parametrize(
        ("words", "reported"),
        [
            (
                ("--solver", "fbp"),
                "--solver fbp is for CT scans; this is an MRI scan: rss, zero-filled, cg-sense, tv",
            ),
            (("--center", 3), "--center is for CT scans; this is an MRI scan"),
            (("--views", "::2"), "--views is for CT scans"),
            (("--window", "hann"), "--window is for CT scans"),
            (("--no-nonnegative",), "--nonnegative is for CT scans"),
            (("--angles", "0:180:20"), "to which angles does not apply"),
            (("--solver", "rss", "--maps", "adaptive"), "means nothing to the solver rss"),
            (("--repetition", 3), "there is no repetition 3"),
            (("--slices", "7:"), "none of the 3 slices"),
            (("--compress", 9), "4"),
        ],
    )
    def test_what_is_not_for_mri(self, refused, mri, tmp_path, words, reported):
        assert reported in refused("recon", mri, "-o", tmp_path / "out.h5", *words)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("words", "reported"),
        [
            (("--solver", "cg-sense"), "this is a CT scan: fbp, tv, cg, sirt, ossart"),
            (("--maps", "espirit"), "--maps is for MRI scans; this is a CT scan"),
            (("--no-whiten",), "--no-whiten is for MRI scans"),
            (("--repetition", 1), "--repetition is for MRI scans"),
            (("--matrix", "64x64"), "to which matrix does not apply"),
        ],
    )
    def test_what_is_not_for_ct(self, refused, scan, tmp_path, words, reported):
        assert reported in refused("recon", scan, "-o", tmp_path / "out.h5", *words)

    @pytest.mark.parametrize("option", [("--matrix", "wide"), ("--field-of-view", "wide")])
    def test_what_cannot_be_read_is_a_usage_error(self, invgen, mri, tmp_path, option):
        result = invgen("recon", mri, "-o", tmp_path / "out.h5", *option)
        assert result.exit_code == 2
        assert option[0] in result.output

    def test_a_cut_file(self, refused, mri, tmp_path):
        (tmp_path / "cut.h5").write_bytes(mri.read_bytes()[:100_000])
        refused("recon", tmp_path / "cut.h5", "-o", tmp_path / "out.h5")
        refused("info", tmp_path / "cut.h5")
        assert [path.name for path in tmp_path.iterdir()] == ["cut.h5"]

    def test_a_disk_that_fills_up(self, refused, mri, tmp_path, monkeypatch):
        write = ReconstructionWriter.write

        def full(self, index, *slice):
            if index == 1:
                raise OSError(28, "No space left on device")
            write(self, index, *slice)

        monkeypatch.setattr(ReconstructionWriter, "write", full)
        words = ("recon", mri, "-o", tmp_path / "out.h5", "--solver", "rss")
        assert "the disk is full" in refused(*words)
        assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_ctrl_c_in_the_middle(start, mri, tmp_path):
    out = tmp_path / "out.h5"
    out.write_text("from an earlier run")
    words = ("--solver", "tv", "--weight", 1, "--iterations", 1_000_000)
    process = start("recon", mri, "-o", out, *words)
    until = time.monotonic() + 60
    while not list(tmp_path.glob(".out*")) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Interrupted; nothing half-written is left." in errors
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]
    assert out.read_text() == "from an earlier run"


class TestMeasuredScans:
    def test_brain_of_undersampled_coils(self, invgen, data, tmp_path):
        path = data / "mri" / "sigpy_cartesian_ksp.npy"
        if not path.is_file():
            pytest.skip(f"no measured scan: {path} is not there")
        result = invgen("recon", path, "-o", tmp_path / "out.h5", "--axes", "coil,y,x")
        assert result.exit_code == 0, result.output
        image = np.abs(volume(tmp_path / "out.h5")[0])
        assert image.shape == (230, 180)
        # a head in the middle, air around it: what eight-fold undersampling aliased is gone from there
        assert np.median(image[100:140, 70:110]) > 20 * np.median(image[:20])

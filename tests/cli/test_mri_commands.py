"""`view`, `simulate` and `demo` of MRI."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
from PIL import Image

from invgen.io import read_reconstruction
from invgen.simulate import simulate_mri


def volume(path):
    with read_reconstruction(path) as file:
        return file.volume[:]


def truth(path, index=0):
    with h5py.File(path) as file:
        return file["truth/image"][index]


class TestView:
    @pytest.fixture
    def images(self, invgen, mri, tmp_path):
        for solver in ("rss", "cg-sense"):
            out = tmp_path / f"{solver}.h5"
            assert invgen("recon", mri, "-o", out, "--solver", solver, "--slices", "1:3").exit_code == 0
        return tmp_path / "rss.h5", tmp_path / "cg-sense.h5"

    @pytest.fixture
    def shown(self, monkeypatch):
        """Images, titles and options of the pictures that are made."""
        from invgen import figures

        calls, montage = [], figures.montage

        def spy(images, titles, **options):
            calls.append((images, titles, options))
            return montage(images, titles, **options)

        monkeypatch.setattr(figures, "montage", spy)
        return calls

    def test_magnitude_and_phase(self, invgen, images, tmp_path, shown):
        picture = tmp_path / "picture.png"
        assert invgen("view", images[1], "-o", picture).exit_code == 0
        assert invgen("view", images[1], "-o", picture, "--phase", "--slices", 0).exit_code == 0
        (magnitudes, titles, first), (phases, _, second) = shown
        assert titles == ["slice 1", "slice 2"]
        assert (first["label"], second["label"]) == ("magnitude", "phase (radians)")
        np.testing.assert_allclose(magnitudes[0], np.abs(volume(images[1])[0]), rtol=1e-6)
        np.testing.assert_allclose(phases[0], np.angle(volume(images[1])[0]), atol=1e-5)
        assert Image.open(picture).width > 300

    def test_compared_with_another_and_the_truth(self, invgen, images, mri, tmp_path, shown):
        words = ("-o", tmp_path / "picture.png", "--slices", 0, "--compare")
        assert invgen("view", images[1], *words, images[0]).exit_code == 0
        assert invgen("view", images[1], *words, mri).exit_code == 0
        (_, titles, _), (pair, _, _) = shown
        assert [title.split("\n")[0] for title in titles] == ["cg-sense, slice 1", "rss, slice 1", "truth"]
        np.testing.assert_allclose(pair[1], np.abs(truth(mri, 1)), rtol=1e-6)

    def test_compared_with_the_reconstruction_that_fastmri_stores(self, invgen, tmp_path, shown):
        """Its root sum of squares, cropped: ours of the fully sampled file is the same."""
        path, out = tmp_path / "file.h5", tmp_path / "out.h5"
        rng = np.random.default_rng(0)
        kspace = rng.standard_normal((1, 2, 32, 24)) + 1j * rng.standard_normal((1, 2, 32, 24))
        axes = (-2, -1)
        images = np.fft.ifftshift(kspace, axes=axes)
        images = np.fft.fftshift(np.fft.ifftn(images, axes=axes, norm="ortho"), axes=axes)
        with h5py.File(path, "w") as file:
            file["kspace"] = kspace.astype(np.complex64)
            file["reconstruction_rss"] = np.sqrt((np.abs(images) ** 2).sum(1))[:, 8:24, 4:20].astype("f4")
            file["ismrmrd_header"] = HEADER.encode()
        assert invgen("recon", path, "-o", out, "--solver", "rss").exit_code == 0
        assert invgen("view", out, "-o", tmp_path / "picture.png", "--compare", path).exit_code == 0
        (ours, reference), titles, _ = shown.pop()
        assert titles[1] == "reference\nslice 0"
        np.testing.assert_allclose(ours, reference, rtol=1e-4)

    def test_what_has_no_phase(self, refused, invgen, images, scan, tmp_path):
        assert invgen("recon", scan, "-o", tmp_path / "ct.h5", "--slices", 0).exit_code == 0
        words = ("-o", tmp_path / "picture.png", "--phase")
        assert "without a phase" in refused("view", tmp_path / "ct.h5", *words)
        assert "leave out --compare" in refused("view", images[0], *words, "--compare", images[1])


HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>32</x><y>24</y><z>1</z></matrixSize>
<fieldOfView_mm><x>320</x><y>240</y><z>5</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>16</x><y>16</y><z>1</z></matrixSize>
<fieldOfView_mm><x>160</x><y>160</y><z>5</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>23</maximum><center>12</center>
</kspace_encoding_step_1></encodingLimits><trajectory>cartesian</trajectory></encoding></ismrmrdHeader>"""


class TestSimulateAndDemo:
    @pytest.mark.parametrize("sampling", ["gaussian", "spiral"])
    def test_a_scan_is_made_and_made_again(self, invgen, tmp_path, sampling):
        for name in ("a.h5", "b.h5"):
            words = (
                "--size",
                32,
                "--coils",
                3,
                "--sampling",
                sampling,
                "--calibration",
                6,
                "--pixel-size",
                2,
            )
            result = invgen("simulate", "mri", "head", "-o", tmp_path / name, *words)
            assert result.exit_code == 0, result.output
            assert f"of 3 coils, {sampling}; truth: 1 x 32 x 32" in result.output
        assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
        reported = json.loads(invgen("info", tmp_path / "a.h5", "--json").output)
        assert (reported["coils"], reported["matrix"], reported["pixel_size"]) == (3, [32, 32], [2, 2])

    def test_an_image_can_be_scanned(self, invgen, tmp_path):
        values = np.zeros((40, 60), np.uint8)
        values[10:30, 12:26] = 200
        Image.fromarray(values).save(tmp_path / "image.png")
        words = ("--size", 24, "--coils", 1, "--acceleration", 1, "--noise", 0, "--calibration", 0)
        result = invgen("simulate", "mri", tmp_path / "image.png", "-o", tmp_path / "scan.h5", *words)
        assert result.exit_code == 0, result.output
        image = np.abs(truth(tmp_path / "scan.h5"))
        # 60 columns fill 24 pixels, and 40 rows the middle 16 of 24
        rows, columns = np.nonzero(image > image.max() / 2)
        assert (rows.min(), rows.max()) == (8, 15)
        assert (columns.min(), columns.max()) in ((5, 9), (5, 10))

    def test_partial_fourier_is_an_option(self, invgen, tmp_path):
        words = ("--size", 32, "--coils", 1, "--calibration", 0, "--partial-fourier", 0.75)
        assert invgen("simulate", "mri", "head", "-o", tmp_path / "a.h5", *words).exit_code == 0
        settings = {"size": 32, "coils": 1, "calibration": 0, "partial_fourier": 0.75}
        simulate_mri(tmp_path / "b.h5", **settings)
        assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()

    def test_a_source_that_is_none(self, refused, tmp_path):
        reported = refused("simulate", "mri", "teapot", "-o", tmp_path / "scan.h5")
        assert "head, shepp-logan or an image" in reported

    @pytest.mark.slow
    def test_demo_leaves_a_table_reconstructions_and_a_picture(self, invgen, tmp_path):
        result = invgen("demo", "--mri", "--output-dir", tmp_path / "demo", "--size", 80)
        assert result.exit_code == 0, result.output
        rows = {
            line.split("│")[1].strip(): float(line.split("│")[2])
            for line in result.output.splitlines()
            if "│" in line
        }
        assert rows["ZERO-FILLED"] < rows["CG-SENSE"] < rows["TV"]
        assert volume(tmp_path / "demo" / "tv.h5").shape == (1, 80, 80)
        assert Image.open(tmp_path / "demo" / "demo.png").width > 1000

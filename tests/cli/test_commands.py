"""`simulate`, `view`, `demo`, the memory of `recon`, and how fast help comes."""

from __future__ import annotations

import subprocess
import sys

import h5py
import numpy as np
import pytest
from PIL import Image

from invgen.io import read_reconstruction


def test_simulated_scans_have_their_truth_and_can_be_made_again(invgen, tmp_path):
    for name in ("a.h5", "b.h5"):
        words = ("--size", 32, "--views", 12, "--range", 360, "--pixel-size", 0.01, "--stripes", 0.01)
        assert invgen("simulate", "ct", "foam", "-o", tmp_path / name, *words).exit_code == 0
    with h5py.File(tmp_path / "a.h5") as a, h5py.File(tmp_path / "b.h5") as b:
        assert a["truth/image"].shape == (1, 32, 32)
        assert np.allclose(a["exchange/theta"][:], 30 * np.arange(12))
        assert np.array_equal(a["exchange/data"][:], b["exchange/data"][:])


@pytest.mark.parametrize("name", ["grey.png", "color.png", "values.npy", "values.tif"])
def test_images_can_be_scanned(invgen, tmp_path, name):
    values = np.zeros((40, 40), np.uint8)
    values[10:30, 12:26] = 200
    if name.endswith("npy"):
        np.save(tmp_path / name, values)
    else:
        Image.fromarray(np.stack([values] * 3, -1) if name == "color.png" else values).save(tmp_path / name)
    scan = tmp_path / "scan.h5"
    result = invgen("simulate", "ct", tmp_path / name, "-o", scan, "--size", 20)
    assert result.exit_code == 0, result.output
    with h5py.File(scan) as file:
        truth = file["truth/image"][0]
    assert np.allclose(truth / truth.max(), values[::2, ::2] / 200, atol=1e-5)


def test_a_source_that_is_none(refused, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    for source, reported in (
        ("teapot", "foam, random, shepp-logan or an image"),
        (tmp_path / "text.png", "as a picture"),
    ):
        assert reported in refused("simulate", "ct", source, "-o", tmp_path / "scan.h5")
    assert not (tmp_path / "scan.h5").exists()


@pytest.fixture
def images(invgen, scan, tmp_path):
    """Two reconstructions of the same slices."""
    for name, window in (("sharp", "ram-lak"), ("smooth", "hann")):
        words = ("--window", window, "--size", 64, "--slices", "4:7")
        assert invgen("recon", scan, "-o", tmp_path / f"{name}.h5", *words).exit_code == 0
    return tmp_path / "sharp.h5", tmp_path / "smooth.h5"


@pytest.mark.slow
def test_pictures(invgen, images, scan, tmp_path, monkeypatch):
    shown = []
    from invgen import figures

    montage = figures.montage
    monkeypatch.setattr(
        figures, "montage", lambda *a, **k: (shown.append((a[1], k["columns"])), montage(*a, **k))[1]
    )
    picture = tmp_path / "picture.png"
    assert invgen("view", images[0], "-o", picture, "--slices", "1:3", "--window", "-0.1:0.5").exit_code == 0
    assert Image.open(picture).width > 300
    assert shown.pop() == (["slice 5", "slice 6"], 4)
    assert invgen("view", images[0], "-o", picture, "--slices", 0, "--compare", images[1]).exit_code == 0
    titles, columns = shown.pop()
    assert columns == 3
    assert [title.split("\n")[0] for title in titles] == ["sharp, slice 4", "smooth, slice 4", "truth"]
    assert "dB, SSIM" in titles[0]
    assert invgen("view", images[0], "-o", picture, "--compare", scan).exit_code == 0
    assert shown.pop()[1] == 2


def test_what_cannot_be_shown(refused, invgen, images, scan, tmp_path):
    words = ("-o", tmp_path / "picture.png")
    assert "no reconstruction" in refused("view", scan, *words)
    assert "--slices selects none of the 3" in refused("view", images[0], *words, "--slices", "5:")
    assert invgen("view", images[0], *words, "--window", "high").exit_code == 2
    assert "what the command reads" in refused("view", images[0], "-o", images[0])
    with h5py.File(images[0], "a") as file:
        file.attrs["settings"] = '["hostile"]'
    assert "do not fit its slices" in refused("view", images[0], *words)
    assert not (tmp_path / "picture.png").exists()


@pytest.mark.slow
def test_demo_leaves_a_table_a_reconstruction_and_a_picture(invgen, tmp_path):
    result = invgen("demo", "--output-dir", tmp_path / "demo", "--size", 128)
    assert result.exit_code == 0, result.output
    rows = {
        line.split("│")[1].strip(): line.split("│")[2:5] for line in result.output.splitlines() if "│" in line
    }
    assert float(rows["TV"][0]) > float(rows["FBP"][0])
    assert float(rows["TV"][1]) > float(rows["FBP"][1])
    with read_reconstruction(tmp_path / "demo" / "tv.h5") as file:
        assert file.volume.shape == (1, 128, 128)
    assert Image.open(tmp_path / "demo" / "demo.png").width > 1000


def test_help_comes_without_loading_torch():
    code = "import sys, invgen.cli; sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'h5py')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    "words", [(), ("info",), ("recon",), ("simulate", "ct"), ("simulate", "mri"), ("view",), ("demo",)]
)
def test_help_has_an_example(invgen, words):
    result = invgen(*words, "--help")
    assert result.exit_code == 0
    assert ("Example" if words else "invgen demo") in result.output


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_slices(invgen, start, tmp_path):
    scan = tmp_path / "scan.h5"
    assert invgen("simulate", "ct", "foam", "-o", scan, "--size", 128, "--slices", 64).exit_code == 0
    tell = "import atexit, resource as r; "
    tell += "atexit.register(lambda: print(r.getrusage(r.RUSAGE_SELF).ru_maxrss))"
    peaks = []
    for slices in ("0:8", "0:64"):
        process = start("recon", scan, "-o", tmp_path / "out.h5", "--slices", slices, "-q", prelude=tell)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        peaks.append(int(output))
    assert peaks[1] < 1.1 * peaks[0]

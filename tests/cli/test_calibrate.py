"""`calibrate`, and the intervals that `recon --calibration` then gives: what is written, said and refused."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import invgen as ig
from invgen.calibration import ConformalIntervals
from invgen.io import read_reconstruction
from invgen.plausibility import Calibration
from invgen.priors.nets import EDM, UNet
from invgen.simulate import simulate_ct

WORDS = ("--solver", "fbp", "--size", 16, "--fov", "image", "--center", 7.5)


@pytest.fixture(scope="module")
def foams(tmp_path_factory):
    """Scans with their truth: of ten slices, and of two."""
    folder = tmp_path_factory.mktemp("foams")
    for name, slices, seed in (("known", 10, 1), ("new", 2, 2)):
        settings = {"size": 16, "views": 12, "detector_count": 16, "center_offset": 0.0, "photons": 1e4}
        simulate_ct(folder / f"{name}.h5", "foam", slices=slices, seed=seed, **settings)
    return folder


@pytest.fixture
def calibrated(invgen, foams, tmp_path):
    def run(*words, name="intervals.json"):
        path = tmp_path / name
        result = invgen("calibrate", foams / "known.h5", "-o", path, *WORDS, *words)
        assert result.exit_code == 0, result.output
        return path, result.output

    return run


def test_what_is_calibrated_is_given_to_new_scans(calibrated, invgen, foams, tmp_path):
    path, said = calibrated("--level", 0.8, "--guarantee", "all", "--about", "foams", "--width", "constant")
    assert "ConformalIntervals(level=0.8, guarantee='all', of pixels, width='constant'" in said
    known = ConformalIntervals.load(path)
    assert (known.level, known.guarantee, known.width, known.images, known.about) == (
        *(0.8, "all", "constant"),
        *(10, "foams"),
    )
    image = tmp_path / "image.h5"
    result = invgen("recon", foams / "new.h5", "-o", image, *WORDS, "--calibration", path)
    assert result.exit_code == 0, result.output
    with read_reconstruction(image) as file:
        assert (file.intervals.lower[:] < file.intervals.upper[:]).all()
    said = invgen("info", image).output
    assert "80 % of all pixels at once, calibrated by 10 images: foams" in said
    assert invgen("view", image, "-o", tmp_path / "image.png").exit_code == 0
    facts = json.loads(invgen("info", image, "--json").output)
    assert facts["intervals"].startswith("80 %")


def test_with_a_confidence_intervals_are_wider(calibrated):
    plain = ConformalIntervals.load(calibrated("--level", 0.5)[0])
    sure = ConformalIntervals.load(calibrated("--level", 0.5, "--confidence", 0.95)[0])
    assert sure.confidence == 0.95
    assert float(sure.factors) > float(plain.factors)


def test_regions_are_those_of_a_label_image(calibrated, invgen, foams, tmp_path):
    """Their intervals are of the means over the pixels of each label."""
    labels = np.zeros((16, 16), np.uint8)
    labels[2:7, 3:9], labels[9:14, 5:12] = 7, 200
    Image.fromarray(labels).save(tmp_path / "labels.png")
    np.save(tmp_path / "labels.npy", labels.astype(np.int32))
    path, said = calibrated("--level", 0.8, "--regions", tmp_path / "labels.png")
    assert "of 2 regions" in said
    known = ConformalIntervals.load(path)
    np.testing.assert_array_equal(known.regions.numpy(), [labels == 7, labels == 200])
    other, _ = calibrated("--level", 0.8, "--regions", tmp_path / "labels.npy", name="npy.json")
    assert other.read_text() == path.read_text()
    image = tmp_path / "image.h5"
    result = invgen("recon", foams / "new.h5", "-o", image, *WORDS, "--calibration", path)
    assert result.exit_code == 0, result.output
    with read_reconstruction(image) as file:
        means = np.stack([file.volume[:][:, labels == name].mean(1) for name in (7, 200)], 1)
        assert file.intervals.lower.shape == (2, 2)
        assert (file.intervals.lower[:] < means).all()
        assert (means < file.intervals.upper[:]).all()
    assert "80 % of 2 regions on average" in invgen("info", image).output


def test_label_images_that_are_none_are_refused_in_a_line(refused, foams, tmp_path):
    def fails(labels, name="labels.npy"):
        path = tmp_path / name
        if isinstance(labels, bytes):
            path.write_bytes(labels)
        elif labels is not None:
            np.save(path, labels)
        output = tmp_path / "intervals.json"
        said = refused("calibrate", foams / "known.h5", "-o", output, *WORDS, "--regions", path)
        assert not output.exists()
        return said

    assert "labels of" in (said := fails(np.ones((8, 8), int)))
    assert "(8, 8) pixels, and the images of (16, 16)" in said
    assert "all of its labels are zero" in fails(np.zeros((16, 16), int))
    assert "whole numbers from zero on" in fails(np.full((16, 16), 0.5))
    assert "whole numbers from zero on" in fails(np.full((16, 16), np.nan))
    assert "whole numbers from zero on" in fails(-np.ones((16, 16), int))
    assert "one label for each pixel" in fails(np.ones((16, 16), complex))
    assert "is empty" in fails(b"", "empty.png")
    assert "cannot be read" in fails(b"\x89PNG\r\n\x1a\n" + bytes(40), "damaged.png")
    assert "absent.npy" in fails(None, "absent.npy")
    Image.fromarray(np.ones((16, 16, 3), np.uint8)).save(tmp_path / "colors.png")
    assert "one label for each pixel; got (16, 16, 3)" in fails(None, "colors.png")
    labels = tmp_path / "labels.npy"
    np.save(labels, np.ones((16, 16), int))
    before = labels.read_bytes()
    said = refused("calibrate", foams / "known.h5", "-o", labels, *WORDS, "--regions", labels)
    assert "what the command reads" in said
    assert labels.read_bytes() == before


def test_what_cannot_be_is_refused_in_a_line(calibrated, refused, foams, tmp_path):
    def fails(*words, scan=foams / "known.h5", name="other.json"):
        said = refused("calibrate", scan, "-o", tmp_path / name, *WORDS, *words)
        assert not (tmp_path / "other.json").exists()
        return said

    assert "level is a number between 0 and 1" in fails("--level", 1.5)
    assert "take 19 or more calibration images; there are 10" in fails("--level", 0.95)
    assert 'guarantee is "average", "each" or "all"' in fails("--guarantee", "most")
    assert "goes with the guarantee" in fails("--guarantee", "all", "--confidence", 0.9)
    assert "width is one of" in fails("--width", "wide")
    assert "takes two samples" in fails("--width", "deviation")
    assert "floor is" in fails("--floor", -1)
    path, _ = calibrated(name="known.json")
    assert "a calibration takes none" in fails("--calibration", path)
    known = foams / "known.h5"
    before = known.read_bytes()
    assert "what the command reads" in refused("calibrate", known, "-o", known, *WORDS)
    assert known.read_bytes() == before
    path.write_text(path.read_text()[:100])
    arguments = ("recon", foams / "new.h5", "-o", tmp_path / "image.h5", *WORDS)
    assert "no JSON" in refused(*arguments, "--calibration", path)
    assert "does not exist" in refused(*arguments, "--calibration", tmp_path / "absent.json")
    path.write_text("")
    assert "empty" in refused(*arguments, "--calibration", path)


def test_warnings_are_calibrated_by_scans_that_fit(invgen, refused, foams, tmp_path):
    """And recon compares a new scan with them: the command writes what recon reads."""
    torch.manual_seed(0)
    prior, output, image = (tmp_path / name for name in ("prior.safetensors", "known.json", "image.h5"))
    ig.priors.Diffusion(EDM(UNet(1, 1, widths=(8,), blocks=1), 0.5), sigma_data=0.5).save(prior)
    words = ("--solver", "dds", "--prior", prior, "--iterations", 2, *WORDS[2:])
    scans = (foams / "known.h5", foams / "known.h5")
    result = invgen("calibrate", *scans, "-o", output, "--plausibility", "--about", "foams", *words)
    assert result.exit_code == 0, result.output
    assert "Calibration(20 scans" in result.output
    assert Calibration.load(output).about == "foams"
    result = invgen("recon", foams / "new.h5", "-o", image, "--calibration", output, "--samples", 1, *words)
    assert result.exit_code == 0, result.output
    with read_reconstruction(image) as file:
        assert "scan" in file.plausible.p_values
    said = refused("calibrate", *scans, "-o", output, "--plausibility", "--level", 0.8, *words)
    assert "--plausibility is of warnings, and --level of intervals" in said
    said = refused("calibrate", *scans, "-o", output, "--examples", scans[0], *words)
    assert "--examples is of warnings: give --plausibility, too" in said
    said = refused("calibrate", *scans, "-o", tmp_path / "other.json", "--plausibility", *WORDS)
    assert "fbp has none: give --solver and --prior" in said
    assert not (tmp_path / "other.json").exists()

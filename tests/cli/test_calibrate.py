"""`calibrate`, and the intervals that `recon --calibration` then gives: what is written, said and refused."""

import json

import pytest
import torch

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
    said = refused("calibrate", *scans, "-o", tmp_path / "other.json", "--plausibility", *WORDS)
    assert "fbp has none: give --solver and --prior" in said
    assert not (tmp_path / "other.json").exists()

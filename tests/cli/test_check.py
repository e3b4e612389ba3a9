"""`check`: tables and pictures of anomalous images, and what is refused."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

import invgen as ig
from invgen.plausibility import AnomalyDetector
from invgen.priors import ContextTable


def stripes(n, seed):
    """Images of 8 bits, (n, 8, 10), of upright stripes."""
    generator = np.random.default_rng(seed)
    columns = generator.integers(0, 256, (n, 1, 10))
    return np.clip(columns + generator.integers(-3, 4, (n, 8, 10)), 0, 255).astype(np.uint8)


def unit(images):
    return torch.from_numpy(images.astype(np.float32) / 255)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A prior of stripes, with calibration statistics in its file; others, and three images of noise."""
    folder = tmp_path_factory.mktemp("check")
    prior = ContextTable.fit(unit(stripes(300, 0)))
    detector = AnomalyDetector(prior, unit(stripes(300, 1)))
    prior.with_card(calibration={detector.kind.name: detector.header()}).save(folder / "prior.safetensors")
    prior.save(folder / "plain.safetensors")
    noise = np.random.default_rng(5).integers(0, 256, (3, 8, 10), dtype=np.uint8)
    np.save(folder / "images.npy", np.concatenate([stripes(27, 2), noise]))
    np.save(folder / "calibration.npy", stripes(400, 3))
    np.save(folder / "learned.npy", stripes(300, 0)[:60])
    return folder


def test_anomalies_are_found_and_written(files, invgen, tmp_path):
    images, table, picture = files / "images.npy", tmp_path / "table.csv", tmp_path / "worst.png"
    words = ("--prior", files / "prior.safetensors", "-o", table, "--picture", picture)
    result = invgen("check", images, *words)
    assert result.exit_code == 0, result.output
    assert "the 20 most anomalous of 30 images" in result.output
    assert "3 of 30 images are anomalous at level 0.05, by 200 calibration statistics" in result.output
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["discovered"] for row in rows] == 3 * ["True"] + 27 * ["False"]
    assert {int(row["image"]) for row in rows[:3]} == {27, 28, 29}
    detector = AnomalyDetector(ig.priors.load(files / "prior.safetensors"))
    p = detector.p_value(unit(np.load(images)))
    assert [float(row["p_value"]) for row in rows] == sorted(p.tolist())
    assert all(float(row["p_value"]) == float(p[int(row["image"])]) for row in rows)
    assert min(Image.open(picture).size) > 500


def test_calibration_images_and_a_statistic_may_be_given(files, invgen, tmp_path):
    table = tmp_path / "table.json"
    words = ("--prior", files / "plain.safetensors", "--calibration", files / "calibration.npy")
    result = invgen("check", files / "images.npy", *words, "--statistic", "log-likelihood", "-o", table)
    assert result.exit_code == 0, result.output
    found = json.loads(table.read_text())
    assert (found["statistic"], found["calibration"], found["level"]) == ("log-likelihood", 400, 0.05)
    assert sum(row["discovered"] for row in found["images"]) == 3
    # 200 could find one of 30 only at a larger level
    result = invgen("check", files / "images.npy", "--prior", files / "prior.safetensors", "--level", 0.02)
    assert "fewer than" in result.output


def test_what_is_no_test_is_refused(files, refused, invgen, tmp_path):
    images, prior = files / "images.npy", files / "prior.safetensors"

    def fails(*words, images=images, prior=prior):
        return refused("check", images, "--prior", prior, *words)

    np.save(tmp_path / "tall.npy", np.zeros((3, 9, 10), np.uint8))
    np.save(tmp_path / "nan.npy", np.full((3, 8, 10), np.nan, np.float32))
    np.save(tmp_path / "bytes.npy", np.full((3, 8, 10), 99, np.float32))
    np.save(tmp_path / "color.npy", np.zeros((3, 8, 10, 3), np.uint8))
    np.save(tmp_path / "none.npy", np.zeros((0, 8, 10), np.uint8))
    np.save(tmp_path / "complex.npy", np.zeros((3, 8, 10), np.complex64))
    (tmp_path / "cut.npy").write_bytes(images.read_bytes()[:500])
    folder = tmp_path / "pictures"
    folder.mkdir()
    for side in (8, 9):
        Image.fromarray(np.zeros((side, 10), np.uint8)).save(folder / f"{side}.png")
    for name, said in {
        "tall.npy": r"(8, 10)",
        "nan.npy": "NaN",
        "bytes.npy": "from 0 to 1",
        "color.npy": "--gray",
        "none.npy": "no images",
        "complex.npy": "real",
        "cut.npy": "cut.npy",
        "pictures": "several sizes",
        "missing.npy": "missing.npy",
    }.items():
        assert said in fails(images=tmp_path / name), name
    assert "held out" in fails("--calibration", files / "learned.npy")
    assert "are others" in fails("--calibration", images)
    assert "there are symmetry-and-states, density-of-states" in fails("--statistic", "likelihood")
    assert "only of symmetry-and-states" in fails("--statistic", "log-likelihood")
    assert "needs calibration images" in fails(prior=files / "plain.safetensors")
    assert "at least 999" in fails("--level", 0.001)
    assert "between 0 and 1" in fails("--level", 0)
    assert "denoise" in fails("--statistic", "score-norms", "--calibration", files / "calibration.npy")
    assert "groups" in fails("--statistic", "batch-typicality", "--calibration", files / "calibration.npy")
    assert ".csv or .json" in fails("-o", tmp_path / "table.txt")
    assert ".png" in fails("--picture", tmp_path / "worst.jpg")
    assert "neither a file" in fails(prior="stripes")


def test_outputs_replace_no_inputs(files, refused, tmp_path):
    prior = files / "prior.safetensors"
    table = tmp_path / "images.csv"
    np.save(tmp_path / "images.npy", stripes(3, 4))
    (tmp_path / "images.npy").rename(tmp_path / "idx.png")
    content = (tmp_path / "idx.png").read_bytes()
    assert refused("check", tmp_path / "idx.png", "--prior", prior, "--picture", tmp_path / "idx.png")
    assert (tmp_path / "idx.png").read_bytes() == content
    table.symlink_to(prior)
    before = prior.read_bytes()
    assert "command reads" in refused("check", files / "images.npy", "--prior", prior, "-o", table)
    assert prior.read_bytes() == before

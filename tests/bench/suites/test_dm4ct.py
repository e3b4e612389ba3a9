"""The protocol of DM4CT, on slices that the test writes."""

import math
import pickle

import numpy as np
import pytest
import tifffile
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from invgen.bench.suites import dm4ct
from invgen.core.errors import DataError, FileError
from invgen.phantoms import random

SIZE = 64


@pytest.fixture
def suite(tmp_path):
    for split, seeds in (("test", (1, 2, 3)), ("train", (4, 5, 6))):
        folder = tmp_path / "dm4ct" / "lodochallenge" / split
        folder.mkdir(parents=True)
        for seed in seeds:
            image = 2 * random(seed, half_width=SIZE / 2).image((SIZE, SIZE), 1.0).numpy() - 1
            tifffile.imwrite(folder / f"L506_{seed:03}.tif", image.astype(np.float32))
    return dm4ct.lodochallenge(tmp_path)


def test_slices_are_those_of_the_repository_in_its_order(suite):
    suite = pickle.loads(pickle.dumps(suite))
    for task in suite.tasks:
        assert task.test == tuple(f"test/L506_{seed:03}" for seed in (1, 2, 3))
        assert task.tuning == tuple(f"train/L506_{seed:03}" for seed in (4, 5))


def test_views_go_from_0_to_pi_and_bins_are_as_many_as_pixels(suite):
    found = suite.instance(suite.tasks[1], "test/L506_001", 0)
    g = found.problem.operator.geometry
    assert torch.allclose(g.angles, torch.linspace(0, math.pi, 40, dtype=torch.float64))
    assert (g.detector_count, g.detector_spacing) == (SIZE, 1.0)


def test_without_noise_the_truth_explains_the_data_exactly(suite):
    found = suite.instance(suite.tasks[0], "test/L506_001", 0)
    assert 0 <= float(found.truth.min()) < float(found.truth.max()) <= 1
    A, y = found.problem.operator, found.problem.measurement
    assert float((A(found.truth) - y).norm() / y.norm()) < 1e-5


def test_counts_are_behind_an_object_of_transmittance_one_half(suite):
    """Noise against the protocol in its own words: values from -1 to 1, scaled, counted, logarithms."""
    task = suite.tasks[2]
    found = suite.instance(task, "test/L506_002", 0)
    A, truth = found.problem.operator, 2 * found.truth - 1
    clean = A(truth).double()
    factor = -math.log(0.5) / clean.mean()
    counts = 10000 * torch.exp(-factor * clean)
    error = 2 * (found.problem.measurement.double() - A(found.truth))
    z = error * factor.abs() * counts.sqrt()
    assert float(z.square().mean()) == pytest.approx(1, abs=0.1)
    assert float((found.problem.noise.std.value * 2 * factor.abs() * counts.sqrt()).mean()) == pytest.approx(
        1, abs=0.05
    )


def test_measures_are_those_of_its_evaluation(suite):
    task = suite.tasks[0]
    outcome = suite.judge(suite.entry("fbp", None), {}, task, "test/L506_001", 0)
    pair = [(2 * outcome.arrays[name] - 1).double().numpy() for name in ("truth", "image")]
    theirs = {
        "psnr": peak_signal_noise_ratio(*pair, data_range=2),
        "ssim_fastmri": structural_similarity(*pair, data_range=2),
    }
    assert {name: outcome.measures[name] for name in theirs} == pytest.approx(theirs, abs=1e-4)


def test_entries_say_which_weights_are_missing(suite):
    dps = suite.entry("dps", None)
    assert "jiayangshi/lodochallenge_pixel_diffusion" in dps.missing
    assert suite.entry("fbp", None).missing is None


def test_a_baseline_runs(suite):
    task = suite.tasks[1]
    outcome = suite.judge(suite.entry("sirt", None), {}, task, task.test[0], 0)
    assert outcome.measures["psnr"] > 18


def test_absent_and_foreign_slices_are_refused(suite, tmp_path):
    with pytest.raises(FileError, match=r"preprocess_lodoind\.py"):
        _ = dm4ct.lodoind(tmp_path).tasks
    folder = tmp_path / "dm4ct" / "lodochallenge" / "test"
    tifffile.imwrite(folder / "L506_001.tif", np.full((SIZE, SIZE), 1000, np.float32))
    with pytest.raises(DataError, match="-1 to 1"):
        suite.instance(suite.tasks[0], "test/L506_001", 0)
    tifffile.imwrite(folder / "L506_002.tif", np.zeros((SIZE, SIZE // 2), np.float32))
    with pytest.raises(DataError, match="square"):
        suite.instance(suite.tasks[0], "test/L506_002", 0)

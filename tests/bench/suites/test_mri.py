"""Suites of MRI: data of a finer grid, masks of the acceleration that is said, splits that are apart."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from invgen.bench.suites import mri
from invgen.bench.suites.data import folder

MAKERS = (mri.mri_r4, mri.mri_r8, mri.mri_lines, mri.langevin_mri)


def nowhere(make):
    return make(Path("no folder of data"))


@pytest.mark.parametrize("make", MAKERS)
def test_no_image_is_reported_on_that_knobs_are_tuned_on(make):
    suite = pickle.loads(pickle.dumps(nowhere(make)))
    assert suite == nowhere(make)
    assert len({task.name for task in suite.tasks}) == len(suite.acquisitions)
    for task in (*suite.tasks, *suite.quick().tasks):
        assert task.test
        assert task.tuning
        assert not set(task.test) & set(task.tuning)


@pytest.mark.parametrize("make", MAKERS)
def test_k_space_is_sampled_as_often_as_the_task_says(make):
    suite = nowhere(make)
    for acquisition in suite.acquisitions:
        mask = acquisition.mask(suite.shape).float().expand(suite.shape)
        assert 1 / float(mask.mean()) == pytest.approx(acquisition.acceleration, rel=0.12)


@pytest.mark.parametrize("make", MAKERS[:3])
def test_truth_explains_the_data_but_not_exactly(make):
    """Coils on the finer grid: the model leaves more than the noise, and little."""
    suite = nowhere(make).quick()
    task = suite.tasks[0]
    found = suite.instance(task, task.test[0], 0)
    again = suite.instance(task, task.test[0], 0)
    assert torch.equal(found.problem.measurement, again.problem.measurement)
    kspace, truth, _ = mri._measured(suite.data, task.test[0], suite.shape)
    mask = suite.acquisitions[0].mask(suite.shape)
    error = float((found.problem.operator(truth) - mask * kspace).norm() / (mask * kspace).norm())
    assert 1e-5 < error < 0.05
    assert 0.8 < float(found.problem.misfit(truth) / found.problem.expected_misfit()) < 1.6


def test_only_the_head_counts():
    suite = nowhere(mri.mri_r8).quick()
    found = suite.instance(suite.tasks[0], suite.tasks[0].test[0], 0)
    assert found.mask is not None
    assert 0.2 < float(found.mask.double().mean()) < 0.9
    assert float(found.truth.abs()[~found.mask].mean()) < 0.1 * float(found.truth.abs()[found.mask].mean())


@pytest.mark.slow
def test_quick_form_runs_methods_of_each_kind():
    suite = nowhere(mri.mri_r4).quick()
    task, image = suite.tasks[0], suite.tasks[0].test[0]
    reached = {
        name: suite.judge(suite.entry(name, None), {}, task, image, 0).measures
        for name in ("zero-filled", "wavelets", "diffpir")
    }
    assert reached["wavelets"]["psnr"] > reached["zero-filled"]["psnr"] + 3
    assert reached["diffpir"]["psnr"] > reached["zero-filled"]["psnr"] + 3
    assert "coverage_90" in reached["diffpir"]


def test_the_headline_has_both_sides_of_the_distribution():
    suite = nowhere(mri.langevin_mri)
    names = {entry.name for entry in suite.entries}
    assert {"annealed-langevin", "wavelets"} <= names
    for anatomy in ("head", "t2", "chest"):
        found = [task for task in suite.tasks if task.axes["anatomy"] == anatomy]
        assert [task.axes["acceleration"] for task in found] == [2, 4, 6, 8, 10, 12]
        assert all(image.startswith("head") for task in found for image in task.tuning)


@pytest.mark.slow
@pytest.mark.skipif(not (folder() / "heads").exists(), reason="the folder of data has no heads")
@pytest.mark.parametrize("image", ["head-9", "t2-75", "chest-1"])
def test_each_anatomy_fills_the_field_of_view_upright(image):
    _, truth, seen = mri._measured(folder(), image, (128, 96))
    assert 0.5 < float(truth.abs().max()) < 2
    assert 0.2 < float(seen.double().mean()) < 0.8
    rows = seen.any(1).nonzero().flatten()
    assert abs(float(rows[0] + rows[-1]) / 2 - 64) < 20


def test_a_slice_is_the_same_object_at_any_resolution():
    suite = nowhere(mri.mri_r8).quick()
    fine = mri._measured(suite.data, "phantom-0", (64, 48))[1]
    coarse = mri._measured(suite.data, "phantom-0", (32, 24))[1]
    pooled = torch.nn.functional.avg_pool2d(fine.abs()[None], 2)[0]
    inner = (slice(4, -4), slice(4, -4))
    similar = torch.corrcoef(torch.stack([pooled[inner].flatten(), coarse.abs()[inner].flatten()]))[0, 1]
    assert float(similar) > 0.9
    assert replace(suite, images=1) == suite

"""Suites of CT: exact data, splits that are apart, noise as it is said to be."""

import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from invgen.bench.suites import ct
from invgen.bench.suites.data import folder
from invgen.noise import Gaussian

MAKERS = (ct.ct_sparse, ct.ct_limited, ct.ct_low_dose, ct.score_ct)
OF_OBJECTS = MAKERS[:3]


def nowhere(make):
    return make(Path("no folder of data"))


@pytest.mark.parametrize("make", MAKERS)
def test_no_image_is_reported_on_that_knobs_are_tuned_on(make):
    suite = pickle.loads(pickle.dumps(nowhere(make)))
    assert suite == nowhere(make)
    for task in (*suite.tasks, *suite.quick().tasks):
        assert task.test
        assert task.tuning
        assert not set(task.test) & set(task.tuning)


@pytest.mark.parametrize("make", OF_OBJECTS)
def test_objects_are_projected_exactly_and_not_by_the_operator(make):
    """What the operator makes of the truth is close to the data, but further than rounding."""
    suite = nowhere(make).quick()
    task = suite.tasks[0]
    scan = suite.scans[0]
    clean, truth = suite.subject.measured(suite.data, task.test[0], scan.angles)
    A = suite.instance(task, task.test[0], 0).problem.operator
    error = float((A(truth) - clean).norm() / clean.norm())
    assert 1e-3 < error < 0.05


@pytest.mark.parametrize("make", OF_OBJECTS)
def test_noise_is_what_methods_are_told(make):
    suite = nowhere(make).quick()
    task, scan = suite.tasks[0], suite.scans[0]
    problem = suite.instance(task, task.test[0], 0).problem
    clean, _ = suite.subject.measured(suite.data, task.test[0], scan.angles)
    assert isinstance(problem.noise, Gaussian)
    z = (problem.measurement - clean) / problem.noise.std.value
    assert float(z.square().mean()) == pytest.approx(1, abs=0.1)


def test_views_cover_the_arc_and_are_what_tasks_say():
    suite = nowhere(ct.ct_limited)
    for task, scan in zip(suite.tasks, suite.scans, strict=True):
        angles = torch.rad2deg(torch.tensor(scan.angles))
        assert task.axes == {"degrees": scan.degrees}
        assert float(angles[-1] + angles[1]) == pytest.approx(scan.degrees, abs=1e-3)


def test_fewer_photons_are_noisier_and_weighted_so():
    suite = nowhere(ct.ct_low_dose)
    suite = replace(suite, subject=replace(suite.subject, size=64))
    errors = []
    for task, scan in zip(suite.tasks, suite.scans, strict=True):
        problem = suite.instance(task, task.test[0], 0).problem
        clean, _ = suite.subject.measured(suite.data, task.test[0], scan.angles)
        assert isinstance(problem.noise, Gaussian)
        errors.append(float((problem.measurement - clean).square().mean()))
        z = (problem.measurement - clean) / problem.noise.std.value
        assert 0.7 < float(z.std()) < 1.3
    assert errors[0] > 5 * errors[1] > 25 * errors[2]


def test_noise_differs_between_images_and_seeds_and_is_the_same_again():
    suite = nowhere(ct.ct_sparse).quick()
    task = suite.tasks[0]
    angles = suite.scans[0].angles

    def noise(image, seed):
        y = suite.instance(task, image, seed).problem.measurement
        n = y - suite.subject.measured(suite.data, image, angles)[0]
        return n / n.norm()

    first = noise(task.test[0], 0)
    assert torch.equal(first, noise(task.test[0], 0))
    for other in (noise(task.test[0], 1), noise(task.tuning[0], 0)):
        assert abs(float((first * other).sum())) < 0.1


@pytest.mark.slow
def test_quick_form_has_every_method_but_the_slowest_and_they_run():
    suite = nowhere(ct.ct_sparse).quick()
    task, image = suite.tasks[0], suite.tasks[0].test[0]
    reached = {}
    for name in ("fbp", "tv", "diffpir"):
        outcome = suite.judge(suite.entry(name, None), {}, task, image, 0)
        reached[name] = outcome.measures["psnr"]
    assert reached["diffpir"] > reached["fbp"]
    assert reached["tv"] > reached["fbp"]
    assert suite.content(task, image, 0) == nowhere(ct.ct_sparse).quick().content(task, image, 0)
    assert suite.content(task, image, 0) != suite.content(task, image, 1)


@pytest.mark.slow
def test_a_weight_is_in_units_of_the_noise_of_counts_too():
    """Ten times as many photons, the same knob: the weight grows with the root."""
    suite = nowhere(ct.ct_low_dose).quick()
    entry, task = suite.entry("tv", None), suite.tasks[0]
    outcome = suite.judge(entry, {"weight": 1.0}, task, task.test[0], 0)
    blurred = suite.judge(entry, {"weight": 30.0}, task, task.test[0], 0)
    assert outcome.measures["psnr"] > blurred.measures["psnr"] + 5


@pytest.mark.skipif(
    not (folder(os.environ.get("INVGEN_DATA")) / "ct_slices").exists(),
    reason="the folder of data has no chests",
)
def test_chests_are_projected_on_a_finer_grid():
    suite = ct.score_ct(folder()).quick()
    task = suite.tasks[0]
    found = suite.instance(task, task.test[0], 0)
    assert 0.9 < float(found.truth.max()) <= 2.5
    misfit = float(found.problem.misfit(found.truth) / found.problem.expected_misfit())
    assert 0.9 < misfit < 1.5

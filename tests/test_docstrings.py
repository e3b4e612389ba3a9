"""Examples in docstrings run, and print what they say they print.

They are fragments: what a reader has at hand, such as a scan, a problem or a method, is made here, small.
"""

import doctest
import importlib
import re
from functools import partial
from pathlib import Path

import pytest
import torch

import invgen as ig
from invgen.bench.record import Cell, Record
from invgen.bench.store import SuiteInfo

ROOT = Path(__file__).parents[1]
FOLDERS = ("invgen", "operators", "priors", "solvers")

#: What examples take as given, by the file that they stand in.
GIVEN = {
    "invgen/__init__.py": (
        "foam = ig.phantoms.foam(half_width=64).image((128, 128), 1.0).float()\n"
        "y = ig.operators.Radon((128, 128), angles=60)(foam)"
    ),
    "invgen/bench/__init__.py": "my_method = lambda problem: ig.solvers.FBP()(problem).x",
    "invgen/bench/benchmark.py": "my_method = lambda problem: ig.solvers.FBP()(problem).x",
    "invgen/bench/export.py": "kept_results('results')",
    "invgen/bench/report/writing.py": "kept_results('results')",
    "invgen/bench/store.py": "kept_results('results')",
    "invgen/calibration/__init__.py": (
        "problems, truths = small_scans(9)\n"
        "problem = problems[0]\n"
        "solver = ig.solvers.DDS(ig.priors.load('ct-phantoms'), iterations=2, scale=1.0)"
    ),
    "invgen/certification/fields.py": "from invgen.certification import field_posterior, field_setting",
    "invgen/core/memory.py": "ig.simulate.simulate_ct('scan.h5', 'foam', size=32, views=20)",
    "invgen/core/threads.py": "problem, solver = small_scans(1)[0][0], ig.solvers.FBP()",
    "invgen/figures/interpolation.py": "generator = ig.priors.load('digits-vae')",
    "invgen/metrics/digits.py": (
        "samples, digits = (ig.priors.load(f'digits-{name}').sample(20, seed=0) for name in ('vae', 'gan'))"
    ),
    "invgen/pipeline/__init__.py": "ig.simulate.simulate_ct('scan.h5', 'foam', size=32, views=20)",
    "invgen/pipeline/run.py": (
        "from PIL import Image\n"
        "ig.simulate.simulate_ct('scan.h5', 'foam', size=16, views=10, slices=102)\n"
        "for name in ('photo.png', 'mask.png'):\n"
        "    Image.effect_noise((32, 32), 60).save(name)"
    ),
    "invgen/plausibility/compression/codec.py": (
        "digits = (255 * ig.priors.load('digits-vae').sample(1, seed=0)).to(torch.uint8).numpy()"
    ),
    "invgen/plausibility/reconstructions/assessment.py": (
        "from invgen.plausibility.reconstructions.assessment import gathered\n"
        "problems, truths = small_scans(19)\n"
        "solver = ig.solvers.DDS(ig.priors.load('ct-phantoms'), iterations=2, scale=1.0)"
    ),
    "invgen/testing/__init__.py": "forward, adjoint = padded, cropped",
    "priors/denoisers/planes.py": (
        "mask = ig.operators.sampling.equispaced_lines((24, 24), 2, 0.25).expand(8, 24, 24)\n"
        "kspace = ig.operators.MRI((8, 24, 24), mask)(torch.rand(8, 24, 24).to(torch.complex64))\n"
        "noise = ig.noise.Gaussian(0.01)"
    ),
}


#: The same example as that of its package, which is run by default.
SLOW = ("invgen/bench/benchmark.py",)


def small_scans(count):
    """Scans of random objects from twelve views, and what they show."""
    A, noise = ig.operators.Radon((24, 24), 12), ig.noise.Gaussian(0.3)
    truths = [ig.phantoms.random(seed, half_width=12).image((24, 24), 1.0).float() for seed in range(count)]
    return [ig.Problem(A, noise.sample(A(x), seed=seed), noise) for seed, x in enumerate(truths)], truths


def kept_results(folder):
    """Results of a benchmark of one cell."""
    cell = Cell("ct-sparse", "30 views", "disc", "test", "FBP", 0, axes={"views": 30})
    made = {"version": "0.1.0", "machine": "here", "finished": "2026-01-02T03:05:00Z"}
    with ig.bench.Results(folder) as results:
        task = {"axes": {"views": 30}, "test": ["disc"], "tuning": []}
        results.describe_suite("ct-sparse", SuiteInfo("Discs from few views.", "psnr", {"30 views": task}))
        when, command = made["finished"], "invgen bench ct-sparse"
        results.describe_run(
            when, command=command, versions={"invgen": "0.1.0"}, hardware={"cpu": "one"}, seeds=[0]
        )
        results.add(Record("0" * 64, cell, {"psnr": 20.0}, {"seconds": 1.0}, **made))


def padded(x):
    return torch.nn.functional.pad(x, (0, 0, 13, 13))


def cropped(y):
    return y[..., 13:-13, :]


class Stated(doctest.OutputChecker):
    """What an example prints is compared where the docstring states it."""

    def check_output(self, want, got, flags):
        return not want or super().check_output(want, got, flags)


def _with_examples():
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            count = len(re.findall(r"^ *>>> ", path.read_text(), re.M))
            if count:
                name = str(path.relative_to(ROOT))
                marks = pytest.mark.slow if name in SLOW else ()
                yield pytest.param(name, count, id=name, marks=marks)


@pytest.mark.filterwarnings("ignore::invgen.core.errors.InvgenWarning")  # of scans as small as these
@pytest.mark.parametrize(("name", "count"), [*_with_examples()])
def test_examples_run(name, count, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        ig.bench, "run", partial(ig.bench.run, methods=["fbp"], images=1, trials=0, workers=0)
    )
    names = {
        "ig": ig,
        "torch": torch,
        **{each.__name__: each for each in (small_scans, kept_results, padded, cropped)},
    }
    exec(GIVEN.get(name, ""), names)
    dotted = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    module = importlib.import_module(dotted if name.startswith("invgen") else f"invgen.{dotted}")
    tests = doctest.DocTestFinder(exclude_empty=True).find(module, dotted, globs=names)
    runner, report = doctest.DocTestRunner(Stated()), []
    for test in tests:
        runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)
    assert runner.tries == count, "an example stands where none is looked for"

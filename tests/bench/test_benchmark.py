"""A benchmark from Python: one's own method beside those of a suite."""

from dataclasses import replace

import pytest
import torch

import invgen as ig
from invgen.bench.competitors import competitors, own_entry
from invgen.bench.suite import QuickForm
from invgen.bench.suites import SUITES
from invgen.core.errors import DtypeError, ParameterError


@pytest.mark.slow
def test_ones_own_method_in_three_lines(toy, tmp_path):
    found = ig.bench.run(toy.blurred, toy.tiny(None), output=tmp_path, workers=1, trials=2)
    rows = {row.label: row for row in found.report.suites[0].tasks[0].rows}
    assert rows["blurred"].line.means["psnr"] > 5
    assert rows["blurred"].line.cell.kind == "own"
    assert {"damped", "damped (tuned)", "noisy, a prior", "absent"} < set(rows)
    assert "| blurred |" in str(found)
    found.write(tmp_path / "report.html")
    assert "blurred" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_a_function_of_a_script_runs_in_a_worker(toy, tmp_path):
    def local(problem, seed):
        return problem.measurement + 0 * seed

    found = ig.bench.run(local, toy.tiny(None), output=tmp_path, workers=1, methods=[])
    (record,) = found.records
    assert record.cell.method == "local"
    assert record.measures["psnr"] > 10


def test_an_own_method_is_an_object_or_a_dotted_name(toy):
    assert own_entry(toy.blurred).name == "blurred"
    assert own_entry("bench_toy:blurred").solve == own_entry(toy.blurred).solve
    assert own_entry("bench_toy.blurred").name == "blurred"
    assert own_entry(ig.solvers.CG()).name == "CG"
    assert own_entry(replace(toy.GOOD[0], name="mine")).kind == "own"
    with pytest.raises(ParameterError, match="no dotted name"):
        own_entry("bench_toy:nothing")
    with pytest.raises(DtypeError, match="called with a problem"):
        own_entry(3)


def test_a_sampler_draws_samples_and_takes_the_seed():
    image = torch.rand(8, 8, generator=torch.Generator().manual_seed(0))
    noise = ig.noise.Gaussian(0.1)
    problem = ig.Problem(ig.operators.Identity((8, 8)), noise.sample(image, seed=0), noise)
    prior = ig.priors.Gaussian(image, torch.full((8, 8), 0.1))
    solve = own_entry(ig.solvers.DDS(prior, iterations=3)).solve
    first, again, other = (solve(problem, {}, seed) for seed in (0, 0, 1))
    assert len(first.samples) == 8
    assert (first.x == again.x).all()
    assert (first.x != other.x).any()


@pytest.fixture
def inpainting(measured_file):
    folder = measured_file("images/kodim01.png").parents[1]
    return SUITES["inpainting"](folder)


def test_methods_are_those_of_the_suite_else_of_the_table(inpainting):
    names = [entry.name for entry in competitors(inpainting)]
    assert names == [entry.name for entry in inpainting.entries]
    (tv,) = competitors(inpainting, ["tv"])
    assert tv in inpainting.entries
    (red,) = competitors(inpainting, ["red"])
    assert (red.name, red.prior) == ("red", "denoiser-gray")
    both = competitors(inpainting, ["pnp-hqs"])
    assert [entry.prior for entry in both] == ["non-local-means", "denoiser-gray"]
    two = competitors(inpainting, ["tv", "diffpir"], ["denoiser-gray", "patches-gray"])
    assert [(entry.name, entry.prior) for entry in two] == [
        ("tv", ""),
        ("diffpir", "denoiser-gray"),
        ("diffpir", "patches-gray"),
    ]
    assert two[2].solve.settings == two[1].solve.settings


def test_unknown_methods_are_offered_the_nearest(inpainting):
    with pytest.raises(ParameterError, match="did you mean diffpir"):
        competitors(inpainting, ["difpir"])


def test_unknown_suites_are_offered_the_nearest():
    with pytest.raises(ParameterError, match="did you mean inpainting"):
        ig.bench.run(None, "inpaintin")
    with pytest.raises(ParameterError, match="Name a suite"):
        ig.bench.run(lambda problem: problem)


def test_quick_forms_have_a_name_of_their_own(inpainting):
    quick = QuickForm(inpainting)
    assert quick.name == "inpainting (quick)"
    assert len(quick.tasks[0].test) < len(inpainting.tasks[0].test)
    assert quick.quick() is quick


@pytest.mark.slow
def test_records_of_other_versions_are_counted_and_left_out(toy, tmp_path, monkeypatch):
    suite = replace(toy.tiny(None), entries=(toy.GOOD[2],))  # one that is not installed: nothing runs
    assert ig.bench.run(None, suite, output=tmp_path, workers=1).outdated == 0
    for module in ("grid", "benchmark"):
        monkeypatch.setattr(f"invgen.bench.{module}.code_version", lambda: "another")
    found = ig.bench.run(None, suite, output=tmp_path, workers=1)
    assert found.outdated == 1
    assert [record.version for record in found.records] == ["another"]

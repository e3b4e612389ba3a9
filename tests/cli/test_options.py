"""Options: each is declared once, and hyper-parameters of single methods are options too."""

from __future__ import annotations

import csv
import shlex
from dataclasses import replace

import pytest
import skimage.io
import torch
import typer

import invgen as ig
from invgen.cli import app
from invgen.core.fingerprint import fingerprint
from invgen.io import read_reconstruction
from invgen.pipeline import Reading, Recipe
from invgen.pipeline.evaluation import evaluated
from invgen.pipeline.options import given, options
from invgen.pipeline.recipe import methods_of
from invgen.priors.nets import EDM, UNet
from invgen.solvers.methods import BEAMS, KSPACE, used_for


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("prior") / "prior.safetensors"
    ig.priors.Diffusion(EDM(UNet(1, 1, widths=(8,), blocks=1), 0.5), sigma_data=0.5).save(path)
    return path


def parameters(name):
    command = typer.main.get_command(app).commands[name]
    return {parameter.name: parameter for parameter in command.params}


@pytest.mark.parametrize(("name", "tables"), [("recon", (Recipe, Reading)), ("info", (Reading,))])
def test_the_declared_options_are_those_of_the_commands(name, tables):
    found = parameters(name)
    of_recon = {"scan", "output", "quiet", "workers", "dask", "resume", "checkpoint_every"}
    own = {"recon": of_recon, "info": {"scan", "as_json"}}[name] | {"max_memory"}
    declared = [option for table in tables for option in options(table)]
    assert set(found) == own | {option.name for option in declared}
    for option in declared:
        assert option.typed in found[option.name].opts
        assert found[option.name].help.startswith(option.about)


def test_help_lists_every_solver_with_what_it_is(invgen):
    output = invgen("recon", "--help").output
    for name, method in methods_of("CT", "MRI", "images").items():
        line = next(line for line in output.splitlines() if f" {name} " in line and method.about[:20] in line)
        assert ("CT" in line) == (name in used_for(*BEAMS))
        assert ("MRI" in line) == (name in used_for(*KSPACE))
        kinds, _, _ = line.partition(method.about[:20])
        assert ("images" in kinds) == (name in used_for("imaging"))


class TestNetwork:
    """How the network of a prior is evaluated."""

    def test_the_command_and_python_give_the_same(self, invgen, scan, prior, tmp_path):
        path = tmp_path / "image.h5"
        words = ("--solver", "dds", "--prior", prior, "--samples", 1, "--slices", 2, "--size", 32)
        how = ("--precision", "bfloat16", "--channels-last", "--iterations", 3)
        result = invgen("recon", scan, "-o", path, *words, *how)
        assert result.exit_code == 0, result.output
        recipe = Recipe("dds", slices=2, size=32, iterations=3, prior=prior, samples=1)
        recipe = replace(recipe, precision="bfloat16", channels_last=True)
        same = ig.reconstruct(scan, **{each.name: getattr(recipe, each.name) for each in given(recipe)})
        with read_reconstruction(path) as file:
            assert (file.volume[:] == same.images.numpy()).all()
            assert "--precision bfloat16 --channels-last" in file.settings["command"]
        half = ig.priors.load(prior).evaluated("bfloat16")
        assert fingerprint(evaluated(str(prior), recipe)) == fingerprint(half)

    def test_what_does_not_fit_is_refused(self, refused, invgen, scan, prior, tmp_path):
        words = ("recon", scan, "-o", tmp_path / "image.h5")
        sampler = (*words, "--solver", "dds", "--prior", prior, "--size", 32)
        assert "means nothing to the solver tv" in refused(*words, "--solver", "tv", "--compile")
        assert "--graphs is for CUDA devices" in refused(*sampler, "--device", "cpu", "--graphs")
        assert invgen(*sampler, "--precision", "float8").exit_code == 2
        assert "is no device" in invgen(*words, "--device", "cuda:0,0").output
        flow = ("sample", "digits-flow", "-o", tmp_path / "grid.png", "--precision", "float16")
        assert "is a Flow" in refused(*flow)
        assert not list(tmp_path.iterdir())

    def test_samples_of_a_prior(self, invgen, tmp_path):
        plain, half = tmp_path / "plain.png", tmp_path / "half.png"
        words = ("sample", "digits-gan", "-n", 2)
        assert invgen(*words, "-o", plain).exit_code == 0
        assert invgen(*words, "-o", half, "--precision", "bfloat16", "--channels-last").exit_code == 0
        images = [skimage.io.imread(path).astype(float) for path in (plain, half)]
        assert 0 < abs(images[0] - images[1]).max() < 16  # of 255


class TestSet:
    def test_hyperparameters_are_used_and_recorded(self, invgen, scan, prior, tmp_path):
        first, second = tmp_path / "first.h5", tmp_path / "second.h5"
        words = ("--solver", "dds", "--prior", prior, "--samples", 2, "--slices", 2, "--size", 32)
        chosen = ("--set", "iterations=3", "--set", "gamma=0.5", "--set", "sigma_range=0.1,2")
        result = invgen("recon", scan, "-o", first, *words, *chosen)
        assert result.exit_code == 0, result.output
        assert "gamma=0.5, sigma_range=0.1,2" in result.output
        with read_reconstruction(first) as file:
            assert file.settings["settings"] == {"gamma": 0.5, "sigma_range": [0.1, 2]}
            assert file.settings["iterations"] == 3
            command = shlex.split(file.settings["command"])
            samples = file.posterior.samples[:]
        command[command.index(str(first))] = str(second)
        assert invgen(*command[1:]).exit_code == 0
        with read_reconstruction(second) as file:
            assert (file.posterior.samples[:] == samples).all()
        assert invgen("recon", scan, "-o", second, *words, "--iterations", 3).exit_code == 0
        with read_reconstruction(second) as file:
            assert "settings" not in file.settings
            assert (file.posterior.samples[:] != samples).any()

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (
                ("--set", "gama=2"),
                "has no hyper-parameter gama; there are scale, chunk_size, antithetic, iterations",
            ),
            (("--set", "cg_steps=2.5"), "cg_steps of dds is a whole number; got 2.5"),
            (("--set", "cg_steps=true"), "cg_steps of dds is a whole number; got True"),
            (("--set", "eta=much"), "eta of dds is a number; got 'much'"),
            (("--set", "gamma=-1"), "gamma > 0"),
            (("--set", "iterations=3", "--iterations", 3), "iterations is given twice"),
        ],
    )
    def test_they_are_checked_by_name_and_type(self, refused, scan, prior, tmp_path, words, message):
        common = ("--solver", "dds", "--prior", prior, "--slices", 2)
        assert message in refused("recon", scan, "-o", tmp_path / "out.h5", *common, *words)
        assert not list(tmp_path.iterdir())

    def test_those_of_another_geometry_are_those_of_its_class(self, refused, mri, tmp_path):
        message = refused("recon", mri, "-o", tmp_path / "out.h5", "--solver", "rss", "--set", "cutoff=1")
        assert "rss (RootSumOfSquares) has no hyper-parameter cutoff; it has none" in message

    @pytest.mark.parametrize("text", ["gamma", "gamma=", "=2", "2=3"])
    def test_what_is_no_pair_is_a_usage_error(self, invgen, scan, tmp_path, text):
        result = invgen("recon", scan, "-o", tmp_path / "out.h5", "--set", text)
        assert result.exit_code == 2
        assert "--set" in result.output
        result = invgen("recon", scan, "-o", tmp_path / "out.h5", "--set", "a=1", "--set", "a=2")
        assert "a is given twice" in result.output

    def test_of_samplers_that_are_certified(self, invgen, refused, tmp_path):
        words = ("certify", "dds", "--problem", "dense-2", "--samples", 100, "--set", "iterations=4")
        table = tmp_path / "report.csv"
        rows = []
        for more in ((), ("--set", "eta=0.1", "--set", "cg_steps=2")):
            result = invgen(*words, *more, "-o", table)
            assert result.exit_code == 0, result.output
            rows += csv.DictReader(table.open())
        assert [float(row["network_evaluations"]) for row in rows] == [4, 4]
        assert rows[0]["wasserstein"] != rows[1]["wasserstein"]
        assert "no hyper-parameter gama" in refused(*words, "--set", "gama=2")
        assert "given twice" in refused(*words, "--iterations", 4)

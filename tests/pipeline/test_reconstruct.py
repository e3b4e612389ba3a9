"""`ig.reconstruct`: what `invgen recon` does, from Python."""

from __future__ import annotations

import inspect
import json
import math

import h5py
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import invgen as ig
from invgen.cli import app
from invgen.core.errors import FileError, ParameterError
from invgen.simulate import simulate_ct


def typed(*words):
    result = CliRunner().invoke(app, ["recon", *map(str, words)])
    assert result.exit_code == 0, result.output


def contents(path):
    """All that a file holds: of the settings, all but the command; the time when it was made is left out."""
    found = {}

    def visit(name, thing):
        found[f"{name} attributes"] = dict(thing.attrs)
        if isinstance(thing, h5py.Dataset):
            found[name] = thing[()].tobytes() if thing.dtype.kind != "O" else thing[()].tolist()
            found[f"{name} type"] = (thing.shape, thing.dtype, thing.chunks)

    with h5py.File(path) as file:
        file.visititems(visit)
        attributes = {name: np.asarray(value).tolist() for name, value in file.attrs.items()}
    attributes["settings"] = json.loads(attributes["settings"])
    command = attributes["settings"].pop("command")
    attributes.pop("created")
    return found | {"attributes": attributes}, command


class TestAgainstTheCommandLine:
    @pytest.mark.cases_are_slow
    @pytest.mark.parametrize(
        ("scan", "words", "options"),
        [
            ("parallel", (), {}),
            (
                "parallel",
                ("--solver", "tv", "--slices", "1:3", "--iterations", 6, "--no-nonnegative"),
                {"solver": "tv", "slices": slice(1, 3), "iterations": 6, "nonnegative": False},
            ),
            (
                "fan",
                ("--angles-range", "0:250", "--views", "::2", "--bin", 2, "--center", 11.75),
                {
                    "angles_range": (0.0, math.radians(250)),
                    "views": slice(None, None, 2),
                    "bin": 2,
                    "center": 11.75,
                },
            ),
            ("cone", ("--solver", "ossart", "--slices", 2), {"solver": "ossart", "slices": 2}),
            (
                "parallel",
                ("--solver", "fbp", "--set", "cutoff=0.5", "--window", "cosine"),
                {"solver": "fbp", "settings": {"cutoff": 0.5}, "window": "cosine"},
            ),
            ("grid", (), {}),
            (
                "grid",
                ("--solver", "tv", "--maps", "adaptive", "--no-whiten", "--slices", "0:2", "--iterations", 5),
                {"solver": "tv", "maps": "adaptive", "whiten": False, "slices": range(2), "iterations": 5},
            ),
        ],
    )
    @pytest.mark.filterwarnings("ignore::invgen.core.errors.InvgenWarning")  # coarse bins cut the object
    def test_the_same_bytes(self, scans, tmp_path, scan, words, options):
        typed(scans[scan], "-o", tmp_path / "typed.h5", *words)
        summary = ig.reconstruct(scans[scan], tmp_path / "called.h5", **options)
        first, command = contents(tmp_path / "typed.h5")
        second, again = contents(tmp_path / "called.h5")
        assert first == second
        assert command.replace("typed.h5", "called.h5") == again
        assert summary.path == tmp_path / "called.h5"
        assert summary.images is None

    @pytest.mark.slow
    def test_the_same_samples(self, scans, prior, tmp_path):
        words = ("--samples", 3, "--seed", 5, "--slices", "1:3", "--set", "gamma=2", "--set", "iterations=3")
        typed(scans["parallel"], "-o", tmp_path / "typed.h5", "--solver", "dds", "--prior", prior, *words)
        ig.reconstruct(
            scans["parallel"],
            tmp_path / "called.h5",
            solver="dds",
            prior=prior,
            samples=3,
            seed=5,
            slices=slice(1, 3),
            settings={"gamma": 2, "iterations": 3},
        )
        first, _ = contents(tmp_path / "typed.h5")
        second, _ = contents(tmp_path / "called.h5")
        assert first == second
        assert {"samples", "std", "quantiles/0.5"} <= set(first)


class TestResult:
    def test_without_an_output_the_images_are_in_it(self, scans, prior, tmp_path):
        options = {"solver": "dds", "prior": prior, "samples": 2, "slices": slice(1, 3), "iterations": 2}
        summary = ig.reconstruct(scans["parallel"], **options)
        ig.reconstruct(scans["parallel"], tmp_path / "out.h5", **options)
        with h5py.File(tmp_path / "out.h5") as file:
            assert np.array_equal(file["reconstruction"], summary.images)
            assert np.array_equal(file["samples"], summary.samples)
        assert summary.path is None

    @pytest.mark.slow
    def test_it_says_what_was_done(self, scans):
        summary = ig.reconstruct(scans["parallel"], solver="tv", iterations=5, slices=slice(1, 3))
        assert isinstance(summary.solver, ig.solvers.PDHG)
        assert summary.solver.prior.weight == summary.recipe.weight > 0
        assert summary.statistics == {"center": summary.recipe.center}
        assert (summary.iterations, summary.slices, summary.unit) == (5, range(1, 3), "pixel")
        assert summary.images.shape == (2, *summary.image_shape)
        assert summary.images.dtype == torch.float32
        assert summary.seconds > 0
        mri = ig.reconstruct(scans["grid"], slices=0)
        assert mri.statistics == {"coils": 3, "maps": "espirit"}
        assert mri.images.dtype == torch.complex64

    @pytest.mark.slow
    def test_choices_are_reported(self, scans):
        said, done = [], []
        ig.reconstruct(
            scans["parallel"],
            solver="tv",
            iterations=3,
            notice=said.append,
            advance=lambda part, whole: done.append((part, whole)),
        )
        assert said[0].startswith("Centre of rotation at column ")
        assert any("chosen on slice 2 and kept for all slices" in sentence for sentence in said)
        assert (done[0], done[-1]) == ((0, 4), (4, 4))


class TestOptions:
    def test_hyperparameters_reach_the_solver(self, scans, prior):
        summary = ig.reconstruct(
            scans["parallel"],
            slices=0,
            solver="dps",
            prior=prior,
            samples=1,
            settings={"zeta": 0.3, "iterations": 2, "sigma_range": (0.1, 2)},
        )
        solver = summary.solver
        assert (solver.zeta, solver.iterations, solver.sigma_range) == (0.3, 2, (0.1, 2))

    def test_angles_can_be_numbers(self, scans, tmp_path):
        with h5py.File(scans["parallel"]) as file:
            data, white, dark = (
                file[f"exchange/{name}"][:, 0] for name in ("data", "data_white", "data_dark")
            )
            angles = np.deg2rad(file["exchange/theta"][:])
        dark = dark.mean(0)
        np.save(tmp_path / "sinogram.npy", -np.log((data - dark) / (white.mean(0) - dark)))
        options = {"axes": "angle,column", "center": 13.0}
        even = ig.reconstruct(tmp_path / "sinogram.npy", tmp_path / "even.h5", angles=angles, **options)
        uneven = angles + np.where(np.arange(len(angles)) == 3, 1e-3, 0)
        ig.reconstruct(tmp_path / "sinogram.npy", tmp_path / "uneven.h5", angles=uneven, **options)
        assert "--angles 0:180:20" in contents(tmp_path / "even.h5")[1]
        assert contents(tmp_path / "uneven.h5")[1] is None
        assert even.slices == range(1)

    def test_they_are_in_the_signature_and_the_documentation(self):
        parameters = inspect.signature(ig.reconstruct).parameters
        for name, default in {"solver": None, "bin": 1, "whiten": True, "trajectory_unit": None}.items():
            assert parameters[name].default == default
            assert f"    {name} : " in ig.reconstruct.__doc__
        assert "{options}" not in ig.reconstruct.__doc__

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"slice": 2}, "reconstruct has no option slice; did you mean slices?"),
            ({"nonsense": 2}, "reconstruct has no option nonsense."),
            ({"slices": "2:4"}, "--slices is a slice, such as slice"),
            ({"bin": True}, "--bin is a whole number of at least 1; got True"),
            ({"bin": None}, "--bin is a whole number of at least 1; got None"),
            ({"window": "flat"}, "--window is one of ram-lak"),
            ({"solver": "magic"}, "--solver is one of fbp, rss"),
            ({"weight": "much"}, "--weight is a number or 'auto'"),
            ({"settings": {"zeta": 1}}, "no hyper-parameter zeta; there are window, cutoff"),
        ],
    )
    def test_wrong_ones_are_refused(self, scans, tmp_path, options, message):
        with pytest.raises(ParameterError) as caught:
            ig.reconstruct(scans["parallel"], tmp_path / "out.h5", **options)
        assert message in str(caught.value)
        assert not list(tmp_path.iterdir())

    def test_the_scan_is_not_overwritten(self, scans):
        with pytest.raises(FileError, match="what the command reads"):
            ig.reconstruct(scans["parallel"], scans["parallel"])


def test_ctrl_c_leaves_nothing(scans, tmp_path):
    def interrupt(done, total):
        if done > 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ig.reconstruct(scans["parallel"], tmp_path / "out.h5", solver="sirt", iterations=3, advance=interrupt)
    assert not list(tmp_path.iterdir())


class TestDeterministic:
    def test_the_number_of_threads_changes_no_bit(self, tmp_path, set_threads):
        scan = tmp_path / "scan.h5"
        simulate_ct(scan, "shepp-logan", size=200, views=60)
        images = []
        for threads in (1, 3):
            set_threads(threads)
            options = {"solver": "sirt", "iterations": 3, "device": "cpu", "deterministic": True}
            images.append(ig.reconstruct(scan, tmp_path / f"{threads}.h5", **options).path)
            assert torch.get_num_threads() == threads
        (first, command), (second, _) = map(contents, images)
        assert first == second
        assert "--deterministic" in command

    def test_it_is_refused_on_a_gpu(self, scans, monkeypatch):
        monkeypatch.setattr("invgen.pipeline.work.chosen", lambda name: "cuda")
        with pytest.raises(ParameterError, match=r"--deterministic is of the threads of a CPU.*cuda"):
            ig.reconstruct(scans["parallel"], deterministic=True)

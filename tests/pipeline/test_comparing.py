"""Calibrations of warnings by raw scans: the statistics that a reconstruction has, and what is refused."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.errors import FileError, InvgenWarning, ParameterError, ShapeError
from invgen.pipeline import Reading, Recipe
from invgen.pipeline.comparing import compare, reconstructed
from invgen.plausibility import Calibration, assess
from invgen.simulate import simulate_ct, simulate_mri

DDS = {"solver": "dds", "iterations": 2, "size": 32, "fov": "image"}


def raw(path, seed, slices=13, **settings):
    options = {"size": 32, "views": 16, "slices": slices, "center_offset": 0.5 - 0.3 * seed, "photons": 1e4}
    simulate_ct(path, "random", seed=seed, **{**options, **settings})
    return path


def compared(scans, output, prior, examples=None, **options):
    done, notices = [], []
    recipe = Recipe(prior=str(prior), **{**DDS, **options})
    found = compare(scans, output, Reading(), recipe, notices.append, done.append, "objects", examples)
    assert done == list(range(1, found.scans + 1))
    return found, notices


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    for seed in range(2):
        raw(folder / f"known-{seed}.h5", seed)
    return folder


@pytest.fixture(scope="module")
def known(folder, prior) -> Path:
    path = folder / "known.json"
    found, notices = compared(sorted(folder.glob("known-*.h5")), path, prior)
    assert found.scans == 26
    assert found.about == "objects"
    # of which the prior, of a network that has learned nothing, knows nothing
    assert not any("orientation" in name for name in found.statistics)
    assert sum("Centre of rotation" in each for each in notices) == 1  # of the first scan alone
    return path


def test_its_statistics_are_those_of_a_reconstruction_by_the_same_pipeline(folder, known, prior):
    """To the bit of a file: a scan that is compared is treated as those of the calibration were."""
    recipe = Recipe(prior=str(prior), **DDS)
    scan = folder / "known-0.h5"
    solver, problem, result = next(reconstructed([scan], Reading(), recipe, lambda text: None))
    assert len(result.samples) == 1
    statistics = assess(solver, problem, result).statistics
    kept = Calibration.load(known)
    assert set(statistics) <= set(kept.statistics)
    for name, value in statistics.items():
        assert float(f"{float(value):.4g}") == kept.statistics[name][0]
    # a reconstruction draws the same sample, and more
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InvgenWarning)
        summary = ig.reconstruct(
            scan, calibration=known, slices=slice(1), scale=solver.scale, samples=2, prior=prior, **DDS
        )
    assert set(summary.plausibility.p_values) == {"scan", "residual", "typicality", "bound"}
    torch.testing.assert_close(summary.samples[0, 0], result.samples[0])
    # the scan itself is among those that it is compared with
    assert float(summary.plausibility.p_values["scan"][0]) > 1.5 / 27


def test_a_scan_that_fits_is_not_warned_of_and_one_off_its_axis_is(folder, known, prior):
    new = raw(folder / "new.h5", seed=0, slices=2, photons=1.1e4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", InvgenWarning)
        ig.reconstruct(new, calibration=known, prior=prior, **DDS)
    wrong = ig.reconstruct(new, prior=prior, **DDS).recipe.center + 4
    with pytest.warns(InvgenWarning, match="2 of 2 slices do not fit operator, noise and prior"):
        ig.reconstruct(new, calibration=known, center=wrong, prior=prior, **DDS)


def test_other_seeds_draw_other_samples(folder, prior):
    recipe = Recipe(prior=str(prior), slices=slice(1), **DDS)
    scans, silent = [folder / "known-0.h5"] * 2, lambda text: None

    def drawn(scans, recipe):
        return [result.samples for *_, result in reconstructed(scans, Reading(), recipe, silent)]

    first, second = drawn(scans, recipe)
    assert not torch.equal(first, second)
    assert torch.equal(second, *drawn(scans[:1], replace(recipe, seed=1)))


def test_scans_of_mri_calibrate_too(tmp_path, prior):
    from invgen.priors.nets import EDM, UNet

    path, scan = tmp_path / "complex.safetensors", tmp_path / "scan.h5"
    torch.manual_seed(0)
    ig.priors.Diffusion(EDM(UNet(2, 2, widths=(8,), blocks=1), 0.5), sigma_data=0.5, field="complex").save(
        path
    )
    simulate_mri(scan, size=(28, 24), coils=3, acceleration=2, calibration=12, slices=19)
    output = tmp_path / "known.json"
    found, _ = compared([scan], output, path, size=None, fov=None, iterations=2)
    assert (found.scans, found.protocol["operator"]) == (19, "MRI")
    assert Calibration.load(output).scans == 19


def test_examples_join_the_calibration_and_scans_are_compared_with_them(folder, known, prior, tmp_path):
    examples, output = tmp_path / "examples.npy", tmp_path / "known.json"
    images = torch.stack([ig.phantoms.random(seed, 32).image((48, 48), 4 / 3) for seed in range(100)])
    np.save(examples, images.numpy())
    found, _ = compared(sorted(folder.glob("known-*.h5")), output, prior, examples)
    new = {"coarse log-density", "coarse orientation"}
    assert set(found.statistics) == set(Calibration.load(known).statistics) | new
    scan = next(reconstructed([folder / "known-0.h5"], Reading(), Recipe(prior=str(prior), **DDS), print))
    assert new <= set(assess(*scan, calibration=Calibration.load(output)).deviations)
    np.save(examples, images[:50].numpy())
    with pytest.raises(ShapeError, match="100 or more"):
        compared([folder / "known-0.h5"], tmp_path / "x.json", prior, examples)
    before = examples.read_bytes()
    with pytest.raises(FileError, match="what the command reads"):
        compared([folder / "known-0.h5"], examples, prior, examples)
    assert examples.read_bytes() == before


def test_what_calibrates_nothing_is_refused_and_leaves_no_file(folder, known, prior, tmp_path):
    output, scan = tmp_path / "x.json", folder / "known-0.h5"

    def refused(match, scans=(scan,), kind=ParameterError, **options):
        with pytest.raises(kind, match=match):
            compared(scans, output, prior, **{"slices": slice(1), **options})
        assert not output.exists()

    refused("19 or more")
    refused("There are no scans", ())
    refused("--calibration is of reconstructions", calibration=(str(known),))
    refused("--roi is of reconstructions", roi=(slice(2), slice(2)))
    fan = tmp_path / "fan.h5"
    simulate_ct(fan, "foam", geometry="fan", size=32, views=90, slices=1)
    refused("one kind of operator", (scan, fan))
    cut = tmp_path / "cut.h5"
    cut.write_bytes(scan.read_bytes()[:3000])
    refused("cut", (scan, cut), FileError)
    with pytest.raises(ParameterError, match="tv has none: give --solver and --prior"):
        compare([scan], output, Reading(), Recipe(solver="tv"), print, print)
    before = scan.read_bytes()
    with pytest.raises(FileError, match="what the command reads"):
        compared([scan], scan, prior)
    assert scan.read_bytes() == before

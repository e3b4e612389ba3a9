"""`ct-phantoms` comes with what raw scans are compared with: found by itself, for such scans alone."""

import warnings

import pytest

import invgen as ig
from invgen.core.errors import InvgenWarning
from invgen.pipeline import Reading
from invgen.pipeline.description import describe
from invgen.plausibility.reconstructions.calibration import calibrations_of
from invgen.priors.files import checkpoints
from invgen.simulate import simulate_ct

DDS = {"solver": "dds", "prior": "ct-phantoms", "samples": 1, "precision": "bfloat16"}


def scan(path, seed, **settings):
    """Of a random object that neither the prior nor the calibration has seen."""
    options = {"size": 128, "views": 40, "center_offset": 1.0, "seed": 2_000_000 + seed}
    simulate_ct(path, "random", **{**options, **settings})
    return path


def reconstructed(path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InvgenWarning)
        return ig.reconstruct(path, **{**DDS, **options})


def test_it_is_in_the_header_which_stays_small_and_is_told_in_short():
    with checkpoints.located("ct-phantoms") as path, path.open("rb") as file:
        assert int.from_bytes(file.read(8), "little") < 100_000
    (known,) = calibrations_of(ig.priors.load("ct-phantoms").card)
    assert known.scans >= 60
    assert (known.protocol["operator"], known.protocol["solver"]) == ("Radon", "DDS")
    assert "prior" not in known.protocol
    with checkpoints.located("ct-phantoms") as path:
        assert describe(path, Reading()).facts["scan_calibrations"] == [known.about]


def test_a_raw_scan_of_the_kind_is_compared_with_it_and_found_where_its_axis_is_wrong(tmp_path):
    path = scan(tmp_path / "scan.h5", 0)
    found = reconstructed(path)
    assert found.plausibility.remark == ""
    assert float(found.plausibility.p_values["scan"][0]) > 0.05
    assert not found.plausibility.misfits.any()
    off = reconstructed(path, center=found.recipe.center + 3)
    assert float(off.plausibility.p_values["residual"][0]) < 0.03


def test_scans_of_other_protocols_are_not_compared(tmp_path):
    path = scan(tmp_path / "scan.h5", 1, views=8)
    few = reconstructed(path, iterations=2)
    assert "iterations 2, calibrated with 50" in few.plausibility.remark
    assert set(few.plausibility.p_values) == {"bound"}


@pytest.mark.slow
def test_random_objects_fit_and_flats_that_are_means_of_frames_do_not(tmp_path):
    """Of twenty, at 5 %, more than four with a probability of 0.003."""
    import h5py

    p, wrong = [], []
    for seed in range(20):
        path, other = scan(tmp_path / "scan.h5", seed, photons=3e4), tmp_path / "flats.h5"
        p.append(float(reconstructed(path).plausibility.p_values["scan"][0]))
        if seed < 4:
            scan(other, seed, photons=1.2e5)
            with h5py.File(other) as flats, h5py.File(path, "r+") as file:
                file["exchange/data_white"][...] = flats["exchange/data_white"][...]
            wrong.append(float(reconstructed(path).plausibility.p_values["scan"][0]))
    assert sum(each <= 0.05 for each in p) <= 4
    assert max(wrong) <= 0.05

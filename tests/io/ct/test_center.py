"""The centre of rotation, on an object whose projections are known in closed form."""

import pickle
import warnings

import numpy as np
import pytest
import torch

from invgen.core.errors import DataError, InvgenWarning, ParameterError
from invgen.io import Bin, Center, CenterEstimate, find_center

SCANS = {
    "180 degrees": (180, np.pi),
    "180 degrees, both ends": (181, np.pi * 181 / 180),
    "360 degrees": (180, 2 * np.pi),
    "360 degrees, odd number of views": (181, 2 * np.pi),
    "60 views": (60, np.pi),
    "25 views": (25, np.pi),
}


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("offset", [0.0, 0.5, -3.25, 11.7])
@pytest.mark.parametrize("columns", [127, 128])
def test_center_without_noise_is_found_to_a_twentieth_of_a_column(
    sinogram, absorption, scan, offset, columns
):
    views, span = SCANS[scan]
    angles, center = np.arange(views) * span / views, (columns - 1) / 2 + offset
    found = find_center(absorption(sinogram(angles, columns, center), angles))
    assert found == pytest.approx(center, abs=0.05)


@pytest.mark.parametrize("scan", ["180 degrees", "360 degrees", "60 views"])
@pytest.mark.parametrize("offset", [0.5, -9.25])
def test_error_of_the_center_is_what_its_uncertainty_says(sinogram, absorption, scan, offset):
    """Twenty noisy scans: the errors, in standard errors, have a mean square near one."""
    views, span = SCANS[scan]
    angles, center = np.arange(views) * span / views, 63.5 + offset
    clean, rng = sinogram(angles, 128, center), np.random.default_rng(0)
    scores, errors = [], []
    for _ in range(20):
        found = find_center(absorption(clean + 0.01 * clean.max() * rng.standard_normal(clean.shape), angles))
        errors.append(found - center)
        scores.append((found - center) / found.uncertainty)
    assert np.sqrt(np.mean(np.square(errors))) < 0.06
    assert 0.5 < np.sqrt(np.mean(np.square(scores))) < 1.8


def test_angles_may_be_unevenly_spaced(sinogram, absorption):
    angles = np.sort(np.arange(150) * np.pi * (3 - np.sqrt(5)) % np.pi)  # golden angle
    found = find_center(absorption(sinogram(angles, 128, 58.3), angles))
    assert found == pytest.approx(58.3, abs=0.05)


def test_stripes_flicker_and_a_tilted_background_do_not_mislead(sinogram, absorption):
    angles, rng = np.arange(180) * np.pi / 180, np.random.default_rng(0)
    clean = sinogram(angles, 128, 60.2)
    peak = clean.max()
    for wrong in (
        0.01 * peak * rng.standard_normal(128),
        0.02 * peak * rng.standard_normal((180, 1)),
        0.02 * peak * np.linspace(0, 1, 128),
        -0.2 * clean**2 / peak,  # beam hardening
    ):
        assert find_center(absorption(clean + wrong, angles)) == pytest.approx(60.2, abs=0.1)


@pytest.mark.parametrize("scan", ["180 degrees", "360 degrees", "60 views"])
@pytest.mark.parametrize("stripes", [0.1, 0.5])
def test_what_stands_still_on_the_detector_does_not_pull_the_center(sinogram, absorption, scan, stripes):
    """Stripes match their own mirror image best at some place, and the profile of a beam at its middle."""
    views, span = SCANS[scan]
    angles, rng = np.arange(views) * span / views, np.random.default_rng(0)
    clean = sinogram(angles, 128, 58.3)
    profile = np.exp(-(((np.arange(128) - 66) / 40) ** 2)) + rng.standard_normal(128)
    noise = 0.005 * clean.max() * rng.standard_normal(clean.shape)
    found = find_center(absorption(clean + stripes * clean.max() * profile + noise, angles))
    assert found == pytest.approx(58.3, abs=max(0.05, 3 * found.uncertainty))
    assert found.uncertainty < 0.1


@pytest.mark.parametrize("offset", [-21.7, 4.2])
def test_center_of_counts_that_are_taken_for_transmission(sinogram, absorption, offset):
    """A full turn of a neutron's camera, whose beam is brightest in the middle and no flat was divided by."""
    angles, rng = np.arange(240) * np.pi / 120, np.random.default_rng(0)
    clean = sinogram(angles, 128, 63.5 + offset, scale=0.6)
    beam = 5000 * np.exp(-(((np.arange(128) - 62) / 70) ** 2)) * (1 + 0.1 * rng.standard_normal(128))
    counts = rng.poisson(beam * np.exp(-clean / clean.max())).clip(1)
    found = find_center(absorption(-np.log(counts), angles))
    assert found == pytest.approx(63.5 + offset, abs=0.1)


@pytest.mark.parametrize("offset", [0.5, -6.3])
def test_center_of_a_truncated_object_is_not_the_middle_of_the_detector(sinogram, absorption, offset):
    angles, center = np.arange(180) * np.pi / 180, 63.5 + offset
    found = find_center(absorption(sinogram(angles, 128, center, scale=2.5), angles))
    assert found == pytest.approx(center, abs=0.2)


def test_no_structure_gives_a_warning():
    angles = torch.arange(90) * torch.pi / 90
    from invgen.io import Projections

    noise = torch.randn(90, 100, generator=torch.Generator().manual_seed(0))
    for data in (noise, torch.zeros(90, 100)):
        with pytest.warns(InvgenWarning, match="--center"):
            find_center(Projections(data, angles.double(), "absorption"))


def test_less_than_a_half_turn_is_an_error_that_names_the_option(sinogram, absorption):
    angles = np.deg2rad(np.arange(140))
    with pytest.raises(DataError, match=r"cover 140 of the 180 degrees.*--center"):
        find_center(absorption(sinogram(angles, 64, 31.0), angles))


def test_center_maps_through_binning(sinogram, absorption):
    """Columns 3k, 3k+1, 3k+2 have their mean at 3k+1: column c is (c - 1) / 3 of the bins."""
    angles = np.arange(120) * np.pi / 120
    fine = Center(92.0)(absorption(sinogram(angles, 192, 92.0), angles))
    binned = Bin(3)(fine)
    assert binned.center == pytest.approx(91 / 3)
    assert find_center(binned) == pytest.approx(binned.center, abs=0.05)


def test_center_step_states_what_it_did_and_resamples_nothing(sinogram, absorption):
    angles = np.arange(90) * np.pi / 90
    before = absorption(sinogram(angles, 64, 30.0), angles)
    given, found = Center(30.25)(before), Center()(before)
    assert given.center == 30.25
    assert "30.25 of 64 (given)" in given.report[-1]
    assert "standard error" in found.report[-1]
    assert torch.equal(found.data, before.data)
    with pytest.raises(ParameterError, match="outside of the detector"):
        Center(80.0)(before)


def test_estimate_survives_pickling():
    estimate = pickle.loads(pickle.dumps(CenterEstimate(3.5, 0.1)))
    assert (estimate, estimate.uncertainty) == (3.5, 0.1)


def test_search_is_quiet_when_it_is_sure(sinogram, absorption):
    angles = np.arange(60) * np.pi / 60
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find_center(absorption(sinogram(angles, 64, 30.0), angles))

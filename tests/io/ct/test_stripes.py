"""Each filter of stripes, on the kind of stripes that it is meant for."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import maximum_filter1d, minimum_filter1d
from scipy.signal import savgol_filter

from invgen.core.errors import ParameterError
from invgen.io import (
    STRIPE_FILTERS,
    DeadStripes,
    LargeStripes,
    StripeFiltering,
    StripeFitting,
    StripeSorting,
    to_problem,
)
from invgen.io.ct.stripes import _outliers, _savitzky_golay

VIEWS, COLUMNS, CENTER, NOISE = 180, 384, 180.0, 0.01
ANGLES = np.arange(VIEWS) * np.pi / VIEWS
PLACE = np.arange(COLUMNS)


@pytest.fixture
def edges(sinogram):
    """Ellipses, whose largest line integral is one."""
    line = sinogram(ANGLES, COLUMNS, CENTER)
    return line / line.max()


@pytest.fixture
def blobs():
    """Two Gaussian blobs, whose projections are Gaussians: no edges."""
    out = np.zeros((VIEWS, COLUMNS))
    for weight, radius, phase in ((0.7, 20, 0.3), (0.4, 40, 2.0)):
        s = PLACE - CENTER - radius * np.cos(ANGLES - phase)[:, None]
        out += weight * np.exp(-((s / 60) ** 2) / 2)
    return out


@pytest.fixture
def noise():
    return NOISE * np.random.default_rng(0).standard_normal((VIEWS, COLUMNS))


def filtered(name, projections):
    for step in STRIPE_FILTERS[name]:
        projections = step(projections)
    return projections


def narrow():
    """One column of eleven."""
    return np.tile(np.where(PLACE % 11 == 5, 0.05, 0.0), (VIEWS, 1))


def partial():
    """Single columns, in half of the views."""
    out = np.zeros((VIEWS, COLUMNS))
    out[: VIEWS // 2, 40:-40:30] = 0.1
    return out


def wide():
    """Eight columns with a response that is a fifth off."""
    out = np.zeros((VIEWS, COLUMNS))
    for first, response in ((90, 0.2), (150, -0.2), (240, 0.2)):
        out[:, first : first + 8] = response
    return out


def blocks():
    """All columns, in blocks of twelve."""
    return np.tile(np.where(PLACE // 12 % 2, 0.05, -0.05), (VIEWS, 1))


# blocks of twelve have sixteen cycles per detector, beyond the low-pass filter of alg. 1; ranks of partial
# stripes are those of other views, so that the values return to neighboring places
@pytest.mark.parametrize(
    ("name", "stripes", "scene", "most"),
    [
        ("sorting", narrow, "edges", 0.3),
        ("filtering", narrow, "edges", 0.3),
        ("sorting", partial, "edges", 0.6),
        ("filtering", partial, "edges", 0.6),
        ("large", wide, "edges", 0.5),
        ("all", wide, "edges", 0.5),
        ("fitting", blocks, "blobs", 0.25),
    ],
)
def test_stripes_go_and_the_object_stays(request, absorption, noise, name, stripes, scene, most):
    """The systematic error falls to a fraction of the stripes; that of the noise is not counted."""
    clean, added = request.getfixturevalue(scene), stripes()
    with_stripes = filtered(name, absorption(clean + added + noise, ANGLES)).data.numpy()
    assert (
        np.sqrt(np.mean((with_stripes - clean - noise) ** 2)) < most * np.sqrt(np.mean(added**2)) + NOISE / 2
    )


@pytest.mark.parametrize(
    ("name", "scene"),
    [*((name, "edges") for name in STRIPE_FILTERS if name != "fitting"), ("fitting", "blobs")],
)
def test_a_sinogram_without_stripes_changes_by_less_than_its_noise(request, absorption, noise, name, scene):
    clean = request.getfixturevalue(scene)
    before = absorption(clean + noise, ANGLES)
    assert float((filtered(name, before).data - before.data).square().mean().sqrt()) < NOISE


def test_sorting_errs_by_no_more_than_the_object_varies_within_the_window(absorption, edges):
    """A median of which fewer than half of the values are off lies among the others, whatever the stripe."""
    ordered = np.sort(edges, 0)
    spread = maximum_filter1d(ordered, 5, 1, mode="nearest") - minimum_filter1d(ordered, 5, 1, mode="nearest")
    for scale in (1, 100):
        out = StripeSorting(5)(absorption(edges + scale * narrow(), ANGLES)).data.numpy()
        assert (np.abs(np.sort(out, 0) - ordered) <= spread + 1e-6 * scale).all()


@pytest.mark.parametrize("step", [StripeSorting(5), StripeFiltering(size=5), LargeStripes(size=21)])
def test_of_columns_that_see_the_same_nothing_is_left_of_a_stripe(absorption, step):
    truth = np.tile(np.sin(3 * ANGLES)[:, None], (1, COLUMNS))
    out = step(absorption(truth + 20 * narrow(), ANGLES)).data.numpy()
    assert np.abs(out - truth).max() < 1e-5


@pytest.mark.parametrize("step", [StripeSorting(5), StripeSorting(21), LargeStripes(size=21)])
def test_an_object_that_ends_at_the_edge_of_the_detector_still_does(absorption, step):
    """A median leaves what is monotone as it is."""
    slope = (1 + np.sin(ANGLES) ** 2)[:, None] * np.linspace(0, 1, COLUMNS)
    out = step(absorption(slope, ANGLES)).data.numpy()
    assert np.abs(out - slope).max() < 1e-5


def test_columns_that_do_not_respond_or_fluctuate_become_dead_rays(absorption, edges, noise):
    stuck, restless = [100, 190, 270], [150, 230]
    data = edges + noise
    data[:, stuck] = 0.6
    data[:, restless] += 0.3 * np.random.default_rng(1).standard_normal((VIEWS, 2))
    std = torch.full(data.shape, NOISE)
    out = filtered("dead", absorption(data, ANGLES, std=std, center=CENTER))
    found = sorted({column + step for column in (*stuck, *restless) for step in (-1, 0, 1)})
    assert torch.nonzero(out.dead.all(0)).reshape(-1).tolist() == found
    assert torch.equal(out.dead.any(0), out.dead.all(0))
    assert torch.isinf(out.std[:, found]).all()
    assert float(to_problem(out).count()) == VIEWS * (COLUMNS - len(found))
    middle = (data[:, 98] + data[:, 102]) / 2
    assert np.allclose(out.data[:, 100].numpy(), middle, atol=1e-6)
    every = filtered("all", absorption(data, ANGLES, std=std))
    assert torch.equal(every.std, out.std)


def test_where_too_many_fluctuate_none_are_dead(absorption, edges):
    """Of a simulation without noise, whose air is exactly constant."""
    before = absorption(edges, ANGLES)
    out = DeadStripes()(before)
    assert out.dead is None
    assert torch.equal(out.data, before.data)
    assert "too many for dead pixels" in out.assumptions[-1]


@pytest.mark.parametrize("name", STRIPE_FILTERS)
@pytest.mark.parametrize("scale", [2.0**-10, 2.0**10])  # exact in floating point
def test_filters_have_no_scale_and_keep_the_noise(absorption, edges, noise, name, scale):
    data = edges + noise + wide() + partial()
    data[:, 300] = 0.4
    std = torch.full(data.shape, NOISE)
    one, other = (
        filtered(name, absorption(c * data, ANGLES, std=c * std, center=CENTER)) for c in (1, scale)
    )
    assert torch.equal(other.data, scale * one.data)
    assert (one.data.dtype, one.quantity, one.center) == (torch.float32, "absorption", CENTER)
    alive = torch.ones_like(one.data, dtype=torch.bool) if one.dead is None else ~one.dead
    assert torch.equal(one.std[alive], std[alive])
    assert len(one.report) == len(STRIPE_FILTERS[name])


@pytest.mark.parametrize("views", [40, 41])
@pytest.mark.parametrize("order", [0, 3])
def test_the_fit_is_the_filter_of_savitzky_and_golay_as_long_as_the_scan(views, order):
    data = np.random.default_rng(0).standard_normal((views, 3))
    expected = savgol_filter(data, views - 1 + views % 2, order, axis=0, mode="mirror")
    assert np.allclose(_savitzky_golay(views, order).numpy() @ data, expected, atol=1e-10)


def test_outliers_stand_out_from_the_distribution_of_the_others():
    values = torch.from_numpy(np.random.default_rng(0).standard_normal(800))
    assert not _outliers(values, 3.0).any()
    values[[3, 400]] = torch.tensor([30.0, -20.0]).double()
    assert torch.nonzero(_outliers(values, 3.0)).reshape(-1).tolist() == [3, 400]
    assert torch.nonzero(_outliers(1e-9 * values, 3.0)).reshape(-1).tolist() == [3, 400]
    # a line of width 1 and an outlier at twice its end: one width beyond
    line = torch.linspace(0, 1, 101).double()
    line[50] = 2.1
    assert torch.nonzero(_outliers(line, 1.0)).reshape(-1).tolist() == [50]
    assert not _outliers(line, 1.2).any()


@pytest.mark.parametrize("step", [StripeSorting, StripeFiltering, LargeStripes, DeadStripes])
@pytest.mark.parametrize("size", [4, 1, -5, 5.0])
def test_a_window_without_a_middle_is_refused(step, size):
    with pytest.raises(ParameterError, match="odd size"):
        step(size=size)


def test_parameters_without_meaning_are_refused(absorption):
    for make in (
        lambda: StripeFiltering(sigma=0.0),
        lambda: StripeFitting(order=-1),
        lambda: StripeFitting(sigma=(5.0, math.nan)),
        lambda: LargeStripes(snr=-1.0),
        lambda: LargeStripes(drop=1.0),
        lambda: DeadStripes(snr=math.inf),
    ):
        with pytest.raises(ParameterError, match="expects"):
            make()
    few = absorption(np.zeros((4, 30)), np.arange(4))
    with pytest.raises(ParameterError, match="more than 4 views"):
        StripeFitting()(few)
    for step in (StripeSorting(), DeadStripes()):
        with pytest.raises(ParameterError, match="usual order"):
            step(replace(few, quantity="transmission"))

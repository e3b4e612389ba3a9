"""The steps from counts to line integrals."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from invgen import phantoms
from invgen.core.errors import DataError, ParameterError
from invgen.io import (
    Bin,
    DeadPixels,
    DropBadFrames,
    FlatField,
    MinusLog,
    Projections,
    SelectViews,
    StripeSorting,
    Zingers,
    truncation,
)
from invgen.io.ct.flatfield import estimate_gain


def counts(data, flats, darks=None, **more):
    tensor = [None if x is None else torch.as_tensor(x, dtype=torch.float32) for x in (data, flats, darks)]
    angles = torch.arange(len(data)).double() * math.pi / len(data)
    return Projections(tensor[0], angles, "counts", flats=tensor[1], darks=tensor[2], **more)


def transmission(data, **more):
    data = torch.as_tensor(data, dtype=torch.float32)
    return Projections(data, torch.arange(len(data)).double() * math.pi / len(data), "transmission", **more)


@pytest.fixture
def scene():
    """A smooth transmission, and its expected counts, flat and dark fields."""
    rng = np.random.default_rng(1)
    ratio = np.exp(-1.5 * np.abs(np.sin(np.linspace(0, 3, 48) + np.linspace(0, 1, 30)[:, None])))
    flat, dark = 5000 * (1 + 0.1 * rng.random(48)), 50 + 5 * rng.random(48)
    return {"ratio": ratio, "flat": flat, "dark": dark, "mean": dark + ratio * (flat - dark)}


@pytest.mark.parametrize("method", ["clipped", "mean", "median"])
def test_flat_field_is_exact_algebra(scene, method):
    raw = counts(scene["mean"], np.tile(scene["flat"], (5, 1)), np.tile(scene["dark"], (3, 1)))
    out = FlatField(method)(raw)
    assert torch.allclose(out.data, torch.tensor(scene["ratio"], dtype=torch.float32), rtol=1e-5)
    assert out.quantity == "transmission"
    assert out.flats is None
    assert method in out.report[-1]


def test_a_zinger_in_the_flats_is_ignored_unless_all_frames_count(scene):
    flats = np.tile(scene["flat"], (5, 1))
    flats[2, 7] *= 10
    raw = counts(scene["mean"], flats, np.tile(scene["dark"], (3, 1)))
    error = {
        m: (FlatField(m)(raw).data[:, 7] - torch.tensor(scene["ratio"][:, 7])).abs().max()
        for m in ("clipped", "mean", "median")
    }
    assert error["clipped"] < 1e-5
    assert error["median"] < 1e-5
    assert error["mean"] > 0.1


@pytest.mark.parametrize("quanta", [3, 30, 3000])
def test_the_clipped_mean_has_the_noise_and_the_expectation_of_the_mean(quanta):
    """One in a hundred readings is a zinger. The median of few quanta lies below their expectation."""
    rng = np.random.default_rng(0)
    flats = rng.poisson(quanta, (50, 4000)).astype(float)
    struck = np.where(rng.random(flats.shape) < 0.01, flats + 50 * (quanta + 10), flats)
    ratio = FlatField(gain=1.0)(counts(np.full((1, 4000), float(quanta)), struck)).data[0]
    beam = quanta / ratio.double()
    error = (quanta / 50) ** 0.5
    assert float(beam.mean()) == pytest.approx(quanta, abs=4 * error / 4000**0.5)
    assert float(beam.std()) == pytest.approx(error, rel=0.05)


@pytest.mark.parametrize("gain", [1.0, 4.0])
@pytest.mark.parametrize("method", ["clipped", "mean", "median"])
def test_std_of_line_integrals_is_that_of_many_simulated_scans(scene, gain, method):
    rng, read = np.random.default_rng(2), 6.0
    signal = scene["mean"] - scene["dark"]

    def detected(mean):
        return (
            gain * rng.poisson(np.maximum(mean, 0) / gain)
            + scene["dark"]
            + read * rng.standard_normal(mean.shape)
        )

    values, stds = [], []
    for _ in range(300):
        flats, darks = (
            detected(np.tile(x, (9, 1))) for x in (scene["flat"] - scene["dark"], 0 * scene["flat"])
        )
        out = MinusLog()(FlatField(method)(counts(detected(signal), flats, darks)))
        values.append(out.data)
        stds.append(out.std)
    observed, predicted = torch.stack(values).std(0), torch.stack(stds).mean(0)
    assert (predicted / observed).mean() == pytest.approx(1, abs=0.03)
    assert (predicted / observed).std() < 0.08  # 300 samples know a std to 4 %


@pytest.mark.parametrize("gain", [0.5, 1.0, 12.0])
def test_gain_is_the_counts_per_quantum_whatever_the_beam_does(gain):
    rng = np.random.default_rng(0)
    beam = 4000 / gain * (1 + 0.3 * rng.random(800)) * (1 + 0.05 * rng.standard_normal((8, 1)))
    flats = torch.tensor(gain * rng.poisson(beam) + 100 + 3 * rng.standard_normal(beam.shape))
    darks = torch.tensor(100 + 3 * rng.standard_normal(beam.shape))
    assert estimate_gain(flats, darks) == pytest.approx(gain, rel=0.07)


def test_too_few_flats_assume_a_gain_of_one_and_say_so(scene):
    out = FlatField()(counts(scene["mean"], scene["flat"][None], scene["dark"][None]))
    assert "assumed" in out.report[-1]
    assert FlatField(gain=2.5)(counts(scene["mean"], scene["flat"][None])).report[-1].count("2.5") == 1


def test_flats_that_measure_nothing_are_errors(scene):
    flats, darks = np.tile(scene["flat"], (3, 1)), np.tile(scene["dark"], (3, 1))
    with pytest.raises(DataError, match="zero everywhere"):
        FlatField()(counts(scene["mean"], 0 * flats, 0 * darks))
    with pytest.raises(DataError, match="exchanged"):
        FlatField()(counts(scene["mean"], darks, flats))
    with pytest.raises(DataError, match=r"48 of 48 pixels.*saturated, at 65535"):
        FlatField()(counts(scene["mean"], 0 * flats + 65535, darks, saturation=65535.0))
    with pytest.raises(DataError, match="--flats"):
        FlatField()(counts(scene["mean"], None))


def test_saturated_rays_and_a_saturated_pixel_are_dead_not_measured(scene):
    flats = np.tile(scene["flat"], (3, 1))
    flats[:, 5] = 65535
    data = scene["mean"].copy()
    data[2, 9] = 65535
    out = FlatField()(counts(data, flats, saturation=65535.0))
    assert torch.isinf(out.std[:, 5]).all()
    assert torch.isinf(out.std[2, 9])
    assert int(torch.isinf(out.std).sum()) == 31
    assert "31 rays are saturated" in " ".join(out.report)


def test_dead_pixels_are_filled_and_carry_no_weight(scene):
    data, flats, darks = scene["mean"].copy(), np.tile(scene["flat"], (3, 1)), np.tile(scene["dark"], (3, 1))
    for array in (data, flats, darks):
        array[:, 20] = 777.0  # stuck
    flats[:, 33] = darks[:, 33]  # blind
    raw = counts(data, flats, darks)
    out = MinusLog()(FlatField()(DeadPixels()(raw)))
    assert torch.nonzero(torch.isinf(out.std[0])).reshape(-1).tolist() == [20, 33]
    expected = torch.tensor(-np.log(scene["ratio"][:, [20, 33]]), dtype=torch.float32)
    assert torch.allclose(out.data[:, [20, 33]], expected, atol=0.05)
    flats[:, :10] = 0
    with pytest.raises(DataError, match="do not respond to the beam"):
        DeadPixels()(counts(data, flats, darks))


def test_frames_without_an_image_are_left_out(scene):
    data = scene["mean"].copy()
    data[3], data[11], data[20] = np.nan, 0.0, data[20] * 0.2
    out = DropBadFrames()(counts(data, scene["flat"][None]))
    assert out.views == 27
    assert len(out.angles) == 27
    assert "1 not finite, 1 constant, 1 of odd intensity" in out.report[-1]
    assert "3, 11, 20" in out.report[-1]
    with pytest.raises(DataError, match="no scan"):
        DropBadFrames()(counts(0 * data, scene["flat"][None]))


def test_a_slice_of_air_has_no_bad_frames(absorption):
    out = DropBadFrames()(absorption(np.zeros((9, 12)), np.arange(9) / 3))
    assert out.views == 9


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("step", [DropBadFrames(), FlatField()])
def test_a_single_value_that_is_not_finite_is_an_error_that_says_where(scene, value, step):
    data = scene["mean"].copy()
    data[4, 7] = data[9, 1] = value
    with pytest.raises(DataError, match=r"2 NaN.*2 of 30 views \(4, 9\), .* view 4, column 7\..*--views"):
        step(counts(data, scene["flat"][None]))
    data = scene["mean"].copy()
    data[4] = value
    assert DropBadFrames()(counts(data, scene["flat"][None])).views == 29


def test_flats_that_are_not_finite_are_to_be_replaced(scene):
    flats = np.tile(scene["flat"], (3, 1))
    flats[1, 5] = np.inf
    with pytest.raises(DataError, match=r"flat fields hold 1 NaN.* \(1\).* frame 1, column 5\..*--flats"):
        FlatField()(counts(scene["mean"], flats))


def test_zingers_are_found_and_edges_are_not():
    rng = np.random.default_rng(0)
    data = np.full((60, 80), 0.9)
    for view in range(60):
        left = int(30 + 20 * np.sin(view / 10))
        data[view, left : left + 15] = 0.2  # an object with sharp edges that moves fast
    data += 0.01 * rng.standard_normal(data.shape)
    clean = transmission(data, std=torch.full(data.shape, 0.01))
    assert Zingers()(clean) is clean
    hits = [(5, 10), (20, 45), (21, 45), (59, 79)]
    for hit in hits:
        data[hit] += 1.5
    out = Zingers()(transmission(data, std=torch.full(data.shape, 0.01)))
    assert sorted(map(tuple, torch.nonzero(torch.isinf(out.std)).tolist())) == hits
    assert out.data.max() < 1.2
    assert "4 zingers" in out.report[-1]


def test_minus_log_inverts_the_exponential_and_floors_the_dark():
    data = torch.tensor([[1.0, 0.5, math.exp(-3), 0.0, -0.1]])
    out = MinusLog(floor=1e-3)(transmission(data))
    assert torch.allclose(out.data[0, :3], torch.tensor([0.0, math.log(2), 3.0]), atol=1e-6)
    assert torch.allclose(out.data[0, 3:], torch.tensor(-math.log(1e-3)))
    assert "2 rays were raised" in out.report[-1]
    with pytest.raises(ParameterError, match="positive floor"):
        MinusLog(0.0)(transmission(data))


def test_a_ray_below_its_noise_counts_with_a_std_of_one():
    out = MinusLog()(transmission([[0.01, 0.5]], std=torch.tensor([[0.05, 0.05]])))
    assert out.std[0].tolist() == pytest.approx([1.0, 0.1])


def test_binning_is_averaging_and_noise_falls_with_its_root():
    rng = np.random.default_rng(0)
    data = torch.tensor(rng.random((4, 22)), dtype=torch.float32)
    before = transmission(data, std=torch.full((4, 22), 0.3), center=9.0, spacing=0.5)
    out = Bin(5)(before)
    assert torch.allclose(out.data, data[:, :20].reshape(4, 4, 5).mean(2))
    assert torch.allclose(out.std, torch.tensor(0.3 / math.sqrt(5)))
    assert (out.spacing, out.center) == (2.5, (9.0 - 2) / 5)
    assert "2 columns at the right edge were cut" in out.report[-1]
    assert Bin(1)(before) is before


def test_binning_leaves_out_dead_rays():
    dead = torch.tensor([[True, False, False], [True, True, True]])
    before = transmission([[9.0, 1.0, 2.0], [5.0, 5.0, 5.0]], std=torch.ones(2, 3)).with_dead(dead)
    out = Bin(3)(before)
    assert out.data[0, 0] == pytest.approx(1.5)
    assert out.std[:, 0].tolist() == pytest.approx([math.sqrt(2) / 2, math.inf])
    assert out.dead[:, 0].tolist() == [False, True]


def test_views_are_selected_with_their_angles(absorption):
    before = absorption(np.arange(20.0).reshape(10, 2), np.arange(10) / 10)
    out = SelectViews(slice(1, None, 4))(before)
    assert out.angles.tolist() == pytest.approx([0.1, 0.5, 0.9])
    assert out.data[:, 0].tolist() == [2, 10, 18]
    with pytest.raises(ParameterError, match="none of the 10 views"):
        SelectViews(slice(20, None))(before)
    for step in (-1, 0):
        with pytest.raises(ParameterError, match=f"step of the views should be 1 or more; got {step}"):
            SelectViews(slice(None, None, step))(before)


def test_truncation_is_detected_for_each_side(sinogram, absorption):
    angles = np.arange(90) * np.pi / 90
    inside = truncation(absorption(sinogram(angles, 128, 64.0), angles))
    left = truncation(absorption(sinogram(angles, 128, 20.0), angles))
    both = truncation(absorption(sinogram(angles, 128, 64.0, scale=3), angles))
    assert not inside
    assert left
    assert left.left > 0.5
    assert left.right == 0
    assert both.left == both.right == 1
    assert "wider than the detector" in str(both)


@pytest.mark.parametrize("columns", [32, 64, 150, 199, 256, 400])
@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("known", [True, False])
def test_what_just_fits_is_not_truncated_and_what_is_cut_is(absorption, columns, noise, known):
    angles, offset = torch.arange(60).double() * math.pi / 60, 1.5
    reach = columns / 2 - offset  # from the axis to the nearer edge

    def truncated(radius):
        line = phantoms.shepp_logan(radius / 0.92).sinogram(angles, columns, 1.0, offset)
        line = line / line.max() + noise * torch.randn(line.shape, generator=torch.Generator().manual_seed(0))
        std = torch.full(line.shape, noise) if noise and known else None
        if std is not None:
            std[:, 0] = math.inf  # a dead pixel at the edge hides nothing
        return truncation(absorption(line, angles, std=std))

    assert not truncated(reach - 1)
    assert not truncated(reach - 0.02 * columns - 1)
    cut = truncated(1.1 * reach)
    assert cut.left > 0.3
    assert cut.right < cut.left


def test_steps_in_a_wrong_order_are_refused(scene):
    raw = counts(scene["mean"], scene["flat"][None])
    for step in (MinusLog(), Zingers(), Bin(2), StripeSorting()):
        with pytest.raises(ParameterError, match="usual order"):
            step(raw)
    with pytest.raises(ParameterError, match="usual order"):
        FlatField()(replace(raw, quantity="absorption"))

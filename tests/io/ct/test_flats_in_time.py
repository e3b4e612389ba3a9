"""Flats before, after and between the views: the flat field of each view is that of its time."""

import math

import h5py
import numpy as np
import pytest
import torch

from invgen.io import FlatField, MinusLog, Projections, open_scan
from invgen.io.ct.flatfield import estimate_gain

VIEWS, COLUMNS, DARK = 60, 48, 100.0
ANGLES = np.arange(VIEWS) * np.pi / VIEWS
FIRST = 20000 * (1 + 0.2 * np.sin(np.arange(COLUMNS) / 5))
LAST = 15000 * (1 + 0.2 * np.cos(np.arange(COLUMNS) / 7))  # another profile, not only another intensity


@pytest.fixture
def truth(sinogram):
    line = sinogram(ANGLES, COLUMNS, (COLUMNS - 1) / 2)
    return line / line.max()


@pytest.fixture
def scan(tmp_path, truth):
    """Write NXtomo whose frames are those of `key`, in time: 0 views, 1 flats, 2 darks.

    The beam goes from one profile to another linearly over all frames.
    """

    def write(key, first=FIRST, last=LAST, rng=None, turn=1, jitter=0.0):
        key, path = np.asarray(key), tmp_path / "scan.nxs"
        beam = first + (last - first) * np.linspace(0, 1, len(key))[:, None]
        attenuation = np.zeros((len(key), COLUMNS))
        attenuation[key == 0] = truth[::turn]
        mean = np.where(key == 2, 0, 1)[:, None] * beam * np.exp(-attenuation)
        if rng is not None:
            flux = np.where(key == 0, 1 + jitter * rng.standard_normal(len(key)), 1)
            mean = rng.poisson(mean * flux[:, None])
        angles = np.zeros(len(key))
        angles[key == 0] = np.rad2deg(ANGLES)[::turn]
        with h5py.File(path, "w") as file:
            file["entry/definition"] = "NXtomo"
            detector = file.create_group("entry/instrument/detector")
            detector["data"] = (DARK + mean)[:, None].astype(np.float32)
            detector["image_key"] = key
            file["entry/sample/rotation_angle"] = angles
            file["entry/sample/rotation_angle"].attrs["units"] = "deg"
        return path

    return write


def around(before=5, after=5, darks=3):
    return [2] * darks + [1] * before + [0] * VIEWS + [1] * after


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize("key", [around(), [2, *[1] * 3, *[0] * 20, *[1] * 5, *[0] * 40, *[1] * 7]])
def test_of_a_beam_that_drifts_linearly_the_transmission_is_exact(scan, truth, key, turn):
    with open_scan(scan(key, turn=turn)) as opened:
        out = FlatField()(opened.projections(0))
        part = FlatField()(opened.projections(0).selected(slice(0, 10)))
    assert np.allclose(out.data.numpy(), np.exp(-truth), rtol=1e-5)
    assert torch.equal(part.data, out.data[:10])  # whatever views are used, flats are what they are
    groups = [5, 5] if len(key) == len(around()) else [3, 5, 7]
    assert f"interpolated in time between the clipped means of {len(groups)} groups" in out.report[-1]
    assert f"({', '.join(map(str, groups))})" in out.report[-1]


def test_beyond_the_groups_the_flat_field_is_that_of_the_nearest(scan):
    key = [2, *[0] * 10, *[1] * 5, *[0] * 30, *[1] * 5, *[0] * 20]
    with open_scan(scan(key)) as opened:
        raw = opened.projections(0)
        out = FlatField()(raw)
    for views, flats in ((slice(0, 10), slice(0, 5)), (slice(40, 60), slice(5, 10))):
        expected = (raw.data[views] - DARK) / (raw.flats[flats].mean(0) - DARK)
        assert torch.allclose(out.data[views], expected, rtol=1e-5)


@pytest.mark.parametrize("key", [around(after=0), around(before=0)])
def test_one_group_is_divided_as_where_times_are_not_known(scan, key):
    with open_scan(scan(key)) as opened:
        raw = opened.projections(0)
    known, unknown = (
        FlatField()(raw),
        FlatField()(Projections(raw.data, raw.angles, "counts", raw.flats, raw.darks)),
    )
    assert torch.equal(known.data, unknown.data)
    assert torch.equal(known.std, unknown.std)
    assert "divided by the clipped mean of 5 flat fields, less" in known.report[-1]


def test_groups_that_differ_by_noise_only_are_one(scan):
    """In each of twenty scans, and the noise is that of all frames."""
    for seed in range(20):
        with open_scan(scan(around(8, 8), FIRST, FIRST, np.random.default_rng(seed))) as opened:
            out = FlatField(gain=1.0)(opened.projections(0))
        assert "16 flat fields, whose 2 groups differ by no more than noise" in out.report[-1]


@pytest.mark.parametrize("gain", [None, 1.0])
def test_a_drift_of_one_percent_is_seen(scan, gain):
    for seed in range(5):
        path = scan(around(8, 8), FIRST, 0.99 * FIRST, np.random.default_rng(seed))
        with open_scan(path) as opened:
            assert "interpolated" in FlatField(gain=gain)(opened.projections(0)).report[-1]


@pytest.mark.parametrize("frames", [(5, 5), (2, 2), (1, 3)])
def test_the_gain_is_that_within_the_groups(frames):
    rng, gain, columns = np.random.default_rng(0), 3.0, 4000
    first, last = 5000 * (1 + 0.2 * rng.random((2, columns)))
    groups = [
        torch.from_numpy(gain * rng.poisson(np.tile(beam / gain, (count, 1))))
        for beam, count in zip((first, last), frames, strict=True)
    ]
    assert estimate_gain(torch.cat(groups), None, groups) == pytest.approx(gain, rel=0.1)
    assert estimate_gain(torch.cat(groups), None) > 2 * gain


@pytest.mark.parametrize("method", ["clipped", "mean", "median"])
def test_std_follows_the_weights_of_the_interpolation(method):
    """Of many simulated scans: in the middle, where both groups count alike, the flats' variance halves."""
    rng, views, columns = np.random.default_rng(0), 9, 1500
    times = (torch.linspace(0, 1, views).double(), torch.tensor([0.0] * 3 + [1.0] * 3).double())
    beam = np.linspace(4000, 3000, views)[:, None] * np.ones(columns)
    errors, stds = [], []
    for _ in range(20):
        data = rng.poisson(beam)
        flats = np.concatenate([rng.poisson(np.tile(beam[i], (3, 1))) for i in (0, -1)])
        raw = Projections(
            torch.from_numpy(data).float(),
            torch.arange(views) * math.pi / views,
            "counts",
            flats=torch.from_numpy(flats).float(),
            times=times,
        )
        out = FlatField(method, gain=1.0)(raw)
        errors.append(out.data - 1)
        stds.append(out.std)
    observed = torch.stack(errors).square().mean((0, 2)).sqrt()
    predicted = torch.stack(stds).square().mean((0, 2)).sqrt()
    # of three frames the median's variance is 0.45 of one's, and pi / 6 holds for many: 3 % of the std
    assert torch.allclose(predicted, observed, rtol=0.05 if method == "median" else 0.02)
    relative = predicted.square().numpy() * beam[:, 0]
    assert float(relative[views // 2] - 1) == pytest.approx(float(relative[0] - 1) / 2, rel=0.02)


def test_air_makes_up_for_what_the_flats_do_not(scan, truth):
    """A profile that drifts and an intensity that flickers: to within the noise, which is known."""
    path = scan(around(10, 10), rng=np.random.default_rng(3), jitter=0.03)
    with open_scan(path) as opened:
        out = opened.preprocess(0)
    assert any("interpolated in time" in sentence for sentence in out.report)
    assert any("air beside the object" in sentence for sentence in out.assumptions)
    score = (out.data.numpy() - truth) / out.std.numpy()
    assert abs(score.mean()) < 0.15
    assert score.std() == pytest.approx(1, abs=0.15)


def test_of_a_drift_that_the_flats_follow_air_has_nothing_to_say(scan, truth):
    with open_scan(scan(around(10, 10), rng=np.random.default_rng(4))) as opened:
        out = opened.preprocess(0)
    assert out.assumptions == ()
    score = (out.data.numpy() - truth) / out.std.numpy()
    assert score.std() == pytest.approx(1, abs=0.1)


@pytest.fixture
def exchange(data_exchange, truth):
    """Data Exchange with flats before and after; by the angles of these, where the file has them."""

    def write(**more):
        share = (np.arange(VIEWS) / VIEWS)[:, None]
        data = (FIRST + (LAST - FIRST) * share) * np.exp(-truth)
        return data_exchange(
            data=data[:, None].astype(np.float32),
            data_white=np.repeat([FIRST, LAST], 3, 0)[:, None].astype(np.float32),
            data_dark=None,
            theta=np.rad2deg(ANGLES),
            **more,
        )

    return write


def test_the_angles_of_flats_in_data_exchange_say_when_they_were_taken(exchange, truth):
    with open_scan(exchange(theta_white=np.repeat([0.0, 180.0], 3))) as opened:
        out = MinusLog()(FlatField()(opened.projections(0)))
    assert np.allclose(out.data.numpy(), truth, atol=1e-5)
    with open_scan(exchange()) as opened:
        assert "the clipped mean of 6 flat fields, no dark" in FlatField()(opened.projections(0)).report[-1]


@pytest.mark.parametrize(
    ("white", "note"), [(np.zeros(2), "2 angles for 6 flat"), (np.full(6, np.nan), "not used")]
)
def test_angles_of_flats_that_cannot_be_are_left_and_said(exchange, white, note):
    with open_scan(exchange(theta_white=white)) as opened:
        assert any("theta_white" in each and note in each for each in opened.notes)
        assert opened.projections(0).times is None


def test_flats_that_are_given_have_no_time(scan):
    with open_scan(scan(around()), flats=np.ones((2, 1, COLUMNS))) as opened:
        assert opened.projections(0).times is None

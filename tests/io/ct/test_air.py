"""The incident beam of each view, from the air beside the object."""

import h5py
import numpy as np
import pytest
import torch

from invgen.core.errors import ParameterError
from invgen.io import Air, FlatField, open_scan
from invgen.io.ct.truncation import truncation

VIEWS = np.arange(80) * np.pi / 80


@pytest.fixture
def scan(data_exchange, sinogram):
    """A scan whose incident beam is `flux` in each view; and its line integrals."""

    def write(flux, scale=1.0, offset=0.0, photons=20000, seed=0):
        rng = np.random.default_rng(seed)
        truth = sinogram(VIEWS, 80, 39.5 + offset, scale=scale)
        beam = photons * np.linspace(0.9, 1.1, 80)
        data = rng.poisson(beam * np.exp(-truth / truth.max()) * np.asarray(flux)[:, None])[:, None]
        flats = rng.poisson(np.broadcast_to(beam, (10, 1, 80)))
        path = data_exchange(
            data=data.astype(np.uint16),
            data_white=flats.astype(np.uint16),
            data_dark=np.zeros((5, 1, 80), np.uint16),
            theta=np.rad2deg(VIEWS),
        )
        return path, truth / truth.max()

    return write


JITTER = 1 + 0.05 * np.random.default_rng(5).standard_normal(80)


@pytest.mark.parametrize("flux", [JITTER, np.linspace(1, 0.85, 80), np.full(80, 1.1)])
def test_a_beam_that_varies_is_divided_out(scan, flux):
    """To within the noise of the rays, which is known; and no object is taken for a wider one."""
    path, truth = scan(flux)
    with open_scan(path) as opened:
        out = opened.preprocess(0)
    assert any("air beside the object" in sentence for sentence in out.assumptions)
    score = (out.data.numpy() - truth) / out.std.numpy()
    assert abs(score.mean()) < 0.1
    assert score.std() == pytest.approx(1, abs=0.15)
    assert not truncation(out)


def test_a_beam_that_is_constant_is_left(scan):
    for seed in range(10):
        path, _ = scan(np.ones(80), seed=seed)
        with open_scan(path) as opened:
            assert opened.preprocess(0).assumptions == ()


@pytest.mark.parametrize(("scale", "offset"), [(1.9, 0.0), (1.0, 22.0), (1.4, -12.0)])
def test_an_object_that_reaches_an_edge_leaves_no_air_there(scan, scale, offset):
    path, _ = scan(JITTER, scale=scale, offset=offset)
    with open_scan(path) as opened:
        assert opened.preprocess(0).assumptions == ()


def test_columns_of_air_can_be_given(scan):
    """Of an object off the middle, at one edge only."""
    path, truth = scan(JITTER, offset=22.0)
    with open_scan(path) as opened:
        counts = FlatField()(opened.projections(0))
        out = Air(((0, 20),))(counts)
        assert Air("off")(counts) is counts
    error = out.data.numpy() - np.exp(-truth)
    assert abs(error).max() < 6 * out.std.max()
    assert torch.isfinite(out.std).all()


@pytest.mark.parametrize("columns", [((3, 3),), ((0, 81),)])
def test_columns_that_are_not_there_are_refused(scan, columns):
    path, _ = scan(np.ones(80))
    with open_scan(path) as opened, pytest.raises(ParameterError, match="are not among the 80"):
        Air(columns)(FlatField()(opened.projections(0)))


def test_dead_columns_are_no_air(scan):
    path, _ = scan(JITTER)
    with h5py.File(path, "a") as file:
        for name in ("data", "data_white"):
            file[f"exchange/{name}"][..., 1] = 0
    with open_scan(path) as opened:
        out = opened.preprocess(0)
    assert out.assumptions
    assert torch.isinf(out.std[:, 1]).all()

"""Phase retrieval undoes the transport of intensity, which a homogeneous object and free space make exact."""

import math

import h5py
import numpy as np
import pytest
import torch
from scipy.fft import dctn, idctn

from invgen.core.errors import DataError, ParameterError
from invgen.io import Paganin, Projections, Selection, default_steps, open_scan
from invgen.io.ct.phase import Cosines

VIEWS, ROWS, COLUMNS = 6, 40, 64
PIXEL, ROW = 2.0, 3.0  # um
ANGLES = np.arange(VIEWS) * np.pi / VIEWS
PHASE = Paganin(delta_beta=400 * math.pi, distance=0.02, energy=12.39841984)  # alpha is 200 um^2
CENTER = (COLUMNS - 1) / 2


def propagated(transmission, alpha, row_size=ROW):
    """``(1 - alpha Laplacian) T`` of arrays (..., rows, columns), mirrored at the edges."""
    rows, columns = transmission.shape[-2:]
    y, x = np.pi * np.arange(rows) / rows / row_size, np.pi * np.arange(columns) / columns / PIXEL
    waves = dctn(transmission, axes=(-2, -1))
    return idctn(waves * (1 + alpha * (x**2 + y[:, None] ** 2)), axes=(-2, -1))


@pytest.fixture
def lines():
    """A smooth object that moves from view to view, ``mu t`` up to a half: (views, rows, columns)."""
    y, x = (np.arange(ROWS) - 17.0) * ROW, (np.arange(COLUMNS) - CENTER) * PIXEL
    middle = 6 * np.cos(ANGLES)[:, None, None]
    return 0.5 * np.exp(-((x - middle) ** 2 + y[:, None] ** 2) / (2 * 16**2))


def row(data, number, **more):
    return Projections(
        torch.from_numpy(-np.log(data[:, number])).float(),
        torch.from_numpy(ANGLES),
        "absorption",
        spacing=PIXEL,
        index=torch.arange(VIEWS),
        **more,
    )


def retrieved(data, number, alpha=200.0, **more):
    """Phase retrieval of one row of transmissions."""
    return PHASE(
        row(data, number, **more), number, data.shape[1], lambda i: Cosines.of(row(data, i)), alpha, ROW
    )


def test_alpha_is_that_of_equation_12():
    assert PHASE.alpha("um") == pytest.approx(200)
    assert PHASE.alpha("mm") == pytest.approx(200e-6)
    # a point source: the effective distance
    assert PHASE.alpha("um", magnification=4.0) == pytest.approx(50)
    assert Paganin(800 * math.pi, 0.02, 2 * PHASE.energy).alpha("um") == pytest.approx(200)


@pytest.mark.parametrize("alpha", [4.0, 50.0, 200.0, 2000.0])
def test_the_transport_of_intensity_is_inverted(lines, alpha):
    """In every row, also those at the edges, of decay lengths from one pixel to the whole detector."""
    lines = min(1, 200 / alpha) * lines  # of more there would be no light in places
    data = propagated(np.exp(-lines), alpha)
    for number in (0, 7, 20, 39):
        error = retrieved(data, number, alpha).data.numpy() - lines[:, number]
        assert np.abs(error).max() < 1e-3 * lines.max()


def test_edges_are_enhanced_before(lines):
    data = propagated(np.exp(-lines), 200.0)
    assert np.abs(-np.log(data) - lines).max() > 0.5 * lines.max()


def test_what_is_constant_stays_so():
    data = np.full((VIEWS, ROWS, COLUMNS), 0.3)
    for shown, alpha in (
        (data, 200.0),
        (data, 4.0),
        (data[:, :1], 200.0),
        (data[:, :3], 200.0),
        (data, 1e30),
    ):
        out = retrieved(shown, 0, alpha).data
        assert torch.allclose(out, torch.full_like(out, -math.log(0.3)), atol=1e-5)


def test_a_single_row_is_filtered_along_it(lines):
    truth = np.exp(-lines[:, 17:18])
    out = retrieved(propagated(truth, 200.0), 0)
    assert np.abs(np.exp(-out.data.numpy()) - truth[:, 0]).max() < 1e-4
    assert "a filter of 1 rows that" in out.report[-2]


@pytest.mark.parametrize("alpha", [50.0, 200.0])
def test_std_is_that_of_many_noisy_images(alpha):
    rng, noise = np.random.default_rng(0), 0.01
    level = np.tile(
        np.linspace(0.5, 1, COLUMNS), (VIEWS, 80, 1)
    )  # rows enough that none is its own mirror image
    std = torch.from_numpy(noise / level[:, 40]).float()
    stds, values = [], []
    for _ in range(40):
        out = retrieved(level + noise * rng.standard_normal(level.shape), 40, alpha, std=std)
        values.append(out.data)
        stds.append(out.std)
    # at the edges the noise meets its own mirror image
    observed = torch.stack(values).std(0)[:, 20:-20].square().mean(0)
    predicted = torch.stack(stds).mean(0)[:, 20:-20].square().mean(0)
    assert float((predicted / observed).mean()) == pytest.approx(1, abs=0.1)
    assert float(predicted.mean()) < 0.1 * float(std.square().mean())


def test_dead_rays_stay_dead_and_others_are_known(lines):
    data = propagated(np.exp(-lines), 200.0)
    dead = torch.zeros(VIEWS, COLUMNS, dtype=torch.bool)
    dead[:, 30] = True
    before = row(data, 20, std=torch.full((VIEWS, COLUMNS), 0.01)).with_dead(dead)
    out = PHASE(before, 20, ROWS, lambda i: Cosines.of(row(data, i)), 200.0, ROW)
    assert torch.equal(out.std.isinf(), dead)
    assert torch.equal(out.dead, dead)


def test_views_that_a_neighbor_has_lost_are_taken_from_the_row_itself(lines):
    constant_along_rows = np.repeat(np.exp(-lines[:, 17:18]), ROWS, 1)
    data = propagated(constant_along_rows, 200.0)

    def read(number):
        return Cosines.of(row(data, number).selected(torch.arange(VIEWS) != number % VIEWS))

    out = PHASE(row(data, 20), 20, ROWS, read, 200.0, ROW)
    assert np.abs(np.exp(-out.data.numpy()) - constant_along_rows[:, 20]).max() < 1e-4


@pytest.mark.parametrize("field", ["delta_beta", "distance", "energy"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_parameters_that_are_no_physics_are_refused(field, value):
    with pytest.raises(ParameterError, match=f"positive {field}"):
        Paganin(**{"delta_beta": 100.0, "distance": 0.1, "energy": 20.0} | {field: value})


@pytest.fixture
def path(tmp_path, lines):
    """NXtomo of propagated images, as counts."""
    flats = np.full((3, ROWS, COLUMNS), 30000.0)
    images = 30000 * propagated(np.exp(-lines), 200.0)
    key = np.repeat([1, 0], [3, VIEWS])
    with h5py.File(tmp_path / "scan.nxs", "w") as file:
        file["entry/definition"] = "NXtomo"
        detector = file.create_group("entry/instrument/detector")
        detector["data"] = np.concatenate([flats, images]).astype(np.float32)
        detector["image_key"] = key
        for axis, size in (("x", PIXEL), ("y", ROW)):
            detector[f"{axis}_pixel_size"] = size
            detector[f"{axis}_pixel_size"].attrs["units"] = "um"
        file["entry/sample/rotation_angle"] = np.r_[np.zeros(3), np.rad2deg(ANGLES)]
        file["entry/sample/rotation_angle"].attrs["units"] = "deg"
    return tmp_path / "scan.nxs"


def test_rows_of_a_scan_are_filtered_together_in_any_order(path, lines):
    # of so small a detector, fringes reach the edges
    found, selection = {}, Selection(center=CENTER, phase=PHASE, steps=default_steps("counts", air="off"))
    with open_scan(path) as scan:
        for number in (20, 21, 22, 5, 39, 0, 20):
            out = scan.line_integrals(number, selection)
            assert np.abs(np.exp(-out.data.numpy()) - np.exp(-lines[:, number])).max() < 1e-3
            assert any(sentence.startswith("retrieved the phase") for sentence in out.report)
            assert torch.equal(found.setdefault(number, out.data), out.data)
        plain = scan.line_integrals(20, selection, phase=None)
        assert not torch.allclose(plain.data, found[20], atol=0.05)
        some = scan.line_integrals(20, selection, views=slice(0, 3))
        assert torch.allclose(some.data, found[20][:3], atol=1e-5)


def test_the_rows_of_a_scan_are_each_read_once(path, monkeypatch):
    selection = Selection(center=CENTER, phase=PHASE, steps=default_steps("counts", air="off"))
    with open_scan(path) as scan:
        scan.line_integrals(0, center=CENTER)  # what is found once for the scan
        read = []
        original = scan.projections
        monkeypatch.setattr(scan, "projections", lambda number: read.append(number) or original(number))
        for number in range(10, 30):
            scan.line_integrals(number, selection)
        # each of the 40, and each of the 20 in full
        assert len(read) <= ROWS + 20


def test_pixels_without_a_size_are_refused(data_exchange):
    with open_scan(data_exchange()) as scan, pytest.raises(DataError, match="pixel size"):
        scan.line_integrals(0, center=30.0, phase=PHASE)

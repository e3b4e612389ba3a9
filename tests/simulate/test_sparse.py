"""Scans of many slices, of which eight are measured."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from invgen.core.errors import ParameterError
from invgen.io import open_scan
from invgen.simulate import simulate_ct

GEOMETRY = {"size": 24, "views": 12, "flats": 3, "darks": 2}


@pytest.mark.parametrize("geometry", ["parallel", "fan"])
def test_slices_repeat_the_measured_ones(tmp_path, geometry):
    """Rows, flats, darks and truth: of twenty slices, eight twice and then four of them."""
    whole, sparse = tmp_path / "whole.h5", tmp_path / "sparse.h5"
    simulate_ct(whole, "foam", geometry=geometry, slices=8, **GEOMETRY)
    simulate_ct(sparse, "foam", geometry=geometry, slices=20, sparse=True, **GEOMETRY)
    rows = np.arange(20) % 8
    with h5py.File(whole) as one, h5py.File(sparse) as two:
        for name in ("data", "data_white", "data_dark"):
            np.testing.assert_array_equal(two[f"exchange/{name}"][()], one[f"exchange/{name}"][()][:, rows])
            assert dict(two[f"exchange/{name}"].attrs) == dict(one[f"exchange/{name}"].attrs)
        np.testing.assert_array_equal(two["truth/image"][()], one["truth/image"][()][rows])
        assert dict(two["truth"].attrs) == dict(one["truth"].attrs)
    with open_scan(whole) as one, open_scan(sparse) as two:
        assert two.slices == 20
        np.testing.assert_array_equal(two.projections(17).data, one.projections(1).data)


def test_a_huge_scan_takes_little_space(tmp_path):
    path = tmp_path / "scan.h5"
    simulate_ct(path, "shepp-logan", slices=4_000, sparse=True, **GEOMETRY)
    with h5py.File(path) as file:
        assert file["exchange/data"].nbytes == 2 * 12 * 4_000 * 24
    assert path.stat().st_size < 1_000_000
    with open_scan(path) as scan:
        assert scan.slices == 4_000


def test_few_slices_are_all_measured(tmp_path):
    simulate_ct(tmp_path / "scan.h5", "foam", slices=5, sparse=True, **GEOMETRY)
    with h5py.File(tmp_path / "scan.h5") as file:
        assert not file["exchange/data"].is_virtual
        assert file["exchange/data"].shape == (12, 5, 24)


def test_a_cone_sees_all_slices(tmp_path):
    with pytest.raises(ParameterError, match="A cone beam sees all slices at once"):
        simulate_ct(tmp_path / "scan.h5", "foam", geometry="cone", sparse=True, **GEOMETRY)
    assert not (tmp_path / "scan.h5").exists()

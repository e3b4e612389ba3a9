"""Rows of frames: what is read at once, and that any thread gets its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import invgen as ig
from invgen.io.ct.stack import Stack

VIEWS, ROWS, COLUMNS = 6, 40, 5


class Watched:
    """An array that notes which of its rows are read."""

    def __init__(self, chunks=None):
        self.values = np.random.default_rng(0).random((VIEWS, ROWS, COLUMNS)).astype("f4")
        self.shape, self.dtype, self.ndim, self.chunks = self.values.shape, self.values.dtype, 3, chunks
        self.read = []

    def __getitem__(self, index):
        self.read.append(range(index[1].start, index[1].stop))
        return self.values[index]


def stack(array):
    return Stack(array, ("angle", "row", "column"), "an array")


def test_rows_of_a_chunk_are_read_once():
    array = Watched(chunks=(1, 16, COLUMNS))
    frames = stack(array)
    for row in range(ROWS):
        assert np.array_equal(frames.read(row), array.values[:, row])
    assert array.read == [range(0, 16), range(16, 32), range(32, 40)]


def test_a_row_alone_is_read_alone_and_those_that_follow_together():
    array = Watched()
    frames = stack(array)
    for row in (3, 30, 12):
        frames.read(row)
    assert array.read == [range(row, row + 1) for row in (3, 30, 12)]
    frames.read(13)
    assert array.read[-1] == range(13, ROWS)
    for row in range(14, ROWS):
        assert np.array_equal(frames.read(row), array.values[:, row])
    assert len(array.read) == 4


def test_chunks_of_more_rows_than_memory_are_read_in_parts(monkeypatch):
    monkeypatch.setattr("invgen.io.ct.stack._READ_AHEAD", 1)
    monkeypatch.setattr("invgen.io.ct.stack.memory_left", lambda: 16 * 10 * VIEWS * COLUMNS * 4)
    array = Watched(chunks=(1, ROWS, COLUMNS))
    stack(array).read(25)
    assert array.read == [range(20, 30)]


def test_rows_are_right_from_several_threads_and_none_is_read_again():
    array = Watched(chunks=(1, 8, COLUMNS))
    frames = stack(array)
    with ThreadPoolExecutor(4) as threads:  # none of which is behind the others by more than a block
        together = [range(row, min(row + 6, ROWS)) for row in range(0, ROWS, 6)]
        found = [each for rows in together for each in threads.map(frames.read, rows)]
    assert all(np.array_equal(each, array.values[:, row]) for row, each in enumerate(found))
    assert sorted(array.read, key=lambda rows: rows.start) == [range(n, n + 8) for n in range(0, ROWS, 8)]


@pytest.mark.parametrize("axes", ["angle,row,column", "row,angle,column", "column,row,angle"])
def test_slices_of_any_order_of_axes(tmp_path, axes):
    values = np.random.default_rng(1).random((VIEWS, ROWS, COLUMNS)).astype("f4")
    order = [("angle", "row", "column").index(name) for name in axes.split(",")]
    np.save(tmp_path / "scan.npy", values.transpose(order))
    angles = np.arange(VIEWS) / 2
    with ig.io.open_scan(tmp_path / "scan.npy", axes=axes, angles=angles, quantity="absorption") as scan:
        for row in (0, 1, 2, 30, 7):
            assert np.array_equal(scan.projections(row).data.numpy(), values[:, row])

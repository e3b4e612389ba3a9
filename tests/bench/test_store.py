"""Results in a folder: what is written is there, whole, and nothing else is taken for it."""

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from invgen.bench.export import write_parquet
from invgen.bench.record import Cell, Record
from invgen.bench.store import Results, SuiteInfo
from invgen.core.errors import FileError, ParameterError


def record(i=0, **more):
    cell = Cell("s", "t", f"image {i}", "test", "tv", 0, "tuned", {"views": 30}, {"weight": 0.5})
    return Record(f"{i:064x}", cell, {"psnr": 30.5 + i}, {"seconds": 1.5}, {"weight": 0.5}, **more)


def test_what_is_added_is_found_again(tmp_path):
    image = torch.randn(2, 5, 7, dtype=torch.complex64)
    first = record(version="0.1+a", machine="here", finished="2026-01-01T00:00:00+00:00")
    failed = record(1, error="it failed", traceback="Traceback ...")
    info = SuiteInfo("about it", "psnr", {"t": {"axes": {"views": 30}, "test": ["image 0"], "tuning": []}})
    with Results(tmp_path / "new") as results:
        results.add(first, {"image": image})
        results.add(replace(failed, measures={}))
        results.describe_suite("s", info)
        results.describe_run("2026", command="invgen bench s")
    with Results(tmp_path / "new", create=False) as results:
        assert results.find(first.identity) == first
        assert results.find("nothing") is None
        assert results.records() == [first, replace(failed, measures={})]
        assert results.records(version="0.1+a") == [first]
        assert results.records("other") == []
        assert torch.equal(results.arrays(first.identity)["image"], image)
        assert results.arrays(failed.identity) == {}
        assert results.suites() == {"s": info}
        assert results.runs()["2026"] == {"command": "invgen bench s"}


def test_a_folder_of_another_format_is_refused(tmp_path):
    with Results(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "records.sqlite") as database:
        database.execute("UPDATE about SET value = '99' WHERE name = 'schema'")
    with pytest.raises(FileError, match="format 99"):
        Results(tmp_path)


def test_what_is_no_folder_of_results_is_refused(tmp_path):
    with pytest.raises(FileError, match="holds no results"):
        Results(tmp_path / "missing", create=False)
    (tmp_path / "records.sqlite").write_bytes(b"not a database, but long enough to look at" * 10)
    with pytest.raises(FileError, match="file is not a database"):
        Results(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="no folder for results"):
        Results(tmp_path / "file")


def test_results_of_two_machines_are_merged(tmp_path):
    with Results(tmp_path / "a") as a, Results(tmp_path / "b") as b:
        a.add(record(0, machine="a"), {"image": torch.ones(3, 3)})
        a.add(replace(record(2), measures={}, error="out of memory"))
        b.add(record(0, machine="b"))
        b.add(record(1, machine="b"), {"image": torch.zeros(3, 3)})
        b.add(record(2, machine="b"))
        assert a.merge(b) == 2
        assert [r.machine for r in a.records()] == ["a", "b", "b"]
        assert not any(r.failed for r in a.records())
        assert torch.equal(a.arrays(record(1).identity)["image"], torch.zeros(3, 3))
        assert a.merge(b) == 0


def test_a_failure_does_not_take_the_place_of_a_result(tmp_path):
    with Results(tmp_path / "a") as a, Results(tmp_path / "b") as b:
        a.add(record(0))
        b.add(replace(record(0), measures={}, error="no"))
        assert a.merge(b) == 0


def test_records_as_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    with Results(tmp_path) as results:
        results.add(record(0))
        results.add(replace(record(1), measures={}, error="no", stats={"weight": "auto"}))
        write_parquet(results, tmp_path / "all.parquet")
        with pytest.raises(ParameterError, match="parquet"):
            write_parquet(results, tmp_path / "all.csv")
    rows = parquet.read_table(tmp_path / "all.parquet").to_pylist()
    assert [row["psnr"] for row in rows] == [30.5, None]
    assert rows[0]["axis: views"] == 30
    assert rows[1]["error"] == "no"
    assert [row["stat: weight"] for row in rows] == ["0.5", "auto"]


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="open files are listed on Linux alone")
def test_a_folder_that_is_refused_is_closed(tmp_path):
    """Also while the error is at hand, with all that it refers to."""
    with Results(tmp_path) as results:
        results._database.execute("UPDATE about SET value = '0' WHERE name = 'schema'")
        results._database.commit()
    path = tmp_path / "records.sqlite"
    with pytest.raises(FileError, match="in format") as refused:
        Results(tmp_path)
    opened = [Path("/proc/self/fd", name).resolve() for name in os.listdir("/proc/self/fd")]
    assert refused.value is not None
    assert path.resolve() not in opened

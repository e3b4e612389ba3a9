"""A folder of results: a row for each cell in SQLite, written as it finishes, and an HDF5 file of images."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar, get_type_hints

import torch
from torch import Tensor

from invgen.bench.record import Cell, Record
from invgen.core.checks import has_type
from invgen.core.errors import FileError
from invgen.core.files import atomic_hdf5
from invgen.core.text import brief, parse_json, quoted

__all__ = ["Results", "SuiteInfo"]

Kind = TypeVar("Kind")

#: Of the tables below; a folder of another one is refused.
_SCHEMA = 1

_TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS suites (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS runs (started TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS records (
    identity TEXT PRIMARY KEY,
    suite TEXT NOT NULL,
    version TEXT NOT NULL,
    cell TEXT NOT NULL,
    measures TEXT NOT NULL,
    costs TEXT NOT NULL,
    stats TEXT NOT NULL,
    error TEXT,
    traceback TEXT,
    machine TEXT NOT NULL,
    finished TEXT NOT NULL
);
"""
_MAPPINGS = ("measures", "costs", "stats")
_COLUMNS = "identity, suite, version, cell, measures, costs, stats, error, traceback, machine, finished"


@dataclass(frozen=True)
class SuiteInfo:
    """What a report says of a suite.

    Attributes
    ----------
    about, primary : str
    tasks : mapping
        By name: "axes", "test" and "tuning", as of a `Task`.
    brief : sequence of str
        As of a `Suite`.
    """

    about: str
    primary: str
    tasks: Mapping[str, Mapping[str, Mapping[str, object] | Sequence[str]]]
    brief: Sequence[str] = field(default_factory=list)


class Results:
    """Records in a folder.

    >>> results = ig.bench.Results("results", create=False)  # of ``invgen bench ... -o results``

    Parameters
    ----------
    folder : path
        Made where it does not exist, unless it is only read.
    create : bool
        Whether a folder that holds no results becomes one that does.

    Raises
    ------
    FileError
        For a folder of something else, of another version of the format, or that cannot be written.
    """

    def __init__(self, folder: str | Path, *, create: bool = True) -> None:
        self.folder = Path(folder)
        path = self.folder / "records.sqlite"
        if not create and not path.exists():
            raise FileError(f"{folder} holds no results of invgen bench: there is no {path.name} in it.")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=60)
        except (OSError, sqlite3.Error) as error:
            raise FileError(f"{folder} is no folder for results: {error}.") from error
        with ExitStack() as refused:
            refused.callback(self.close)
            self._check_format()
            refused.pop_all()

    def _check_format(self) -> None:
        """Write the format of a new folder, and refuse folders of another."""
        with self._guarded():
            known = self._database.execute("SELECT 1 FROM sqlite_master WHERE name = 'about'").fetchone()
            if known is None:
                # at once: a folder of which the disk has taken half would be refused by the next command
                self._database.executescript(
                    f"BEGIN; {_TABLES} INSERT INTO about VALUES ('schema', '{_SCHEMA}'); COMMIT;"
                )
        found = self._get("about", "schema")
        if found != _SCHEMA:
            raise FileError(
                f"{self.folder} holds results in format {quoted(found)}; this version of invgen writes "
                f"format {_SCHEMA}. Give another folder by --output."
            )

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            with self._database:
                yield
        except (sqlite3.Error, UnicodeError) as error:
            raise FileError(
                f"{self.folder} cannot be written or read: {brief(error)}. What has finished is kept: the "
                "same command goes on from there."
            ) from error

    def _set(self, table: str, name: str, value: Any) -> None:
        key = "started" if table == "runs" else "name"
        self._database.execute(
            f"INSERT OR REPLACE INTO {table} ({key}, value) VALUES (?, ?)", (name, json.dumps(value))
        )

    def _get(self, table: str, name: str) -> Any:
        with self._guarded():
            row = self._database.execute(f"SELECT value FROM {table} WHERE name = ?", (name,)).fetchone()
        return None if row is None else self._parsed(row[0])

    def describe_suite(self, name: str, info: SuiteInfo) -> None:
        """Keep what a report says of a suite."""
        with self._guarded():
            self._set("suites", name, asdict(info))

    def suites(self) -> dict[str, SuiteInfo]:
        """What is known of each suite, by name."""
        with self._guarded():
            rows = self._database.execute("SELECT name, value FROM suites ORDER BY name").fetchall()
        return {name: self._made(SuiteInfo, self._parsed(value)) for name, value in rows}

    def describe_run(self, started: str, **facts: Any) -> None:
        """Keep what reproduces a run: command, versions, hardware, seeds, seconds."""
        with self._guarded():
            self._set("runs", started, facts)

    def runs(self) -> dict[str, dict[str, Any]]:
        """What is known of each run, by when it started."""
        with self._guarded():
            rows = self._database.execute("SELECT started, value FROM runs ORDER BY started").fetchall()
        found = {started: self._parsed(value) for started, value in rows}
        if not has_type(found, Mapping[str, Mapping[str, Any]]):
            raise self._damaged("its runs are not described")
        return found

    def find(self, identity: str) -> Record | None:
        """The record of a cell, or None where it has not been run."""
        with self._guarded():
            row = self._database.execute(
                f"SELECT {_COLUMNS} FROM records WHERE identity = ?", (identity,)
            ).fetchone()
        return None if row is None else self._record(row)

    def add(self, record: Record, arrays: Mapping[str, Tensor] | None = None) -> None:
        """Keep a record and its images: the images first, so that a record that is there has them.

        Raises
        ------
        FileError
            Where the disk is full: what was added before is kept.
        """
        if arrays:
            path = self._images(record.identity)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_hdf5(path) as file:
                for name, image in arrays.items():
                    file.create_dataset(name, data=image.cpu().numpy(), compression="gzip", shuffle=True)
        row = (
            record.identity,
            record.cell.suite,
            record.version,
            record.cell.json(),
            *(json.dumps(dict(getattr(record, name))) for name in _MAPPINGS),
            record.error,
            record.traceback,
            record.machine,
            record.finished,
        )
        with self._guarded():
            marks = ", ".join("?" * len(row))
            self._database.execute(f"INSERT OR REPLACE INTO records ({_COLUMNS}) VALUES ({marks})", row)

    def records(self, *suites: str, version: str | None = None, split: str = "test") -> list[Record]:
        """Records of these suites, or of all, in an order that does not depend on when they finished."""
        conditions, values = ["TRUE"], list(suites)
        if suites:
            conditions.append(f"suite IN ({', '.join('?' * len(suites))})")
        if version is not None:
            conditions.append("version = ?")
            values.append(version)
        query = f"SELECT {_COLUMNS} FROM records WHERE {' AND '.join(conditions)} ORDER BY cell, identity"
        with self._guarded():
            rows = self._database.execute(query, values).fetchall()
        return [record for record in map(self._record, rows) if record.cell.split == split]

    def arrays(self, identity: str) -> dict[str, Tensor]:
        """Images of a record; empty where it has none."""
        import h5py

        path = self._images(identity)
        if not path.exists():
            return {}
        with h5py.File(path, "r") as file:
            return {name: torch.from_numpy(data[()]) for name, data in file.items()}

    def _images(self, identity: str) -> Path:
        return self.folder / "images" / identity[:2] / f"{identity}.h5"

    def merge(self, other: Results) -> int:
        """Add the records of another folder that are not here; returns their number."""
        added = 0
        for name, info in other.suites().items():
            self.describe_suite(name, info)
        for started, facts in other.runs().items():
            self.describe_run(started, **facts)
        for split in ("test", "tuning"):
            for record in other.records(split=split):
                known = self.find(record.identity)
                if known is None or (known.failed and not record.failed):
                    self.add(record, other.arrays(record.identity))
                    added += 1
        return added

    def _record(self, row: tuple[Any, ...]) -> Record:
        names = [name.strip() for name in _COLUMNS.split(",")]
        found = dict(zip(names, row, strict=True))
        del found["suite"]  # it is the cell's
        found["cell"] = self._made(Cell, self._parsed(found["cell"]))
        return self._made(Record, found | {name: self._parsed(found[name]) for name in _MAPPINGS})

    def _parsed(self, text: Any) -> Any:
        try:
            return parse_json(text, "an entry")
        except FileError as error:
            raise self._damaged(str(error).rstrip(".")) from error

    def _made(self, kind: type[Kind], values: Any) -> Kind:
        """A dataclass of values of the types that it states.

        Raises
        ------
        FileError
            When the values are others.
        """
        hints = get_type_hints(kind)
        known = isinstance(values, dict) and values.keys() <= hints.keys()
        wrong = [name for name, value in values.items() if not has_type(value, hints[name])] if known else []
        if not known or wrong:
            what = f": {', '.join(wrong)}" if wrong else ""
            raise self._damaged(f"an entry has not what describes a {kind.__name__.lower()}{what}")
        try:
            return kind(**values)
        except TypeError as error:
            raise self._damaged(brief(error)) from error

    def _damaged(self, reason: str) -> FileError:
        return FileError(f"{self.folder} holds results that are damaged: {reason}.")

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

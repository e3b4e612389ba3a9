"""How a scan is opened: which reader a file has, and that modalities are independent of each other."""

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest

import invgen.io
from invgen.core.errors import FileError, ParameterError
from invgen.io import open_scan
from invgen.io.reading import FORMATS, READERS

FOLDER = Path(invgen.io.__file__).parent


def imported(path):
    """Modules of this folder that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("invgen.io"):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("invgen.io"))


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: str(path.relative_to(FOLDER)))
def test_modalities_share_what_both_use_and_do_not_know_each_other(path):
    own = path.relative_to(FOLDER).parts[0]
    allowed = {"__init__.py": {"ct", "mri"}, "reading.py": {"ct", "mri"}}.get(own, {own} & {"ct", "mri"})
    for name in imported(path):
        assert name.split(".")[2] not in {"ct", "mri"} - allowed, f"{path} imports {name}"


@pytest.mark.parametrize("format", READERS)
def test_a_reader_is_one_function_of_a_source_and_options(format):
    reader = READERS[format]
    assert list(inspect.signature(reader.read).parameters) == ["source", "options"]
    assert list(inspect.signature(reader.recognize).parameters) == ["source", "options"]
    assert reader.CONTAINER in FORMATS


@pytest.mark.parametrize("format", READERS)
def test_a_file_that_is_stated_to_be_what_it_is_not(tmp_path, data_exchange, format):
    """Each reader is given an HDF5 file of nothing that it knows; those of MATLAB's read no HDF5 at all."""
    path = data_exchange(data=None)
    with pytest.raises(FileError):
        open_scan(path, format=format)


def test_a_file_that_is_stated_to_be_an_array_is_read_as_one(data_exchange):
    path = data_exchange()
    with open_scan(path, format="hdf5", dataset="exchange/data", axes="angle,row,column") as scan:
        assert scan.format == "HDF5 array"
    with pytest.raises(FileError, match=r"Its arrays: .*exchange/data"):
        open_scan(path, format="hdf5")


def test_a_closed_scan_says_so(data_exchange, tmp_path):
    np.save(tmp_path / "array.npy", np.ones((4, 5)))
    with (
        open_scan(data_exchange()) as first,
        open_scan(tmp_path / "array.npy", axes="angle,column") as second,
    ):
        pass
    for scan in (first, second):
        with pytest.raises(FileError, match="is closed"):
            scan.projections(0)


@pytest.mark.parametrize("slice", [3, -4, True, 1.0, "0"])
def test_a_slice_is_a_whole_number_within_the_scan(data_exchange, slice):
    with open_scan(data_exchange()) as scan, pytest.raises(ParameterError, match=r"no slice .*0 to 2"):
        scan.projections(slice)


def test_slices_are_numbers_of_numpy_too(data_exchange):
    with open_scan(data_exchange()) as scan:
        assert scan.projections(np.int64(-1)).data.equal(scan.projections(2).data)

"""MATLAB files: what SciPy writes is read, and damage is an error, where SciPy's own reader can crash."""

from contextlib import suppress

import numpy as np
import pytest
import scipy.io

from invgen.core.errors import FileError
from invgen.io.matlab import mat_variable, mat_variables

VALUES = {
    "matrix": np.arange(12.0).reshape(3, 4),
    "cube": np.arange(24, dtype=np.int16).reshape(2, 3, 4),
    "single": np.float32([[1.5]]),
    "waves": np.eye(3) * (1 + 2j),
    "mask": np.eye(3) > 0,
    "text": "µm",
    "scan": {"unit": "mm", "inner": {"size": 0.2, "counts": np.uint16([[3, 4]])}, "empty": np.zeros((0, 0))},
    "list": np.array([1, "two"], dtype=object),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.mat"


@pytest.mark.parametrize("packed", [False, True])
def test_what_was_written_is_read(path, packed):
    scipy.io.savemat(path, VALUES, do_compression=packed)
    shapes = mat_variables(path)
    assert list(shapes) == list(VALUES)
    assert (shapes["matrix"], shapes["cube"], shapes["scan"]) == ((3, 4), (2, 3, 4), (1, 1))
    for name in ("matrix", "cube", "single", "waves", "mask"):
        read = mat_variable(path, name)
        assert np.array_equal(read, VALUES[name])
        assert read.dtype == (np.uint8 if name == "mask" else VALUES[name].dtype)
    assert mat_variable(path, "text") == "µm"
    scan = mat_variable(path, "scan")
    assert (scan["unit"], scan["inner"]["size"], scan["empty"].size) == ("mm", [[0.2]], 0)
    assert np.array_equal(scan["inner"]["counts"], [[3, 4]])
    assert mat_variable(path, "list") is None  # a cell
    with pytest.raises(FileError, match="no array 'nothing'"):
        mat_variable(path, "nothing")


def test_files_of_either_byte_order_are_read(path):
    """A matrix [1 2] by hand: matrix, flags, shape, name and numbers."""
    for mark, order in ((b"IM", "<"), (b"MI", ">")):
        numbers = np.array([14, 56, 6, 8, 6, 0, 5, 8, 1, 2, (1 << 16) + 1, 0, 9, 16], order + "u4")
        content = bytearray(numbers.tobytes() + np.array([1.0, 2.0], order + "f8").tobytes())
        content[44:45] = b"m"
        content[4:8] = np.array([len(content) - 8], order + "u4").tobytes()
        path.write_bytes(
            b"MATLAB 5.0".ljust(126 - 2) + b"\1\0"[:: 1 if order == "<" else -1] + mark + content
        )
        assert np.array_equal(mat_variable(path, "m"), [[1, 2]])


@pytest.mark.parametrize("packed", [False, True])
def test_damage_is_an_error_and_no_crash(path, packed):
    scipy.io.savemat(path, VALUES, do_compression=packed)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(500):
        damaged = bytearray(content)
        for place in rng.integers(128, len(content), 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        with suppress(FileError):  # any other error fails
            for name in mat_variables(path):
                mat_variable(path, name)


def test_files_cut_short(path):
    scipy.io.savemat(path, VALUES)
    content = path.read_bytes()
    for length in (130, 200, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(FileError, match="damaged"):
            mat_variables(path)


def test_a_packed_file_that_claims_more_than_it_holds(path):
    """Its checksum is right; only the length in front of the numbers is not."""
    import zlib

    scipy.io.savemat(path, {"x": np.zeros((4, 4))})
    content = path.read_bytes()
    element = bytearray(content[128:])
    element[4:8] = (1 << 31).to_bytes(4, "little")
    packed = zlib.compress(bytes(element))
    path.write_bytes(content[:128] + (15).to_bytes(4, "little") + len(packed).to_bytes(4, "little") + packed)
    with pytest.raises(FileError, match="shorter than it says"):
        mat_variable(path, "x")

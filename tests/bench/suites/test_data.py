"""The folder of data, and what is said of files that are not in it."""

import pytest

from invgen.bench.suites.data import SOURCES, file, folder
from invgen.core.errors import FileError


def test_the_given_folder_goes_before_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("INVGEN_DATA", str(tmp_path / "environment"))
    assert folder(tmp_path / "given") == tmp_path / "given"
    assert folder() == tmp_path / "environment"
    monkeypatch.delenv("INVGEN_DATA")
    assert folder().parts[-2:] == ("shared", "data")


@pytest.mark.parametrize("start", SOURCES)
def test_a_missing_file_is_named_with_its_source_and_what_to_do(start, tmp_path):
    with pytest.raises(FileError) as error:
        file(tmp_path, f"{start}01.png")
    for part in (f"{start}01.png", str(tmp_path), SOURCES[start], "--data", "INVGEN_DATA"):
        assert part in str(error.value)

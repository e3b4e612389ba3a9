"""`info`, and what a user says of a file that does not say it itself."""

from __future__ import annotations

import json
import shlex

import h5py
import numpy as np
import pytest

from invgen.io import read_reconstruction


@pytest.fixture
def array(scan, tmp_path):
    """A slice of line integrals as a NPY file, with its angles in degrees as text."""
    with h5py.File(scan) as file:
        data, white, dark = (file[f"exchange/{name}"][:, 0] for name in ("data", "data_white", "data_dark"))
        np.savetxt(tmp_path / "angles.txt", file["exchange/theta"][:])
    dark = dark.mean(0)
    np.save(tmp_path / "sinogram.npy", -np.log((data - dark) / (white.mean(0) - dark)))
    return tmp_path / "sinogram.npy"


def test_info_reports_shapes_units_and_what_is_missing(invgen, scan):
    text = invgen("info", scan).output
    assert "45 views, 8 slices, 72 columns, uint16" in text
    assert "0 to 176 degrees, in steps of 4" in text
    reported = json.loads(invgen("info", scan, "--json").output)
    assert (reported["views"], reported["slices"], reported["columns"]) == (45, 8, 72)
    assert reported["angles"]["unit"] == "degrees"
    assert reported["missing"] == ["pixel size"]


def test_info_of_an_output_reports_the_command(invgen, scan, tmp_path):
    invgen("recon", scan, "-o", tmp_path / "out.h5", "--slices", 0)
    reported = json.loads(invgen("info", tmp_path / "out.h5", "--json").output)
    assert reported["format"] == "reconstruction"
    assert reported["command"].startswith("invgen recon ")


@pytest.mark.parametrize(
    "angles", [("--angles", "0:180:45"), ("--angles", "{}/angles.txt", "--angle-unit", "deg")]
)
def test_angles_are_typed_or_in_a_file(invgen, array, tmp_path, angles):
    out = tmp_path / "out.h5"
    words = [word.format(tmp_path) for word in angles]
    result = invgen("recon", array, "-o", out, "--axes", "angle,column", *words)
    assert result.exit_code == 0, result.output
    with read_reconstruction(out) as file:
        assert np.allclose(file.angles, np.deg2rad(4 * np.arange(45)))


def test_the_command_that_is_kept_works_in_any_folder(invgen, array, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("--axes", "angle,column", "--angles", "angles.txt", "--angle-unit", "deg")
    assert invgen("recon", "sinogram.npy", "-o", "out.h5", *words).exit_code == 0
    with read_reconstruction("out.h5") as file:
        command = shlex.split(file.settings["command"])
    assert {"sinogram.npy", "angles.txt", "out.h5"}.isdisjoint(command)
    assert {str(tmp_path / name) for name in ("sinogram.npy", "angles.txt", "out.h5")} < set(command)


def test_numbers_without_a_unit_are_not_guessed(refused, array, tmp_path):
    words = ("recon", array, "-o", tmp_path / "out.h5", "--axes", "angle,column")
    assert "--angle-unit" in refused(*words, "--angles", tmp_path / "angles.txt")
    assert "--angles" in refused(*words)


def test_a_pickle_of_angles_is_not_executed(refused, array, tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("executed").touch, ())

    np.save(tmp_path / "evil.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    words = ("--axes", "angle,column", "--angles", tmp_path / "evil.npy", "--angle-unit", "deg")
    refused("info", array, *words)
    assert not (tmp_path / "executed").exists()

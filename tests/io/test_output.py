"""Outputs are there whole, or not at all."""

import json

import h5py
import numpy as np
import pytest
import torch

from invgen.core.errors import FileError, ParameterError
from invgen.io import ReconstructionWriter, read_reconstruction


@pytest.fixture
def about():
    return {
        "slices": 3,
        "image_shape": (8, 6),
        "pixel_size": 0.5,
        "unit": "mm",
        "source": "scan.h5",
        "settings": {"solver": "fbp", "views": [0, 60, 1]},
        "angles": np.linspace(0, 3, 20),
        "center": 2.25,
    }


def test_what_is_written_is_read(tmp_path, about):
    volume = torch.arange(3 * 8 * 6, dtype=torch.float32).reshape(3, 8, 6)
    with ReconstructionWriter(tmp_path / "out.h5", **about) as writer:
        for index in (2, 0, 1):
            writer.write(index, volume[index], (f"slice {index}", "took the logarithm"))
    with read_reconstruction(tmp_path / "out.h5") as found:
        assert np.array_equal(found.volume[:], volume)
        assert found.volume.chunks == (1, 8, 6)
        assert (found.pixel_size, found.unit, found.center, found.source) == (0.5, "mm", 2.25, "scan.h5")
        assert found.settings == about["settings"]
        assert np.array_equal(found.angles, about["angles"])
        assert found.report(2) == ("slice 2", "took the logarithm")
        assert set(found.versions) == {"python", "invgen", "torch", "numpy", "h5py"}
    assert [p.name for p in tmp_path.iterdir()] == ["out.h5"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, FileError])
def test_an_interrupted_run_leaves_the_old_output_and_nothing_else(tmp_path, about, error):
    (tmp_path / "out.h5").write_text("the old one")

    def run():
        with ReconstructionWriter(tmp_path / "out.h5", **about) as writer:
            writer.write(0, torch.zeros(8, 6))
            raise error

    with pytest.raises(error):
        run()
    assert [p.name for p in tmp_path.iterdir()] == ["out.h5"]
    assert (tmp_path / "out.h5").read_text() == "the old one"


def test_one_angle_by_itself_is_a_list_of_one(tmp_path, about):
    with ReconstructionWriter(tmp_path / "out.h5", **about | {"slices": 1}) as writer:
        writer.write(0, torch.zeros(8, 6))
    with h5py.File(tmp_path / "out.h5", "a") as file:
        del file["geometry/angles"]
        file["geometry/angles"] = 0.5
    with read_reconstruction(tmp_path / "out.h5") as found:
        assert found.angles.tolist() == [0.5]


def test_missing_slices_are_an_error_and_no_file(tmp_path, about):
    with (
        pytest.raises(FileError, match="2 of 3 slices are missing"),
        ReconstructionWriter(tmp_path / "out.h5", **about) as writer,
    ):
        writer.write(1, torch.zeros(8, 6))
    assert not list(tmp_path.iterdir())


def test_wrong_slices_are_refused(tmp_path, about):
    with (
        pytest.raises(ParameterError, match=r"slice 0 to 2 of shape \(8, 6\)"),
        ReconstructionWriter(tmp_path / "out.h5", **about) as writer,
    ):
        writer.write(3, torch.zeros(8, 6))


def test_other_files_are_no_reconstructions(tmp_path, data_exchange, about):
    with pytest.raises(FileError, match="no reconstruction"):
        read_reconstruction(data_exchange())
    with ReconstructionWriter(tmp_path / "out.h5", **about) as writer:
        for index in range(3):
            writer.write(index, torch.zeros(8, 6))
    with h5py.File(tmp_path / "out.h5", "a") as file:
        assert json.loads(file.attrs["settings"])
        del file.attrs["center"]
    with pytest.raises(FileError, match="damaged"):
        read_reconstruction(tmp_path / "out.h5")


@pytest.fixture
def about_mri(about):
    return {name: value for name, value in about.items() if name not in ("angles", "center")} | {
        "complex": True,
        "pixel_size": (0.5, 0.75),
    }


def test_complex_images_have_their_magnitude_beside(tmp_path, about_mri):
    volume = torch.randn(3, 8, 6, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    with ReconstructionWriter(tmp_path / "out.h5", **about_mri) as writer:
        for index in range(3):
            writer.write(index, volume[index])
    with read_reconstruction(tmp_path / "out.h5") as found:
        assert found.is_complex
        assert found.volume.dtype == np.complex64
        assert np.array_equal(found.volume[:], volume)
        assert (found.pixel_height, found.pixel_size) == (0.5, 0.75)
        assert (found.angles, found.center) == (None, None)
        magnitude = found.volume.file["magnitude"]
        assert magnitude.dtype == np.float32
        np.testing.assert_allclose(magnitude[:], volume.abs(), rtol=1e-6)


def test_real_images_are_as_they_always_were(tmp_path, about):
    """The layout of the first files, which those who read them rely on."""
    with ReconstructionWriter(tmp_path / "out.h5", **about) as writer:
        for index in range(3):
            writer.write(index, torch.ones(8, 6))
    with h5py.File(tmp_path / "out.h5") as file:
        assert file.attrs["format"] == "invgen reconstruction 1"
        assert file["reconstruction"].dtype == np.float32
        assert "magnitude" not in file
        assert file["geometry/angles"].attrs["units"] == "rad"
        assert (file.attrs["center"], file.attrs["pixel_size"]) == (2.25, 0.5)


def test_complex_images_do_not_lose_their_phase_unseen(tmp_path, about):
    with (
        pytest.raises(ParameterError, match="write the modulus"),
        ReconstructionWriter(tmp_path / "out.h5", **about) as writer,
    ):
        writer.write(0, torch.zeros(8, 6, dtype=torch.complex64))
    assert not list(tmp_path.iterdir())


def test_images_of_another_type_than_the_format_are_damage(tmp_path, about):
    with ReconstructionWriter(tmp_path / "out.h5", **about) as writer:
        for index in range(3):
            writer.write(index, torch.ones(8, 6))
    with h5py.File(tmp_path / "out.h5", "a") as file:
        del file["reconstruction"]
        file["reconstruction"] = np.full((3, 8, 6), b"text")
    with pytest.raises(FileError, match="damaged"):
        read_reconstruction(tmp_path / "out.h5")

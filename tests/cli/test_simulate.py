"""`simulate ct` with a point source."""

from __future__ import annotations

import h5py
import numpy as np
import pytest


@pytest.mark.parametrize(
    ("words", "shape", "geometry"),
    [
        (
            ("--geometry", "fan", "--curved", "--source-origin", 3, "--source-detector", 4.5),
            (1, 32, 32),
            "fan",
        ),
        (("--geometry", "cone", "--source-origin", 3, "--slices", 6), (6, 32, 32), "cone"),
    ],
)
def test_a_point_source_is_in_the_file_as_typed(invgen, tmp_path, words, shape, geometry):
    path = tmp_path / "scan.h5"
    result = invgen(
        "simulate", "ct", "foam", "-o", path, "--size", 32, "--views", 12, "--pixel-size", 0.02, *words
    )
    assert result.exit_code == 0, result.output
    assert f"{geometry} beam" in result.output
    with h5py.File(path) as file:
        instrument = file["measurement/instrument"]
        assert instrument["geometry"].asstr()[()] == geometry
        assert instrument["source/distance"][()] == pytest.approx(3)
        assert instrument["detector/distance"][()] == pytest.approx(1.5)
        assert instrument["detector/actual_pixel_size_x"][()] == pytest.approx(0.03)
        assert ("shape" in instrument["detector"]) == (geometry == "fan")
        assert file["truth/image"].shape == shape
        assert np.allclose(file["exchange/theta"], 30 * np.arange(12))


def test_an_image_has_no_third_dimension(refused, tmp_path):
    np.save(tmp_path / "image.npy", np.ones((20, 20)))
    words = ("simulate", "ct", tmp_path / "image.npy", "-o", tmp_path / "scan.h5", "--size", 20)
    assert "no third dimension" in refused(*words, "--geometry", "cone")
    assert not (tmp_path / "scan.h5").exists()


def test_a_source_without_a_fan_is_refused(refused, tmp_path):
    reported = refused("simulate", "ct", "foam", "-o", tmp_path / "scan.h5", "--source-origin", 100)
    assert "parallel beam has no source" in reported

"""What Data Exchange and NXtomo files say of source and detector, and what is made of it."""

import h5py
import numpy as np
import pytest

from invgen.core.errors import DataError
from invgen.io import Beam, open_scan

NX = "entry/instrument"
PIXEL = {"detector__actual_pixel_size_x": (50.0, "um")}
DISTANCES = {"source__distance": (0.1, "m"), "detector__distance": (5.0, "cm")}


class TestDataExchange:
    def instrument(self, data_exchange, **values):
        """A scan of 3 rows and 64 columns whose instrument has lengths with units, and texts."""
        path = data_exchange()
        with h5py.File(path, "a") as file:
            for name, value in values.items():
                where = f"measurement/instrument/{name.replace('__', '/')}"
                file[where] = value[0] if isinstance(value, tuple) else value
                if isinstance(value, tuple):
                    file[where].attrs["units"] = value[1]
        return path

    def test_distances_are_in_the_unit_of_the_pixels(self, data_exchange):
        with open_scan(self.instrument(data_exchange, **PIXEL, **DISTANCES)) as scan:
            beam, geometry = scan.beam, scan.info()["geometry"]
            assert scan.pixel_size == pytest.approx(50 / 1.5)
        assert (beam.kind, beam.curved) == ("cone", False)  # three rows
        assert (beam.source_origin, beam.source_detector) == pytest.approx((1e5, 1.5e5))
        assert (geometry["unit"], geometry["detector_rows"], geometry["detector_columns"]) == ("um", 3, 64)
        assert geometry["detector_spacing"] == pytest.approx(50)
        assert geometry["fan_angle_degrees"] == pytest.approx(np.rad2deg(2 * np.arctan(32 * 50 / 1.5e5)))

    @pytest.mark.parametrize(("words", "kind"), [("fan", "fan"), ("parallel", "parallel"), ("Cone", "cone")])
    def test_the_geometry_in_words_wins(self, data_exchange, words, kind):
        path = self.instrument(data_exchange, geometry=words, **PIXEL, **DISTANCES)
        with open_scan(path) as scan:
            assert scan.geometry == kind
            assert scan.pixel_size == pytest.approx(50 if kind == "parallel" else 50 / 1.5)

    def test_a_distant_source_is_a_parallel_beam(self, data_exchange):
        far = {"source__distance": (50, "m"), "detector__distance": (30.0, "mm")}
        with open_scan(self.instrument(data_exchange, **PIXEL, **far)) as scan:
            assert (scan.geometry, scan.pixel_size) == ("parallel", 50)
            assert any("taken as parallel" in note for note in scan.notes)

    @pytest.mark.parametrize("distance", [0.0, np.inf, np.nan])
    def test_no_distance_is_a_parallel_beam(self, data_exchange, distance):
        values = DISTANCES | {"source__distance": (distance, "mm")}
        with open_scan(self.instrument(data_exchange, **PIXEL, **values)) as scan:
            assert (scan.geometry, scan.notes) == ("parallel", ())

    def test_a_source_without_a_detector_is_noted(self, data_exchange):
        values = {"source__distance": DISTANCES["source__distance"]}
        with open_scan(self.instrument(data_exchange, **PIXEL, **values)) as scan:
            assert scan.geometry == "parallel"
            assert any("not the detector's from the axis (not there)" in note for note in scan.notes)

    @pytest.mark.parametrize("absurd", [1e300, 1e-300])
    @pytest.mark.parametrize("name", ["source__distance", "detector__distance"])
    def test_absurd_distances_are_none(self, data_exchange, name, absurd):
        values = DISTANCES | {name: (absurd, "mm")}
        with pytest.raises(DataError, match=r"does not state its distances.* Put the numbers"):
            open_scan(self.instrument(data_exchange, geometry="fan", **PIXEL, **values))

    @pytest.mark.parametrize("absurd", [1e200, 1e-200])
    def test_absurd_pixel_sizes_are_noted(self, data_exchange, absurd):
        with open_scan(self.instrument(data_exchange, detector__x_pixel_size=(absurd, "um"))) as scan:
            assert scan.unit == "pixel"
            assert any("which is no length" in note for note in scan.notes)

    @pytest.mark.parametrize(("shape", "curved"), [(" Curved", True), ("flat", False), ("banana", False)])
    def test_the_shape_of_the_detector(self, data_exchange, shape, curved):
        path = self.instrument(data_exchange, geometry="fan", detector__shape=shape, **PIXEL, **DISTANCES)
        with open_scan(path) as scan:
            assert scan.beam.curved == curved
            assert any("'banana'" in note for note in scan.notes) == (shape == "banana")

    def test_distances_without_a_pixel_size_are_noted(self, data_exchange):
        with open_scan(self.instrument(data_exchange, **DISTANCES)) as scan:
            assert scan.geometry == "parallel"
            assert any("no pixel size" in note for note in scan.notes)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"geometry": "fan"}, "does not state its distances"),
            ({"geometry": "cone", **DISTANCES}, "in one unit with its pixel size"),
            ({"geometry": "cone", "detector__shape": "curved", **PIXEL, **DISTANCES}, "curved detector"),
        ],
    )
    def test_what_cannot_be(self, data_exchange, values, message):
        with pytest.raises(DataError, match=message):
            open_scan(self.instrument(data_exchange, **values))

    def test_an_unknown_geometry_is_noted(self, data_exchange):
        with open_scan(self.instrument(data_exchange, geometry="helix")) as scan:
            assert scan.geometry == "parallel"
            assert "'helix'" in scan.notes[0]


class TestNXtomo:
    def test_a_source_upstream_is_at_a_negative_distance(self, nxtomo):
        path = nxtomo(**{f"{NX}/source/distance": -12.0, f"{NX}/detector/distance": 0.006})
        with h5py.File(path, "a") as file:
            file[f"{NX}/source/distance"].attrs["units"] = "mm"
            file[f"{NX}/detector/distance"].attrs["units"] = "m"
        with open_scan(path) as scan:
            beam = scan.beam
            assert scan.pixel_size == pytest.approx(6.5 / 1.5)
        assert beam.kind == "cone"
        assert (beam.source_origin, beam.source_detector) == pytest.approx((12000, 18000))

    def test_distances_without_units_are_no_lengths(self, nxtomo):
        path = nxtomo(**{f"{NX}/source/distance": -12.0, f"{NX}/detector/distance": 6.0})
        with open_scan(path) as scan:
            assert scan.geometry == "parallel"


@pytest.mark.parametrize(
    "lengths", [(0, 1), (-1, 1), (np.nan, 1), (1, np.inf), (2, 1), (1, 1e300), (1e-300, 1)]
)
def test_beams_that_cannot_be(lengths):
    with pytest.raises(DataError):
        Beam("fan", *lengths)

"""Scans with a point source: images of fans and cones that come near the truth."""

import h5py
import numpy as np
import pytest
import torch

from invgen.core.errors import CapabilityError, DataError, InvgenWarning, ParameterError
from invgen.io import Beam, Bin, open_scan, to_operator, truncation
from invgen.simulate import simulate_ct
from invgen.solvers import FBP, FDK, SIRT

DEGREE = np.pi / 180


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Path of a simulated scan, made once for its arguments."""
    made = {}

    def make(source="shepp-logan", **words):
        key = str((source, words))
        if key not in made:
            made[key] = tmp_path_factory.mktemp("scan") / "scan.h5"
            simulate_ct(made[key], source, **words)
        return made[key]

    return make


@pytest.fixture
def fan(scans):
    return scans(geometry="fan", size=64, views=120, pixel_size=0.1)


@pytest.fixture
def cone(scans):
    return scans(geometry="cone", size=32, views=60, pixel_size=0.1, slices=8)


@pytest.fixture
def changed(tmp_path):
    """Copy a scan, and change it by a function of the open file."""

    def make(path, change):
        copy = tmp_path / "changed.h5"
        copy.write_bytes(path.read_bytes())
        with h5py.File(copy, "a") as file:
            change(file)
        return copy

    return make


def truth(path):
    with h5py.File(path) as file:
        return torch.from_numpy(file["truth/image"][:]), dict(file["truth"].attrs)


def error(image, exact):
    return float((image - exact).norm() / exact.norm())


@pytest.mark.parametrize("words", [{"pixel_size": 0.1}, {"pixel_size": 0.1, "curved": True}, {}])
def test_a_fan_is_reconstructed_to_its_truth(scans, words):
    path = scans(geometry="fan", size=64, views=120, **words)
    exact, stated = truth(path)
    with open_scan(path) as scan:
        assert scan.beam == Beam("fan", stated["source_origin"], stated["source_detector"], stated["curved"])
        assert scan.find_center() == pytest.approx(stated["rotation_center"], abs=0.05)
        assert not truncation(scan.line_integrals(0))
        problem = scan.problem(0, image_shape=(64, 64))
    g = problem.operator.geometry
    assert g.detector_spacing == pytest.approx(stated["detector_spacing"])
    assert g.detector_offset == pytest.approx(stated["detector_offset"], abs=0.05 * g.detector_spacing)
    assert g.pixel_size == pytest.approx(words.get("pixel_size", 1.0))
    assert error(FBP(window="ram-lak")(problem).x, exact[0]) < 0.3
    assert error(SIRT()(problem).x, exact[0]) < 0.3


@pytest.mark.slow
def test_a_cone_is_reconstructed_to_its_truth(cone):
    exact, stated = truth(cone)
    with open_scan(cone) as scan:
        assert (scan.geometry, scan.slices) == ("cone", 10)  # the eight slices, and one above and below
        assert scan.find_center() == pytest.approx(stated["rotation_center"], abs=0.05)
        problem = scan.volume_problem()
    assert problem.measurement.shape == (60, 10, 32)
    assert problem.operator.domain.shape == (10, 32, 32)
    assert problem.operator.geometry.row_spacing == pytest.approx(stated["detector_spacing"])
    assert error(FDK(window="ram-lak")(problem).x[1:-1], exact) < 0.3
    assert error(SIRT()(problem).x[1:-1], exact) < 0.3


def test_bins_of_a_cone_are_square(cone):
    with open_scan(cone) as scan:
        fine, coarse = scan.panel(center=16.0), scan.panel(center=16.0, bin=2)
        problem = scan.volume_problem(center=16.0, bin=2)
    transmission = (-fine.data).exp().reshape(60, 5, 2, 16, 2).mean((2, 4))
    torch.testing.assert_close(coarse.data, -transmission.log(), rtol=1e-4, atol=1e-5)
    assert coarse.std.mean() == pytest.approx(float(fine.std.mean()) / 2, rel=0.05)
    g = problem.operator.geometry
    assert (g.row_count, g.fan.detector_count) == (5, 16)
    assert g.row_spacing == pytest.approx(g.fan.detector_spacing)


@pytest.mark.filterwarnings("ignore:the object is wider")  # the columns left over are cut, too
def test_rows_that_do_not_fill_a_bin_are_cut_and_the_others_stay_where_they_are(cone):
    with open_scan(cone) as scan:
        fine, coarse = (scan.volume_problem(center=16.0, bin=n).operator.geometry for n in (1, 3))
    assert coarse.row_count == 3
    assert coarse.rows()[0] == pytest.approx(float(fine.rows()[:3].mean()))


def test_frames_that_one_row_lost_are_left_out_of_all(cone, changed):
    def lose(file):
        file["exchange/data"][7, 2] = 3000  # the shutter stayed closed over one row
        file["exchange/data"][30, 9] = 3000

    with open_scan(changed(cone, lose)) as scan, open_scan(cone) as whole:
        panel, all_views = scan.panel(center=16.0), whole.panel(center=16.0)
    kept = torch.tensor([view not in (7, 30) for view in range(60)])
    assert torch.equal(panel.row.angles, all_views.row.angles[kept])
    assert torch.equal(panel.data[:, 3], all_views.data[kept, 3])
    assert any("1 more" in sentence for sentence in panel.reports[2])
    assert any("left out 2 more frames, which are bad in other rows" in s for s in panel.reports[3])


def test_a_row_that_the_object_comes_into_in_some_views_only_has_lost_none(cone, changed):
    """Without noise, a row of air is constant; that is no lost frame."""

    def clean(file):
        lines = np.zeros((60, 10, 32), "f4")
        lines[:, 2:8, 4:28] = 1
        lines[:50, 1, 15] = 1
        for name in ("data", "data_white", "data_dark"):
            del file[f"exchange/{name}"]
        file["exchange/data"] = lines

    path = changed(cone, clean)
    with open_scan(path, quantity="absorption") as scan:
        assert scan.panel(center=16.0).data.shape == (60, 10, 32)


def test_the_row_that_cannot_be_read_is_named(cone, changed):
    def spoil(file):
        data = file["exchange/data"][:].astype("f4")
        data[3, 6, 7] = np.nan
        del file["exchange/data"]
        file["exchange/data"] = data

    with open_scan(changed(cone, spoil)) as scan, pytest.raises(DataError, match=r"Detector row 6: .*NaN"):
        scan.volume_problem(center=16.0)


def test_slices_and_volumes_are_not_confused(fan, cone):
    with open_scan(cone) as scan:
        with pytest.raises(CapabilityError, match=r"Scan.volume_problem\(\)"):
            scan.problem(0)
        with pytest.raises(CapabilityError, match=r"Scan.volume_problem\(\)"):
            to_operator(scan.line_integrals(0, center=16.0))
    with open_scan(fan) as scan, pytest.raises(CapabilityError, match=r"fan beam.*Scan.problem\(slice\)"):
        scan.volume_problem()


def test_rows_of_another_height_stay_so(cone, changed):
    def stretch(file):
        file["measurement/instrument/detector/actual_pixel_size_y"][()] *= 2

    with open_scan(changed(cone, stretch)) as scan:
        g = scan.volume_problem(center=16.0).operator.geometry
    assert g.row_spacing == pytest.approx(2 * g.fan.detector_spacing)


class TestRangesOfAngles:
    """120 views, three degrees apart."""

    @pytest.mark.parametrize(
        ("degrees", "expected"),
        [
            ((30, 90), np.arange(30, 90, 3)),
            ((31, 91), np.arange(33, 91, 3)),
            ((350, 20), np.r_[np.arange(0, 20, 3), np.arange(351, 360, 3)]),
            ((0, 360), np.arange(0, 360, 3)),
        ],
    )
    def test_views_within(self, fan, degrees, expected):
        with open_scan(fan) as scan:
            out = scan.line_integrals(0, center=32.0, angles_range=tuple(np.deg2rad(degrees)))
        assert np.allclose(torch.rad2deg(out.angles), expected)
        assert f"kept {len(expected)} of 120 views" in out.report[0]

    def test_views_are_counted_within(self, fan):
        words = {"angles_range": (30 * DEGREE, 90 * DEGREE), "views": slice(1, None, 4)}
        with open_scan(fan) as scan:
            problem = scan.problem(0, **words)
            center = scan.find_center()  # of all views
        g = problem.operator.geometry
        assert np.allclose(torch.rad2deg(g.angles), [33, 45, 57, 69, 81])
        assert g.detector_offset == pytest.approx(((g.detector_count - 1) / 2 - center) * g.detector_spacing)

    def test_they_are_those_of_the_file_whichever_way_it_turns(self, fan):
        with open_scan(fan, rotation="clockwise") as scan:
            out = scan.line_integrals(0, center=32.0, angles_range=(30 * DEGREE, 40 * DEGREE))
        assert np.allclose(torch.rad2deg(out.angles), [-30, -33, -36, -39])

    def test_of_a_cone_too(self, cone):
        with open_scan(cone) as scan:
            problem = scan.volume_problem(center=16.0, angles_range=(0, 90 * DEGREE))
        assert problem.measurement.shape == (15, 10, 32)

    @pytest.mark.parametrize(
        ("degrees", "message"),
        [
            ((400, 420), "no views from 400 to 420"),
            ((30, 30), "from one to another"),
            ((-90, 9), "only 3 views are from -90 to 9.* range is 270 to 9, which wraps"),
            ((300, 390), "only 20 views are from 300 to 390.* range is 300 to 30, which wraps"),
        ],
    )
    def test_that_hold_none_or_less_than_they_seem_to(self, fan, degrees, message):
        with open_scan(fan) as scan, pytest.raises(ParameterError, match=message):
            scan.problem(0, angles_range=tuple(np.deg2rad(degrees)))


def test_views_that_turn_the_other_way(fan, changed):
    exact, stated = truth(fan)

    def turn(file):
        file["exchange/theta"][:] = (-file["exchange/theta"][:]) % 360

    path = changed(fan, turn)
    with open_scan(path) as scan, pytest.warns(InvgenWarning, match="--rotation clockwise"):
        scan.find_center()
    with open_scan(path, rotation="clockwise") as scan:
        assert scan.find_center() == pytest.approx(stated["rotation_center"], abs=0.05)
        assert scan.info()["geometry"]["rotation"] == "clockwise"
        assert error(FBP(window="ram-lak")(scan.problem(0, image_shape=(64, 64))).x, exact[0]) < 0.3
    with pytest.raises(ParameterError, match="rotation should be one of"):
        open_scan(path, rotation="left")


def test_a_narrow_fan_is_truncated_and_says_so(scans):
    path = scans(geometry="fan", size=64, views=60, detector_count=44)
    with open_scan(path) as scan:
        assert "wider than the detector" in scan.info()["warnings"][0]
        with pytest.warns(InvgenWarning, match="wider than the detector"):
            scan.problem(0)


def test_binning_a_fan_keeps_its_axis_and_its_grid(fan):
    with open_scan(fan) as scan:
        fine = scan.line_integrals(0, center=33.0)
    fine = Bin(2)(type(fine)(**{**vars(fine), "image_shape": (65, 64)}))
    operator = to_operator(fine)
    assert operator.domain.shape == (33, 32)
    assert operator.geometry.detector_offset == pytest.approx(
        ((fine.columns * 2 - 1) / 2 - 33.0) * 0.15, abs=1e-6
    )

"""From a file to a problem: the layouts, the order of axes and angles, and what the caller must say."""

import json

import h5py
import numpy as np
import pytest
import scipy.io
import tifffile
import torch

from invgen.core.errors import DataError, FileError, InvgenWarning, ParameterError
from invgen.io import MinusLog, open_scan


def same(first, second):
    """Whether two sets of raw projections are equal."""
    names = ("data", "angles", "flats", "darks")
    pairs = [(getattr(first, name), getattr(second, name)) for name in names]
    return all((a is None and b is None) or torch.equal(a, b) for a, b in pairs)


def test_data_exchange_gives_what_was_written(data_exchange, raw):
    written = raw()
    with open_scan(data_exchange()) as scan:
        assert (scan.format, scan.views, scan.slices, scan.columns) == ("Data Exchange", 40, 3, 64)
        assert (scan.quantity, scan.has_flats, scan.has_darks, scan.unit) == (
            "transmission",
            True,
            True,
            "pixel",
        )
        assert np.allclose(scan.angles, written["angles"])
        projections = scan.projections(1)
    assert np.array_equal(projections.data, written["data"][:, 1])
    assert np.array_equal(projections.flats, written["flats"][:, 1])
    assert np.array_equal(projections.darks, written["darks"][:, 1])
    assert projections.saturation == 65535


def test_line_integrals_are_those_of_the_object_within_their_noise(data_exchange, raw):
    with open_scan(data_exchange()) as scan:
        for row in range(3):
            out = scan.preprocess(row)
            score = (out.data.numpy() - raw()["truth"][:, row]) / out.std.numpy()
            assert score.std() == pytest.approx(1, abs=0.15)  # 5 flats of 64 columns know the gain to 15 %
            assert abs(score.mean()) < 0.1


def test_sinogram_order_of_data_exchange_is_read_from_its_attribute(data_exchange, raw):
    scan = raw()
    swapped = data_exchange(
        "swapped.h5",
        axes="y:theta:x",
        data=scan["data"].transpose(1, 0, 2),
        data_white=scan["flats"].transpose(1, 0, 2),
        data_dark=scan["darks"].transpose(1, 0, 2),
    )
    with open_scan(data_exchange()) as first, open_scan(swapped) as second:
        assert same(first.projections(2), second.projections(2))


def test_chunked_data_are_read_as_contiguous_data(data_exchange, raw, tmp_path):
    with h5py.File(data_exchange("chunked.h5", data=None), "a") as file:
        file.create_dataset("exchange/data", data=raw()["data"], chunks=(1, 2, 64), compression="gzip")
    with open_scan(data_exchange()) as first, open_scan(tmp_path / "chunked.h5") as second:
        for row in (2, 0, 1):
            assert same(first.projections(row), second.projections(row))


def test_angles_of_data_exchange_in_radians_are_recognized_by_their_unit(data_exchange, raw):
    path = data_exchange(theta=raw()["angles"])
    with h5py.File(path, "a") as file:
        file["exchange/theta"].attrs["units"] = "rad"
    with open_scan(path) as scan:
        assert np.allclose(scan.angles, raw()["angles"])


@pytest.mark.parametrize("transpose", [(0, 1, 2), (1, 0, 2), (1, 2, 0)])
@pytest.mark.parametrize("order", [None, 3])
def test_nxtomo_in_any_order_of_axes_and_angles_is_the_same_scan(data_exchange, nxtomo, transpose, order):
    path = nxtomo(transpose=transpose, order=order, invalid=2)
    with open_scan(data_exchange()) as reference, open_scan(path) as scan:
        assert (scan.format, scan.views, scan.slices, scan.columns) == ("NXtomo", 40, 3, 64)
        assert (scan.pixel_size, scan.unit) == (6.5, "um")
        assert np.allclose(scan.angles, reference.angles)
        assert any("2 of 51 frames are marked invalid" in note for note in scan.notes)
        first, second = reference.projections(1), scan.projections(1)
        assert torch.equal(first.data, second.data)
        assert torch.allclose(first.angles, second.angles)
        for name in ("flats", "darks"):
            a, b = getattr(first, name), getattr(second, name)
            assert torch.equal(a.sort(0).values, b.sort(0).values)  # a set of frames, in any order


def test_nxtomo_stored_as_frame_x_y_needs_its_axes_said(data_exchange, nxtomo):
    path = nxtomo(transpose=(0, 2, 1))
    with open_scan(data_exchange()) as reference, open_scan(path, axes="angle,column,row") as scan:
        assert torch.equal(reference.projections(1).data, scan.projections(1).data)
    with h5py.File(path, "a") as file:
        file["entry/instrument/detector/data"].attrs["axes"] = ["frame", "x", "y"]
    with open_scan(path) as scan:
        assert (scan.slices, scan.columns) == (3, 64)


def test_nxtomo_angles_without_a_unit_are_refused_until_it_is_said(nxtomo, raw):
    path = nxtomo(units="")
    with pytest.raises(DataError, match=r"no unit.*--angle-unit"):
        open_scan(path)
    with open_scan(path, angle_unit="rad") as scan:
        assert np.allclose(scan.angles, raw()["angles"])


def test_missing_angles_are_an_error_that_names_the_option(data_exchange, raw):
    path = data_exchange(theta=None)
    with open_scan(path) as scan:
        assert scan.info()["missing"][0] == "angles"
        with pytest.raises(DataError, match=r"angles=.*--angles"):
            scan.problem(0)
    with open_scan(path, angles=raw()["angles"]) as scan:
        assert np.array_equal(scan.angles, raw()["angles"])


def test_angles_of_the_wrong_length_say_both_numbers(data_exchange, nxtomo):
    with pytest.raises(DataError, match="39 angles for 40 projections"):
        open_scan(data_exchange(theta=np.arange(39.0)))
    with pytest.raises(DataError, match="7 angles for 40 projections"):
        open_scan(nxtomo(), angles=np.arange(7.0))
    with pytest.raises(DataError, match=r"1 of the 40 angles.*not finite.*number 3"):
        open_scan(data_exchange(theta=np.where(np.arange(40) == 3, np.nan, 1.0)))


@pytest.fixture
def plain(tmp_path, raw):
    """Write line integrals of one slice as every kind of plain array, with angles where it has names."""

    def write(kind):
        scan = raw()
        sinogram, path = scan["truth"][:, 0].astype(np.float32), tmp_path / f"scan.{kind}"
        if kind == "h5":
            with h5py.File(path, "w") as file:
                file["deep/sino"], file["deep/angles"] = sinogram.T, scan["angles"]
        elif kind == "mat":
            scipy.io.savemat(path, {"deep": {"sino": sinogram.T, "angles": scan["angles"]}})
        elif kind == "v73.mat":
            with h5py.File(path, "w", userblock_size=512) as file:
                file["deep/sino"], file["deep/angles"] = sinogram, scan["angles"][:, None]
            with path.open("r+b") as file:
                file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
        elif kind == "npy":
            np.save(path, sinogram.T)
        else:
            tifffile.imwrite(path, sinogram.T, compression="zlib" if kind == "z.tiff" else None)
        return path

    return write


@pytest.mark.parametrize("kind", ["h5", "mat", "v73.mat", "npy", "tiff", "z.tiff"])
def test_plain_arrays_by_name_and_order_of_axes(plain, raw, kind):
    if kind in ("h5", "mat", "v73.mat"):
        where = {"dataset": "deep/sino", "angles_dataset": "deep/angles", "angle_unit": "rad"}
    else:
        where = {"angles": raw()["angles"]}
    with open_scan(plain(kind), axes="column,angle", **where) as scan:
        assert (scan.views, scan.slices, scan.columns, scan.quantity) == (40, 1, 64, "absorption")
        assert any("no flat fields" in note and "--quantity" in note for note in scan.notes)
        out = scan.preprocess(0)
        assert np.allclose(scan.angles, raw()["angles"])
    assert np.allclose(out.data, raw()["truth"][:, 0], atol=1e-6)
    assert out.std is None


def test_plain_arrays_do_not_guess(plain):
    with pytest.raises(FileError, match=r"deep/angles \(40,\), deep/sino \(64, 40\)"):
        open_scan(plain("h5"))
    with pytest.raises(ParameterError, match=r"\(64, 40\).*--axes"):
        open_scan(plain("h5"), dataset="deep/sino")
    with pytest.raises(ParameterError, match="axes"):
        open_scan(plain("npy"), axes="row,angle,column")
    with pytest.raises(DataError, match=r"no unit.*--angle-unit"):
        open_scan(plain("h5"), dataset="deep/sino", axes="column,angle", angles_dataset="deep/angles")
    with pytest.raises(FileError, match="deep/sino, deep/angles"):
        open_scan(plain("mat"), dataset="deep", axes="column,angle")


def test_flats_of_plain_arrays_make_them_counts(tmp_path, raw, data_exchange):
    scan = raw()
    np.save(tmp_path / "data.npy", scan["data"])
    np.save(tmp_path / "flats.npy", scan["flats"])
    plain = {"axes": "angle,row,column", "angles": scan["angles"], "darks": scan["darks"]}
    with open_scan(data_exchange()) as reference:
        for flats in (scan["flats"], str(tmp_path / "flats.npy")):
            with open_scan(tmp_path / "data.npy", flats=flats, **plain) as other:
                assert torch.equal(reference.projections(2).flats, other.projections(2).flats)
                assert torch.allclose(reference.preprocess(2).data, other.preprocess(2).data)
    with pytest.raises(DataError, match="2 rows and 64 columns, the projections 3 rows"):
        open_scan(tmp_path / "data.npy", flats=scan["flats"][:, :2], **plain)


def test_divided_data_are_taken_as_what_the_caller_says(tmp_path, raw):
    np.save(tmp_path / "ratio.npy", np.exp(-raw()["truth"]))
    given = {"axes": "angle,row,column", "angles": raw()["angles"], "quantity": "transmission"}
    with open_scan(tmp_path / "ratio.npy", **given) as scan:
        assert np.allclose(scan.preprocess(1).data, raw()["truth"][:, 1], atol=1e-5)


def test_counts_without_flats_say_what_is_missing(data_exchange):
    with open_scan(data_exchange(data_white=None)) as scan:
        assert "flats" in scan.info()["missing"]
        assert any("--flats" in warning for warning in scan.info()["warnings"])
        with pytest.raises(DataError, match="--flats"):
            scan.preprocess(0)


def test_info_is_plain_data(data_exchange):
    with open_scan(data_exchange()) as scan:
        info = json.loads(json.dumps(scan.info()))
    assert info["angles"] == pytest.approx(
        {"unit": "degrees", "first": 0, "last": 175.5, "step": 4.5, "uniform": True}
    )
    assert (info["flats"], info["darks"], info["missing"], info["warnings"]) == (5, 4, ["pixel size"], [])


def test_opening_reads_no_projections(data_exchange, monkeypatch):
    from invgen.io.ct.stack import Stack

    monkeypatch.setattr(Stack, "_read", lambda *_: pytest.fail("projections were read"))
    open_scan(data_exchange()).close()


def test_slices_are_counted_and_checked(data_exchange):
    with open_scan(data_exchange()) as scan:
        assert same(scan.projections(-1), scan.projections(2))
        with pytest.raises(ParameterError, match=r"no slice 3.*0 to 2"):
            scan.projections(3)


def test_center_is_found_once_for_the_scan_from_all_views(data_exchange):
    with open_scan(data_exchange()) as scan:
        assert scan.find_center() == pytest.approx(30.0, abs=0.1)
        assert scan.find_center() is scan.find_center(1)
        sparse = scan.line_integrals(0, views=slice(None, None, 4), bin=2)
        assert sparse.center == pytest.approx((scan.find_center() - 0.5) / 2)
        assert sparse.data.shape == (10, 32)


def test_problem_has_the_geometry_and_the_noise_of_the_scan(data_exchange):
    with open_scan(data_exchange()) as scan:
        problem = scan.problem(1, center=30.0, views=slice(0, 20), bin=2)
        line_integrals = scan.line_integrals(1, center=30.0, views=slice(0, 20), bin=2)
    radon = problem.operator
    assert radon.domain.shape == (32, 32)
    assert radon.range.shape == (20, 32)
    assert torch.equal(problem.measurement, line_integrals.data)
    assert torch.equal(problem.noise.std.value, line_integrals.std)
    # the axis, at column (30 - 0.5) / 2 of the bins, is the origin: a point there stays at that column
    image = torch.zeros(32, 32)
    image[15:17, 15:17] = 1
    centroid = (radon(image) * torch.arange(32)).sum(1) / radon(image).sum(1)
    assert torch.allclose(centroid, torch.tensor(14.75), atol=0.05)


def test_problem_predicts_what_was_measured(data_exchange, ellipses):
    """The object through the operator of the problem gives its sinogram: angles and centre agree."""
    with open_scan(data_exchange()) as scan:
        problem = scan.problem(0)
    y, x = np.mgrid[31.5:-32.5:-1, -31.5:32.5]
    fine = np.zeros((64, 64))
    for cx, cy, a, b, tilt, value in ellipses:
        u, v = x - 64 * cx, y - 64 * cy
        along, across = u * np.cos(tilt) + v * np.sin(tilt), -u * np.sin(tilt) + v * np.cos(tilt)
        fine += value * ((along / (64 * a)) ** 2 + (across / (64 * b)) ** 2 < 1)
    predicted = problem.operator(torch.tensor(fine, dtype=torch.float32))
    error = (predicted - problem.measurement).norm() / problem.measurement.norm()
    assert error < 0.08  # of drawing the ellipses on pixels


def test_own_steps_replace_the_default_ones(tmp_path, raw):
    np.save(tmp_path / "ratio.npy", np.exp(-raw()["truth"]))
    given = {"axes": "angle,row,column", "angles": raw()["angles"], "quantity": "transmission"}
    with open_scan(tmp_path / "ratio.npy", **given) as scan:
        out = scan.line_integrals(0, center=30.0, bin=2, steps=[MinusLog(floor=0.9)])
    assert out.data.max() <= -np.log(0.9) + 1e-6
    assert [sentence.split()[0] for sentence in out.report] == ["centre", "took", "averaged"]


def test_truncation_is_said_once_and_in_info(tmp_path, raw, sinogram):
    angles = raw()["angles"]
    np.save(tmp_path / "wide.npy", np.stack([sinogram(angles, 64, 31.5, scale=3)] * 2, axis=1))
    with open_scan(tmp_path / "wide.npy", axes="angle,row,column", angles=angles) as scan:
        assert "wider than the detector" in scan.info()["warnings"][0]
        with pytest.warns(InvgenWarning, match="wider than the detector"):
            out = scan.line_integrals(0, center=31.5)
        assert "wider than the detector" in out.report[-1]
        scan.line_integrals(1, center=31.5)  # would raise: warnings are errors here


@pytest.mark.parametrize("array", [np.ones(40), np.ones((2, 40, 3, 64)), np.zeros((0, 3, 64)), 1.0, "text"])
def test_projections_that_are_no_stack_of_frames_are_refused_by_their_shape(data_exchange, array):
    with pytest.raises(DataError, match="should be a stack of frames"):
        open_scan(data_exchange(data=array))


def test_an_array_of_several_energies_is_read_one_at_a_time(tmp_path):
    """Each energy is the scan that it is alone; which one is stated, never guessed."""
    counts = np.random.default_rng(0).random((4, 20, 3, 16)).astype(np.float32)
    angles = np.linspace(0, np.pi, 20, endpoint=False)
    np.save(tmp_path / "all.npy", counts)
    np.save(tmp_path / "last.npy", counts.transpose(1, 2, 3, 0))
    with h5py.File(tmp_path / "all.h5", "w") as file:
        file.create_dataset("data", data=counts, chunks=(1, 20, 2, 16))
    scipy.io.savemat(tmp_path / "all.mat", {"data": counts})
    first = {"axes": "energy,angle,row,column", "angles": angles}
    for name, given in {
        "all.npy": first,
        "last.npy": {"axes": "angle,row,column,energy", "angles": angles},
        "all.h5": {**first, "dataset": "data"},
        "all.mat": {**first, "dataset": "data"},
    }.items():
        for energy in (0, 2, -1):
            with open_scan(tmp_path / name, index=energy, **given) as scan:
                assert (scan.views, scan.slices, scan.columns) == (20, 3, 16)
                assert np.array_equal(scan.projections(1).data, counts[energy, :, 1])
        with pytest.raises(ParameterError, match=r"energy has 4 entries.*--index"):
            open_scan(tmp_path / name, **given)
        with pytest.raises(ParameterError, match="no entry 4 of the axis energy"):
            open_scan(tmp_path / name, index=4, **given)
    np.save(tmp_path / "one.npy", counts[0])
    with pytest.raises(ParameterError, match="leave it out"):
        open_scan(tmp_path / "one.npy", axes="angle,row,column", angles=angles, index=0)
    np.save(tmp_path / "five.npy", np.stack([counts, counts + 1]))
    with open_scan(
        tmp_path / "five.npy", axes="time,energy,angle,row,column", angles=angles, index=(1, 2)
    ) as scan:
        assert np.array_equal(scan.projections(0).data, counts[2, :, 0] + 1)

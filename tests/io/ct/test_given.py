"""Flats, darks and angles that the caller names: of the scan's file or of others, in whatever shape fits."""

import h5py
import numpy as np
import pytest
import scipy.io
import tifffile
import torch

from invgen.core.errors import DataError, FileError
from invgen.io import open_scan


@pytest.fixture
def scan(data_exchange):
    """A scan without flats and darks."""
    return data_exchange("scan.h5", data_white=None, data_dark=None, theta=None)


@pytest.fixture
def beside(tmp_path, raw):
    """Write flats, darks or angles by themselves, in a kind of file; returns how the caller names them."""

    def write(what, kind):
        values = np.rad2deg(raw()["angles"]) if what == "angles" else raw()[what]
        path = tmp_path / f"{what}.{kind.split(' ')[0]}"
        if kind == "npy":
            np.save(path, values)
        elif kind == "mat":
            scipy.io.savemat(path, {"values": values})
        elif kind == "tif":
            tifffile.imwrite(path, values, photometric="minisblack")
        elif kind == "folder":
            path.mkdir()
            for i, frame in enumerate(values):
                tifffile.imwrite(path / f"f{i}.tif", frame)
        elif kind == "pattern":
            for i, frame in enumerate(values):
                tifffile.imwrite(tmp_path / f"{what}{i}.tif", frame)
            return str(tmp_path / f"{what}*.tif")
        elif kind == "txt":
            lines = "\n".join(f"{value!r}  # number {i}" for i, value in enumerate(values.tolist()))
            path.write_text(f"% degrees\n{lines}\n")
        else:
            with h5py.File(path, "w") as file:
                if kind == "h5 exchange":
                    name = {"flats": "data_white", "darks": "data_dark", "angles": "theta"}[what]
                    file[f"exchange/{name}"] = values
                elif kind == "h5 keyed":
                    group = file.create_group("entry/instrument/detector")
                    if what == "angles":
                        file["entry/sample/rotation_angle"] = values
                    else:
                        zeros = np.zeros((1, *values.shape[1:]), values.dtype)
                        group["data"] = np.concatenate([zeros, values])
                        group["image_key"] = np.r_[0, np.full(len(values), {"flats": 1, "darks": 2}[what])]
                else:
                    file["some/where"], file["scale"] = values, np.zeros(2)
            return f"{path}:some/where" if kind == "h5 named" else str(path)
        return str(path)

    return write


FRAMES = ["npy", "mat", "tif", "folder", "pattern", "h5 exchange", "h5 keyed", "h5 only", "h5 named"]


@pytest.mark.parametrize("kind", FRAMES)
def test_flats_and_darks_of_other_files_are_those_of_the_scan(scan, data_exchange, beside, kind):
    flats, darks = beside("flats", kind), beside("darks", kind)
    angles = beside("angles", "txt")
    with (
        open_scan(data_exchange("whole.h5")) as whole,
        open_scan(scan, flats=flats, darks=darks, angles_dataset=angles, angle_unit="deg") as found,
    ):
        first, second = whole.projections(1), found.projections(1)
        assert torch.equal(first.flats, second.flats)
        assert torch.equal(first.darks, second.darks)
        assert np.allclose(whole.angles, found.angles, rtol=0, atol=1e-15)
        named = {path.name for path in found.files}
        assert {"scan.h5", "angles.txt"} < named
        assert len(named) >= 4


@pytest.mark.parametrize("kind", ["npy", "mat", "txt", "h5 exchange", "h5 keyed", "h5 only", "h5 named"])
def test_angles_of_other_files(scan, raw, beside, kind):
    with open_scan(scan, angles_dataset=beside("angles", kind), angle_unit="deg") as found:
        assert np.allclose(found.angles, raw()["angles"], rtol=0, atol=1e-15)


def test_the_array_of_the_file_is_meant_before_a_file_of_that_name(data_exchange, tmp_path, monkeypatch, raw):
    scan = data_exchange(data_white=None)
    with h5py.File(scan, "a") as file:
        file["white"] = raw()["flats"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "white").write_text("not this")
    with open_scan(scan, flats="white") as found:
        assert np.array_equal(found.projections(0).flats, raw()["flats"][:, 0])
        assert tmp_path / "white" not in found.files


def test_one_frame_one_row_and_one_slice(data_exchange, raw, tmp_path):
    """Whatever fits the detector in one way; anything else is refused."""
    written = raw()
    frame = written["flats"][0]
    for axes in ((0, 1, 2), (1, 0, 2), (2, 1, 0)):
        order = ",".join(("angle", "row", "column")[axis] for axis in axes)
        np.save(tmp_path / "data.npy", written["data"].transpose(axes))
        one = frame if axes.index(1) < axes.index(2) else frame.T
        every = written["flats"].transpose(axes)
        for flats in (one, every, written["flats"]):
            np.save(tmp_path / "flats.npy", flats)
            for given in (flats, str(tmp_path / "flats.npy")):
                with open_scan(
                    tmp_path / "data.npy", axes=order, angles=written["angles"], flats=given
                ) as scan:
                    assert np.array_equal(scan.projections(2).flats[0], frame[2])
    np.save(tmp_path / "slice.npy", written["data"][:, 1])
    for flats in (frame[1], frame[1:2], written["flats"][:, 1], written["flats"][:, 1:2]):
        with open_scan(
            tmp_path / "slice.npy", axes="angle,column", angles=written["angles"], flats=flats
        ) as scan:
            assert np.array_equal(scan.projections(0).flats[0], frame[1])
    np.save(tmp_path / "data.npy", written["data"])
    for wrong in (frame[:, :5], frame[1], frame.T, written["flats"][..., :9], np.zeros((2, 2, 3, 64))):
        with pytest.raises(DataError, match="3 rows and 64 columns"):
            open_scan(tmp_path / "data.npy", axes="angle,row,column", angles=written["angles"], flats=wrong)


@pytest.mark.parametrize("shape", ["frame", "stack"])
def test_a_single_flat_of_data_exchange(data_exchange, raw, shape):
    flat, dark = raw()["flats"][0], raw()["darks"][0]
    if shape == "stack":
        flat, dark = flat[None], dark[None]
    with open_scan(data_exchange(data_white=flat, data_dark=dark)) as scan:
        found = scan.projections(2)
        assert np.array_equal(found.flats, raw()["flats"][:1, 2])
        assert np.array_equal(found.darks, raw()["darks"][:1, 2])


def test_of_several_arrays_none_is_guessed(scan, tmp_path, raw):
    with h5py.File(tmp_path / "two.h5", "w") as file:
        file["first"], file["second"] = raw()["flats"], raw()["flats"]
        file["a"], file["b"] = np.zeros(40), np.zeros(40)
    with pytest.raises(FileError, match=r"2 arrays with the 3 rows and 64 columns.*first \(5, 3, 64\)"):
        open_scan(scan, flats=str(tmp_path / "two.h5"))
    with pytest.raises(FileError, match=r"2 lists of 40 numbers.*--angles"):
        open_scan(scan, angles_dataset=str(tmp_path / "two.h5"))
    with pytest.raises(FileError, match=r"no dataset 'white'.*no such file.*exchange/data"):
        open_scan(scan, flats="white")
    with pytest.raises(FileError, match="has no dataset 'third'"):
        open_scan(scan, flats=f"{tmp_path}/two.h5:third")


def test_raw_counts_without_flats_are_called_that(scan):
    with open_scan(scan) as found:
        facts = found.info()
    assert facts["stored"] == "counts"
    assert {"flats", "darks", "angles"} <= set(facts["missing"])


def test_only_frames_that_are_used_need_angles(nxtomo, raw, tmp_path):
    plain, path = nxtomo("plain.nxs"), nxtomo()
    with h5py.File(path, "a") as file:
        angles, key = file["entry/sample/rotation_angle"], file["entry/instrument/detector/image_key"]
        angles[:] = np.where(key[:] == 0, angles[:], np.nan)
        every = angles[:]
    np.save(tmp_path / "all.npy", every)
    np.save(tmp_path / "used.npy", np.rad2deg(raw()["angles"]))
    with open_scan(plain) as first:
        for given in ({}, *({"angles_dataset": str(tmp_path / name)} for name in ("all.npy", "used.npy"))):
            with open_scan(path, **given, angle_unit="deg") as second:
                assert np.allclose(first.angles, second.angles)
    with h5py.File(path, "a") as file:
        file["entry/sample/rotation_angle"][-3] = np.nan
    with pytest.raises(DataError, match="1 of the 40 angles"):
        open_scan(path)


def test_angles_as_start_and_step(data_exchange, raw):
    """As APS beamlines write them, where theta is not there; and two numbers in its place."""
    path = data_exchange("steps.h5", theta=None)
    with h5py.File(path, "a") as file:
        group = file.create_group("process/acquisition/rotation")
        for name, value in (("rotation_start", 10.0), ("rotation_step", 4.5), ("num_angles", 40)):
            group[name] = np.array([value])
    with open_scan(path) as scan:
        assert np.allclose(scan.angles, np.deg2rad(10 + 4.5 * np.arange(40)))
    with h5py.File(path, "a") as file:
        file["process/acquisition/rotation/num_angles"][0] = 41
    with pytest.raises(DataError, match=r"states 41 angles.*40 projections"):
        open_scan(path)
    with open_scan(data_exchange("two.h5", theta=np.array([10.0, 4.5]))) as scan:
        assert np.allclose(scan.angles, np.deg2rad(10 + 4.5 * np.arange(40)))
        assert any("start and the step" in note for note in scan.notes)
    with pytest.raises(DataError, match="2 angles for 40 projections"):
        open_scan(data_exchange("ends.h5", theta=np.array([0.0, 180.0])))

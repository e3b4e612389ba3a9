"""Links of HDF5 files: followed where they may lead, named where they may not, and never without end."""

import os
import shutil
import time

import h5py
import numpy as np
import pytest
import torch

from invgen.core.errors import FileError
from invgen.io import open_scan
from invgen.io.hdf5 import Dataset, Group, find_object, get_dataset, open_hdf5, walk

KINDS = ["soft", "chain", "external", "virtual", "virtual of virtual", "series"]


def link(path, name, kind, raw):
    """Replace an array of a file by a link to where its values are now; `raw` is the file of others."""
    with h5py.File(path, "a") as file:
        values = file[name][()]
        attributes = dict(file[name].attrs)
        del file[name]
        if kind == "soft":
            file["behind/values"] = values
            file[name] = h5py.SoftLink("/behind/values")
            kept = file["behind/values"]
        elif kind == "chain":  # a soft link through a linked group to an external link, and on
            file["behind/values"] = values
            file["other"] = h5py.SoftLink("/behind")
            file["again"] = h5py.SoftLink("other/../other/values".replace("other/../", ""))
            file[name] = h5py.SoftLink("/again")
            kept = file["behind/values"]
        else:
            with h5py.File(raw, "a") as other:
                other[f"kept/{name}"] = values
                other[f"kept/{name}"].attrs.update(attributes)
            relative = os.path.relpath(raw, path.parent)
            if kind == "external":
                file[name] = h5py.ExternalLink(relative, f"/kept/{name}")
                return
            layout = h5py.VirtualLayout(values.shape, values.dtype)
            if kind == "virtual":
                layout[:] = h5py.VirtualSource(relative, f"kept/{name}", values.shape)
            elif kind == "virtual of virtual":
                with h5py.File(raw, "a") as other:
                    inner = h5py.VirtualLayout(values.shape, values.dtype)
                    inner[:] = h5py.VirtualSource(".", f"kept/{name}", values.shape)
                    other.create_virtual_dataset(f"twice/{name}", inner)
                layout[:] = h5py.VirtualSource(relative, f"twice/{name}", values.shape)
            else:
                series(file, name, values, raw)
                kept = file[name]
            if kind != "series":
                kept = file.create_virtual_dataset(name, layout)
        kept.attrs.update(attributes)


def series(file, name, values, raw):
    """A virtual dataset of numbered files, as many as there are: ``%b`` in their names."""
    block, shape = 2, values.shape
    for i in range(len(values) // block):
        with h5py.File(raw.with_name(f"{raw.stem}_{i}.h5"), "a") as other:
            other[f"kept/{name}"] = values[i * block : (i + 1) * block]
    folder = os.path.relpath(raw.parent, os.path.dirname(file.filename))
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    whole = h5py.h5s.create_simple(shape, (h5py.h5s.UNLIMITED, *shape[1:]))
    source = h5py.h5s.create_simple((block, *shape[1:]))
    rest = (1,) * (len(shape) - 1)
    whole.select_hyperslab(
        (0,) * len(shape), (h5py.h5s.UNLIMITED, *rest), (block, *rest), (block, *shape[1:])
    )
    plist.set_virtual(whole, f"{folder}/{raw.stem}_%b.h5".encode(), f"kept/{name}".encode(), source)
    group = file.require_group(os.path.dirname(name))
    h5py.h5d.create(group.id, os.path.basename(name).encode(), h5py.h5t.py_create(values.dtype), whole, plist)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["exchange/data", "exchange/data_white", "exchange/theta"])
def test_a_scan_behind_links_is_the_scan(data_exchange, tmp_path, kind, name):
    """In the folder of the scan and in those below it."""
    plain, linked = data_exchange("plain.h5"), data_exchange("linked.h5")
    (tmp_path / "raw").mkdir()
    if name == "exchange/data_white" and kind == "series":
        pytest.skip("five flats are no pairs")
    link(linked, name, kind, tmp_path / "raw" / "frames.h5")
    with open_scan(plain) as first, open_scan(linked) as second:
        one, other = first.projections(1), second.projections(1)
        assert torch.equal(one.data, other.data)
        assert torch.equal(one.flats, other.flats)
        assert np.array_equal(first.angles, second.angles)
        read = {path.name for path in second.files}
        assert "linked.h5" in read
        assert ("frames.h5" in read) == (kind in KINDS[2:5])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    ["entry/sample/rotation_angle", "entry/instrument/detector/image_key", "entry/instrument/detector/data"],
)
def test_nxtomo_behind_links_is_the_scan(nxtomo, tmp_path, kind, name):
    plain, linked = nxtomo("plain.nxs"), nxtomo("linked.nxs")
    if kind == "series":
        pytest.skip("as of Data Exchange; 49 frames are no pairs")
    link(linked, name, kind, tmp_path / "frames.h5")
    with open_scan(plain) as first, open_scan(linked) as second:
        assert torch.equal(first.projections(1).data, second.projections(1).data)
        assert np.array_equal(first.angles, second.angles)


def test_groups_behind_soft_links_are_searched_and_each_object_once(nxtomo):
    """The detector and the sample are linked from elsewhere, as Diamond's files have it."""
    path = nxtomo()
    with h5py.File(path, "a") as file:
        for group in ("instrument", "sample"):
            file.move(f"entry/{group}", f"elsewhere/{group}")
            file[f"entry/{group}"] = h5py.SoftLink(f"/elsewhere/{group}")
        file["entry/again"] = h5py.SoftLink("/entry/instrument")
        file["entry/lost"] = h5py.SoftLink("/entry/nowhere")
    with open_scan(path) as scan:
        assert scan.has_angles
        assert (scan.views, scan.contents.pixel_size) == (40, 6.5)
    with open_hdf5(path) as file:
        datasets = [each.name for each in walk(file) if isinstance(each, Dataset)]
        assert len(datasets) == len(set(datasets)) == 5
        assert "/elsewhere/instrument/detector/data" in datasets  # its own name, not that of a link


@pytest.mark.parametrize("kind", ["external", "virtual", "virtual of virtual", "series"])
def test_links_out_of_the_folder_are_followed_where_that_is_allowed(data_exchange, tmp_path, kind):
    away = tmp_path / "away"
    away.mkdir()
    plain, scan = data_exchange("plain.h5"), data_exchange("scan.h5")
    (tmp_path / "folder").mkdir()
    linked = tmp_path / "folder" / "scan.h5"
    shutil.move(scan, linked)
    link(linked, "exchange/data", kind, away / "frames.h5")
    with pytest.raises(FileError, match=r"away.frames.*h5'.*--follow-links"):
        open_scan(linked)
    with open_scan(plain) as first, open_scan(linked, follow_links=True) as second:
        assert torch.equal(first.projections(0).data, second.projections(0).data)
        assert any(path.parent == away for path in second.files)


def test_a_link_of_the_file_system_out_of_the_folder_is_no_way_out(data_exchange, tmp_path):
    away, home = tmp_path / "away", tmp_path / "home"
    away.mkdir(), home.mkdir()
    linked = home / "scan.h5"
    shutil.move(data_exchange(), linked)
    link(linked, "exchange/data", "external", home / "frames.h5")
    shutil.move(home / "frames.h5", away / "frames.h5")
    (home / "frames.h5").symlink_to(away / "frames.h5")
    with pytest.raises(FileError, match=r"away/frames\.h5.*--follow-links"):
        open_scan(linked)
    (tmp_path / "by_name.h5").symlink_to(linked)  # a scan lies where its file is
    (home / "frames.h5").unlink()
    shutil.move(away / "frames.h5", home / "frames.h5")
    with open_scan(tmp_path / "by_name.h5") as scan:
        scan.projections(0)


@pytest.mark.parametrize("kind", ["external", "virtual", "virtual of virtual"])
def test_what_is_missing_is_named(data_exchange, tmp_path, kind):
    """libhdf5 reads fill values of a virtual dataset without its sources."""
    scan = data_exchange()
    raw = tmp_path / "frames.h5"
    link(scan, "exchange/data", kind, raw)
    with h5py.File(raw, "a") as file:
        del file["kept/exchange/data"]
    with pytest.raises(FileError, match=r"kept/exchange/data.*missing"):
        open_scan(scan)
    raw.unlink()
    with pytest.raises(FileError, match=r"frames\.h5.*missing"):
        open_scan(scan)


def test_a_virtual_dataset_whose_source_was_cut_short(data_exchange, tmp_path):
    scan, raw = data_exchange(), tmp_path / "frames.h5"
    link(scan, "exchange/data", "virtual", raw)
    with h5py.File(raw, "a") as file:
        short = file["kept/exchange/data"][:30]
        del file["kept/exchange/data"]
        file["kept/exchange/data"] = short
    with pytest.raises(FileError, match="a part is missing"):
        open_scan(scan)


def test_a_series_of_sources_has_no_gap(data_exchange, tmp_path):
    """Without one of the files libhdf5 ends the series before it."""
    scan = data_exchange()
    link(scan, "exchange/data", "series", tmp_path / "frames.h5")
    (tmp_path / "frames_7.h5").unlink()
    with pytest.raises(FileError, match=r"frames_7\.h5.*missing"):
        open_scan(scan)


def test_a_soft_link_to_nothing_is_named(data_exchange):
    scan = data_exchange(data=None)
    with h5py.File(scan, "a") as file:
        file["exchange/data"] = h5py.SoftLink("/raw/frames")
    with pytest.raises(FileError, match="'data' leads to '/raw/frames', which is missing"):
        open_scan(scan)


def test_virtual_datasets_and_external_links_that_lead_to_themselves(data_exchange, tmp_path):
    scan = data_exchange(data=None)
    with h5py.File(scan, "a") as file:
        layout = h5py.VirtualLayout((40, 3, 64), "u2")
        layout[:] = h5py.VirtualSource(".", "exchange/data", (40, 3, 64))
        file.create_virtual_dataset("exchange/data", layout)
    with pytest.raises(FileError, match="leads to itself"):
        open_scan(scan)
    first, second = tmp_path / "first.h5", tmp_path / "second.h5"
    for path, other in ((first, second), (second, first)):
        with h5py.File(path, "w") as file:
            file["exchange/data"] = h5py.ExternalLink(other.name, "/exchange/data")
    with pytest.raises(FileError, match="leads to itself"):
        open_scan(first)


def folded(path):
    """200 soft links through each of the next, 15 deep: 24 kB that take 200^15 steps to follow."""
    with h5py.File(path, "w") as file:
        file["exchange/theta"] = np.zeros(4)
        for level in range(15):
            file[f"l{level}"] = h5py.SoftLink("/" + "/".join([f"l{level + 1}"] * 200))
        file["l15"] = h5py.SoftLink("/")
        file["exchange/data"] = h5py.SoftLink("/l0")


def nested(path, depth=300):
    """Entries, each within the one before, none of which is a scan."""
    with h5py.File(path, "w") as file:
        group = file
        for _ in range(depth):
            group = group.create_group("e")
            group.attrs["NX_class"] = "NXentry"
            group["image"] = np.zeros(2)


def deeply_nested(path):
    nested(path, 1000)


def many(path):
    """200,000 names of one group."""
    with h5py.File(path, "w", libver="latest") as file:
        group = file.create_group("g")
        for i in range(200_000):
            group.id.links.create_hard(f"{i}".encode(), file.id, b"g")


@pytest.mark.parametrize(
    "write",
    [folded, nested, *(pytest.param(each, marks=pytest.mark.slow) for each in (deeply_nested, many))],
    ids=lambda each: each.__name__,
)
def test_work_is_bounded_by_steps(tmp_path, write):
    """However few bytes say how much is to be followed; in a second or two, whatever the machine is at."""
    path = tmp_path / "file.h5"
    write(path)
    start = time.process_time()
    with pytest.raises(FileError, match=r"100,000 steps|neither Data Exchange"):
        open_scan(path)
    assert time.process_time() - start < 10


def test_a_budget_is_one_of_a_file_and_is_said_when_it_is_spent(tmp_path):
    path = tmp_path / "file.h5"
    folded(path)
    with open_hdf5(path) as file:
        with pytest.raises(FileError, match="100,000 steps"):
            find_object(file, "l0")
        with pytest.raises(FileError, match="100,000 steps"):
            get_dataset(file, "exchange/theta")
    with open_hdf5(path) as file:
        assert np.array_equal(get_dataset(file, "exchange/theta")[()], np.zeros(4))


def test_names_that_are_no_text_are_shown_and_found(tmp_path):
    path = tmp_path / "names.h5"
    with h5py.File(path, "w") as file:
        file.id.links.create_soft(b"bell\x07", b"/a")
        h5py.h5g.create(file.id, b"\xff\xfe")
        file["a"] = np.arange(3)
    with open_hdf5(path) as file:
        names = [each.name for each in walk(file)]
        assert names == ["/a", "/\\udcff\\udcfe"]
        assert isinstance(find_object(file, "bell\x07"), Dataset)
        assert isinstance(find_object(file, b"\xff\xfe".decode("utf-8", "surrogateescape")), Group)

"""Zarr: what is written is what zarr itself, and invgen info and view, read."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.errors import FileError, ParameterError
from invgen.io.formats.volume import Volume, provenance
from invgen.io.formats.zarr import ZarrWriter
from invgen.io.placement import centered

zarr = pytest.importorskip("zarr")
SHAPE = (5, 7)


def volume(slices, frames=None, complex=False):
    place = centered(SHAPE, 0.5, [2.0 * i for i in range(slices)], 2.0, "mm", stated=True)
    origin = provenance("scan.h5", {"solver": "fbp", "rows": list(range(slices))})
    return Volume(slices, SHAPE, place, "CT", complex, origin, frames=frames)


def write(path, images, **options):
    with ZarrWriter(path, volume(**options)) as writer:
        for i, image in enumerate(images):
            writer.write(i, image, (f"slice {i}", "as it was"))


def images(count, dtype=torch.float32):
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=dtype)


def test_zarr_reads_what_was_written(tmp_path):
    written = images(3)
    write(tmp_path / "image.zarr", written, slices=3)
    group = zarr.open_group(tmp_path / "image.zarr", mode="r")
    assert np.array_equal(group["0"][:], written.numpy())
    assert group["0"].chunks == (1, *SHAPE)
    (scale,) = group.attrs["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert scale == {"type": "scale", "scale": [2.0, 0.5, 0.5]}
    assert [axis["unit"] for axis in group.attrs["ome"]["multiscales"][0]["axes"]] == ["millimeter"] * 3
    with ig.io.read_reconstruction(tmp_path / "image.zarr") as file:
        assert np.array_equal(file.volume[1], written[1].numpy())
        assert (file.pixel_size, file.unit, file.settings["solver"]) == (0.5, "mm", "fbp")
        assert file.report(2) == ("slice 2", "as it was")


def test_frames_and_complex_images(tmp_path):
    written = images(6, torch.complex64)
    write(tmp_path / "image.zarr", written, slices=2, frames=3, complex=True)
    with ig.io.read_reconstruction(tmp_path / "image.zarr", frame=1) as file:
        assert file.is_complex
        assert (file.frames, len(file.volume)) == (3, 2)
        assert np.array_equal(file.volume[0], written[2].numpy())
        assert file.report(1)[0] == "slice 3"
    with pytest.raises(ParameterError, match="has 3 frames, 0 to 2"):
        ig.io.read_reconstruction(tmp_path / "image.zarr", frame=3)


def test_nothing_is_left_of_a_folder_that_is_not_complete(tmp_path):
    with pytest.raises(FileError, match="1 of 3 slices are missing"):
        write(tmp_path / "image.zarr", images(2), slices=3)
    assert not list(tmp_path.iterdir())
    (tmp_path / "image.zarr").mkdir()
    with pytest.raises(FileError, match="exists"):
        write(tmp_path / "image.zarr", images(3), slices=3)


@pytest.mark.parametrize("damage", ["truncated", "absurd", "type", "reports", "missing"])
def test_damaged_folders_are_refused_in_a_line(tmp_path, damage):
    path = tmp_path / "image.zarr"
    write(path, images(2), slices=2)
    about, array = path / "zarr.json", path / "0" / "zarr.json"
    if damage == "truncated":
        about.write_text(about.read_text()[:100])
    elif damage == "missing":
        about.unlink()
    elif damage == "reports":
        found = json.loads(about.read_text())
        found["attributes"]["report"] = ["one"]
        about.write_text(json.dumps(found))
    else:
        found = json.loads(array.read_text())
        found |= {"shape": [2**40, *SHAPE]} if damage == "absurd" else {"data_type": "float64"}
        array.write_text(json.dumps(found))
    with pytest.raises(FileError) as error:
        ig.io.read_reconstruction(path)
    assert "\n" not in str(error.value)


def test_a_chunk_that_is_cut_short_is_an_error(tmp_path):
    path = tmp_path / "image.zarr"
    write(path, images(2), slices=2)
    (chunk,) = [each for each in (path / "0").rglob("0") if each.is_file() and each.parent.parent.name == "1"]
    chunk.write_bytes(chunk.read_bytes()[:10])
    with ig.io.read_reconstruction(path) as file, pytest.raises(FileError, match="damaged"):
        file.volume[1]


def test_the_command_writes_and_shows_it(tmp_path):
    from invgen.pipeline import Reading
    from invgen.pipeline.description import describe
    from invgen.pipeline.panels import draw_slices
    from invgen.simulate import simulate_ct

    scan, output = tmp_path / "scan.h5", tmp_path / "image.zarr"
    simulate_ct(scan, "shepp-logan", size=24, views=20, slices=2)
    found = ig.reconstruct(scan, solver="fbp", center=11.5)
    ig.reconstruct(scan, output, solver="fbp", center=11.5)
    with ig.io.read_reconstruction(output) as file:
        assert np.array_equal(file.volume[:], found.images.numpy())
    assert describe(output, Reading()).facts["slices"] == 2
    draw_slices(output, tmp_path / "image.png")
    assert (tmp_path / "image.png").stat().st_size

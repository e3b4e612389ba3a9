"""Frames: each is what it would be as a scan of its own, with what was chosen on the middle one."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.errors import CapabilityError, FileError, ParameterError
from invgen.pipeline import mri

from .cluster_cases import threads

SIZE, VIEWS, ROWS, FRAMES = 24, 30, 2, 3
AXES = {"dataset": "data", "axes": "time,angle,row,column", "quantity": "absorption", "angle_unit": "deg"}


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """Three frames of a disc that becomes denser, in one array, off the middle of the detector."""
    t = np.arange(VIEWS)[:, None] * np.pi / VIEWS
    s = np.arange(SIZE) - (SIZE - 1) / 2 - 1.5 - (2 * np.cos(t) + 3 * np.sin(t))
    chord = 2 * np.sqrt(np.clip(4.0**2 - s**2, 0, None))
    density = 0.1 * (1 + np.arange(FRAMES))[:, None, None, None] * np.array([1.0, 1.5])[:, None]
    chord = chord[:, None]
    path = tmp_path_factory.mktemp("frames") / "scan.h5"
    with h5py.File(path, "w") as file:
        file["data"] = np.broadcast_to(density * chord, (FRAMES, VIEWS, ROWS, SIZE)).astype("f4")
        file["theta"] = np.arange(VIEWS) * 180 / VIEWS
    return path


def reconstruct(path, *output, **options):
    return ig.reconstruct(path, *output, **{**AXES, "angles": "theta", "size": SIZE, **options})


def test_frames_are_what_they_are_alone(scan):
    whole = reconstruct(scan, solver="fbp")
    assert whole.images.shape == (FRAMES, ROWS, SIZE, SIZE)
    assert whole.frames == range(FRAMES)
    assert whole.recipe.center == pytest.approx((SIZE - 1) / 2 + 1.5, abs=0.1)
    for frame in range(FRAMES):
        alone = reconstruct(scan, solver="fbp", index=frame, center=whole.recipe.center)
        assert torch.equal(whole.images[frame], alone.images)
        # the disc's density, around its middle
        assert float(alone.images[1, 7:10, 13:15].mean()) == pytest.approx(0.15 * (1 + frame), rel=0.05)


def test_some_frames_with_what_the_middle_one_chose(scan):
    some = reconstruct(scan, solver="tv", iterations=5, frames=slice(0, 3, 2))
    assert some.frames == range(0, 3, 2)
    middle = reconstruct(scan, solver="tv", iterations=5, index=2)
    assert some.recipe.weight == middle.recipe.weight
    assert torch.equal(some.images[1], middle.images)


@pytest.mark.parametrize("suffix", [".h5", ".npy"])
def test_files_of_frames(scan, tmp_path, suffix):
    whole = reconstruct(scan, solver="fbp")
    output = tmp_path / f"image{suffix}"
    reconstruct(scan, output, solver="fbp")
    if suffix == ".npy":
        found = np.load(output)
    else:
        with h5py.File(output) as file:
            found = file["reconstruction"][:]
            assert file["reconstruction"].chunks == (1, 1, SIZE, SIZE)
            assert len(file["report"]) == FRAMES * ROWS
        with ig.io.read_reconstruction(output, frame=2) as frame:
            assert frame.frames == FRAMES
            assert frame.volume.shape == (ROWS, SIZE, SIZE)
            assert np.array_equal(frame.volume[1], found[2, 1])
        with pytest.raises(ParameterError, match="has 3 frames, 0 to 2"):
            ig.io.read_reconstruction(output, frame=3)
    assert np.array_equal(found, whole.images.numpy())


def test_an_array_of_numbers_has_frames_too(scan, tmp_path):
    path = tmp_path / "scan.npy"
    with h5py.File(scan) as file:
        np.save(path, file["data"][:])
    angles = tuple(np.arange(VIEWS) * np.pi / VIEWS)
    stated = {key: AXES[key] for key in ("axes", "quantity")}
    found = ig.reconstruct(path, angles=angles, solver="fbp", center=13.0, size=SIZE, **stated)
    expected = reconstruct(scan, solver="fbp", center=13.0)
    torch.testing.assert_close(found.images, expected.images)


def test_repetitions_of_mri_are_frames(tmp_path):
    k = np.random.default_rng(0).standard_normal((2, 3, 16, 16, 2)).astype("f4").view("c8")[..., 0]
    np.save(tmp_path / "kspace.npy", k)
    given = {"axes": "repetition,coil,y,x", "solver": "rss"}
    whole = ig.reconstruct(tmp_path / "kspace.npy", frames=slice(None), **given)
    assert whole.images.shape == (2, 1, 16, 16)
    for repetition in range(2):
        alone = ig.reconstruct(tmp_path / "kspace.npy", repetition=repetition, **given)
        assert torch.equal(whole.images[repetition], alone.images)


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """Two slices of an object in four coils, at three times at which it has other values, with noise."""
    rows, columns = np.meshgrid(*2 * [np.linspace(-1, 1, 24)], indexing="ij")
    disc = (rows**2 + columns**2 < 0.6).astype("f4")
    places = ((-1, -1), (-1, 1), (1, -1), (1, 1))
    maps = np.stack([np.exp(-((rows - a) ** 2) - (columns - b) ** 2 + 0.5j * a * columns) for a, b in places])
    random = np.random.default_rng(0)
    times = (1 + np.arange(3))[:, None, None, None, None] * (1 + 0.2 * columns) * disc
    images = np.broadcast_to(times, (3, 2, 1, 24, 24)) * maps
    k = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(images, axes=(-2, -1)), norm="ortho"), axes=(-2, -1))
    k = k + 0.01 * random.standard_normal((*k.shape, 2)).view("c16")[..., 0]
    path = tmp_path_factory.mktemp("moving") / "kspace.npy"
    np.save(path, k.astype("c8"))
    return path


@pytest.mark.parametrize("axis", ["repetition", "time"])
def test_coil_maps_are_found_once_and_belong_to_all_frames(moving, axis, monkeypatch):
    """Counted; the image of a frame is the one of the middle frame's maps, here and on workers."""
    pytest.importorskip("distributed")
    found, plain = [], mri.Receiver.of
    monkeypatch.setattr(mri.Receiver, "of", lambda k, **how: found.append(k) or plain(k, **how))
    given = {"solver": "cg-sense", "iterations": 5, "whiten": False, "compress": 3}
    whole = ig.reconstruct(moving, axes=f"{axis},slice,coil,y,x", frames=slice(None), **given)
    assert len(found) == 2
    monkeypatch.undo()
    with ig.io.open_scan(moving, axes="repetition,slice,coil,y,x") as scan:
        for frame, images in enumerate(whole.images):
            for slice_, image in enumerate(images):
                receiver = mri.Receiver.of(scan.kspace(slice_, 1), coils="espirit", compress=3, whiten=False)
                problem = receiver.problem(scan.kspace(slice_, frame))
                expected = ig.solvers.CG(weight=0.0, iterations=5)(problem).x
                torch.testing.assert_close(image, expected)
    with threads() as client:
        elsewhere = ig.reconstruct(
            moving, axes=f"{axis},slice,coil,y,x", frames=slice(None), executor=client, **given
        )
    assert torch.equal(elsewhere.images, whole.images)
    assert torch.equal(whole.images[2, :, :4], roi_of_last(moving, axis, given))


def roi_of_last(path, axis, given):
    """The first rows of the last frame, each slice of which is a job that knows where the others are."""
    rows = {"roi": (slice(0, 4), slice(0, 24))}
    with threads() as client:
        found = ig.reconstruct(
            path, axes=f"{axis},slice,coil,y,x", frames=slice(None), executor=client, **given, **rows
        )
    return found.images[2]


def test_what_has_no_place_among_frames_is_refused(scan, tmp_path):
    with pytest.raises(FileError, match=r"several frames are written to a \.h5, \.npy or \.zarr file"):
        reconstruct(scan, tmp_path / "image.tif", solver="fbp")
    with pytest.raises(ParameterError, match="--frames is of arrays that hold several scans"):
        reconstruct(scan, solver="fbp", index=0, frames=slice(0, 2))
    with pytest.raises(ParameterError, match="frames"):
        reconstruct(scan, solver="fbp", frames=slice(3, 5))
    assert not list(tmp_path.iterdir())


def test_samples_are_of_single_frames(scan, prior):
    with pytest.raises(CapabilityError, match="choose a frame by --index"):
        reconstruct(scan, solver="dds", prior=prior, samples=2, iterations=2)


def test_frames_are_the_same_on_a_cluster(scan):
    pytest.importorskip("distributed")
    with threads() as client:
        found = reconstruct(scan, solver="fbp", executor=client)
    assert torch.equal(found.images, reconstruct(scan, solver="fbp").images)


def test_a_frame_is_described_and_drawn(scan, tmp_path):
    from invgen.pipeline import Reading
    from invgen.pipeline.description import describe
    from invgen.pipeline.panels import draw_slices

    output = tmp_path / "image.h5"
    reconstruct(scan, output, solver="fbp")
    assert describe(output, Reading()).facts["frames"] == FRAMES
    for frame in range(2):
        draw_slices(output, tmp_path / f"{frame}.png", frame=frame, window=(0.0, 0.3))
    assert (tmp_path / "0.png").read_bytes() != (tmp_path / "1.png").read_bytes()

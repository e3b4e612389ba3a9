"""Intervals with a guarantee in the pipeline: calibrated by scans of known truth, written, shown, refused."""

import json
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

import invgen as ig
from invgen.calibration import ConformalIntervals
from invgen.core.errors import FileError, InvgenWarning, ParameterError, ShapeError
from invgen.io import read_reconstruction
from invgen.pipeline import Reading, Recipe
from invgen.pipeline.calibrating import calibrate
from invgen.pipeline.description import describe
from invgen.pipeline.panels import draw_slices
from invgen.pipeline.truth import Truth
from invgen.priors.nets import EDM, UNet
from invgen.simulate import simulate_ct, simulate_mri

TV = {"solver": "tv", "weight": 60.0, "iterations": 40, "size": 24, "fov": "image", "center": 11.5}


def calibrated(scans, output, *, reading=None, level=0.8, recipe=TV, **promise):
    done, silent = [], lambda text: None
    options = {"level": level, **promise}
    found = calibrate(scans, output, reading or Reading(), Recipe(**recipe), silent, done.append, **options)
    assert done == list(range(1, found.images + 1))
    return found


def foam(path, seed, **settings):
    options = {
        "size": 24,
        "views": 16,
        "slices": 6,
        "detector_count": 24,
        "center_offset": 0.0,
        "photons": 1e4,
    }
    simulate_ct(path, "foam", seed=seed, **{**options, **settings})
    return path


@pytest.fixture(scope="module")
def known(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("known")
    return [foam(folder / f"{seed}.h5", seed) for seed in range(2)]


@pytest.fixture(scope="module")
def new(tmp_path_factory) -> Path:
    return foam(tmp_path_factory.mktemp("new") / "new.h5", seed=9, slices=3)


@pytest.fixture(scope="module")
def intervals(known, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("intervals") / "tv.json"
    calibrated(known, path, about="foams")
    return path


def test_intervals_are_written_described_and_drawn_and_cover(intervals, new, tmp_path):
    path = tmp_path / "image.h5"
    in_memory = ig.reconstruct(new, calibration=intervals, **TV)
    ig.reconstruct(new, path, calibration=[intervals], **TV)
    with read_reconstruction(path) as file, Truth(new) as truth:
        found = file.intervals
        assert (found.level, found.guarantee, found.confidence, found.images) == (0.8, "average", None, 12)
        assert found.about == "foams"
        assert found.of_pixels
        for kept, end in zip(in_memory.intervals, (found.lower, found.upper), strict=True):
            np.testing.assert_array_equal(kept.numpy(), end[:])
        low, high, image = found.lower[:], found.upper[:], file.volume[:]
        assert (low <= image).all()
        assert (image <= high).all()
        inside = [(low[i] <= truth[i].numpy()) & (truth[i].numpy() <= high[i]) for i in range(3)]
        assert 0.65 < np.mean(inside) <= 1
        # they are those of Python
        loaded = ConformalIntervals.load(intervals)
        command = file.settings["command"]
        with ig.io.open_scan(new) as scan:
            problem = scan.problem(1, center=11.5, image_shape=(24, 24), fov="image")
        ends = loaded.rescaled(problem, ig.Reconstruction(torch.from_numpy(image[1])))
        torch.testing.assert_close(torch.stack(ends), torch.from_numpy(np.stack([low[1], high[1]])))
    assert f"--calibration {intervals}" in command
    said = describe(path, Reading()).facts["intervals"]
    assert said == "80 % of pixels on average, calibrated by 12 images: foams"
    draw_slices(path, tmp_path / "with.png")
    ig.reconstruct(new, tmp_path / "plain.h5", **TV)
    draw_slices(tmp_path / "plain.h5", tmp_path / "without.png")
    area = [np.prod(Image.open(tmp_path / name).size) for name in ("with.png", "without.png")]
    assert area[0] > 1.5 * area[1]


def test_the_command_in_the_file_makes_the_same_intervals(known, new, tmp_path):
    """It has the weight that was chosen from the data, which the calibration has chosen as well."""
    intervals, chosen = tmp_path / "chosen.json", {**TV, "weight": None}
    calibrated(known, intervals, recipe={**chosen, "slices": slice(2)}, level=0.7)
    first = ig.reconstruct(new, calibration=intervals, slices=slice(2), **chosen)
    assert first.recipe.weight is not None
    options = {**TV, "weight": first.recipe.weight, "slices": slice(2)}
    again = ig.reconstruct(new, calibration=intervals, **options)
    assert torch.equal(first.intervals[0], again.intervals[0])


def test_scans_of_another_kind_have_none(intervals, new, tmp_path):
    def refused(match, scan=new, **other):
        with pytest.raises(ParameterError, match=match):
            ig.reconstruct(scan, tmp_path / "image.h5", calibration=intervals, **{**TV, **other})
        assert not (tmp_path / "image.h5").exists()

    refused("solver SIRT, calibrated with PDHG", solver="sirt", weight=None)
    refused("PDHG's iterations 50, calibrated with 40", iterations=50)
    refused("image 22 x 22 real, calibrated with 24 x 24 real", size=22)
    refused("operator's angles", views=slice(None, None, 2))
    with pytest.warns(InvgenWarning, match=r"Slices without intervals: 0, 1, 2\. .*weight 1, calibrated"):
        found = ig.reconstruct(new, tmp_path / "image.h5", calibration=intervals, **{**TV, "weight": 1.0})
    with read_reconstruction(tmp_path / "image.h5") as file:
        assert np.isnan(file.intervals.lower[:]).all()
        assert "no intervals: " in file.report(1)[-1]
    assert found.intervals is None
    draw_slices(tmp_path / "image.h5", tmp_path / "image.png")
    few = foam(tmp_path / "few.h5", seed=9, slices=2, photons=1e3)
    with pytest.warns(InvgenWarning, match="noise level"):
        ig.reconstruct(few, calibration=intervals, **TV)
    with pytest.raises(FileError, match=r"written to HDF5; give a name with \.h5"):
        ig.reconstruct(new, tmp_path / "image.tif", calibration=intervals, **TV)


@pytest.mark.slow
def test_intervals_and_scans_that_fit_go_together(known, new, prior, tmp_path):
    options = {"solver": "dds", "iterations": 3, "samples": 2, "prior": prior, "scale": 0.1, "size": 24}
    options |= {"fov": "image", "center": 11.5}
    of_dds = tmp_path / "dds"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InvgenWarning)
        calibrated(known, of_dds, recipe=options)
        solver = ig.reconstruct(new, slices=slice(1), **options).solver
    of_scans, problems = tmp_path / "scans", []
    for path in [*known, *(foam(tmp_path / f"{k}.h5", k) for k in (5, 6))]:
        with ig.io.open_scan(path) as scan:
            where = {"center": 11.5, "image_shape": (24, 24), "fov": "image"}
            problems += [scan.problem(i, **where) for i in range(6)]
    ig.plausibility.calibrate(solver, problems, about="foams").save(of_scans)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InvgenWarning)
        found = ig.reconstruct(new, calibration=[of_scans, of_dds], **options)
    assert "scan" in found.plausibility.p_values
    assert found.intervals[0].isfinite().all()


def test_files_are_told_apart_by_their_contents(intervals, new, tmp_path):
    statistics = {"misfit": [float(k) for k in range(20)]}
    of_scans = tmp_path / "scans"
    ig.plausibility.Calibration({}, statistics, {}).save(of_scans)
    with pytest.raises(ParameterError, match="two files of intervals"):
        ig.reconstruct(new, calibration=[intervals, intervals], **TV)
    with pytest.raises(ParameterError, match="two files of scans that fit"):
        ig.reconstruct(new, calibration=[of_scans, of_scans], **TV)
    with pytest.raises(ParameterError, match="fit a learned prior; tv has none"):
        ig.reconstruct(new, calibration=of_scans, **TV)
    header = json.loads(intervals.read_text())
    (tmp_path / "later").write_text(json.dumps(header | {"format": "invgen conformal intervals 2"}))
    with pytest.raises(FileError, match="this version reads 'invgen conformal intervals 1'"):
        ig.reconstruct(new, calibration=tmp_path / "later", **TV)
    (tmp_path / "half").write_text(intervals.read_text()[:300])
    with pytest.raises(FileError, match="no JSON"):
        ig.reconstruct(new, calibration=tmp_path / "half", **TV)


def test_images_that_are_measured_first_have_their_truth(tmp_path):
    generator = np.random.default_rng(0)
    images = np.cumsum(generator.standard_normal((24, 16, 16)), axis=1)
    images = ((images - images.min()) / np.ptp(images)).astype(np.float32)
    np.save(tmp_path / "known.npy", images[:14])
    np.save(tmp_path / "new.npy", images[14:])
    measured = {"operator": "denoise", "simulate": True}
    recipe = {"solver": "tv", "iterations": 30, "noise_std": 0.1}
    path = tmp_path / "intervals.json"
    known = [tmp_path / "known.npy"]
    found = calibrated(known, path, reading=Reading(**measured), recipe=recipe, guarantee="each")
    assert found.factors.shape == (16, 16)
    result = ig.reconstruct(tmp_path / "new.npy", calibration=path, **measured, **recipe)
    low, high = result.intervals
    truth = torch.from_numpy(images[14:])
    assert 0.7 < float(((low <= truth) & (truth <= high)).double().mean()) < 0.9
    with pytest.raises(ParameterError, match="take 19 or more calibration images; there are 14"):
        calibrated(known, path, reading=Reading(**measured), recipe=recipe, level=0.95)
    with pytest.raises(FileError, match="what the command reads"):
        calibrated(known, known[0], reading=Reading(**measured), recipe=recipe)
    assert np.load(known[0]).shape == (14, 16, 16)


def test_regions_and_complex_images_and_volumes(scans, prior, new, known, tmp_path):
    """Of regions there are numbers for each slice; of MRI intervals of the modulus."""
    regions = torch.zeros(2, 24, 24, dtype=torch.bool)
    regions[0, 4:9, 4:9] = regions[1, 10:, 10:] = True
    calibrated(known, tmp_path / "regions.json", regions=regions)
    ig.reconstruct(new, tmp_path / "image.h5", calibration=tmp_path / "regions.json", **TV)
    with read_reconstruction(tmp_path / "image.h5") as file:
        assert file.intervals.lower.shape == (3, 2)
        assert (file.intervals.lower[:] < file.intervals.upper[:]).all()
    assert "80 % of 2 regions on average" in describe(tmp_path / "image.h5", Reading()).facts["intervals"]
    draw_slices(tmp_path / "image.h5", tmp_path / "image.png")

    torch.manual_seed(0)
    complex_prior = tmp_path / "complex.safetensors"
    network = EDM(UNet(2, 2, widths=(8,), blocks=1), 0.5)
    ig.priors.Diffusion(network, sigma_data=0.5, field="complex").save(complex_prior)
    settings = {"size": (28, 24), "coils": 3, "acceleration": 2, "calibration": 12}
    # each has a mask of its own, which is therefore no part of the kind
    for name, slices, seed in (("known", 3, 1), ("other", 3, 3), ("new", 2, 2)):
        simulate_mri(tmp_path / f"{name}.h5", slices=slices, seed=seed, **settings)
    options = {"solver": "dds", "iterations": 3, "samples": 2, "prior": str(complex_prior)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InvgenWarning)
        calibrated([tmp_path / "known.h5", tmp_path / "other.h5"], tmp_path / "mri.json", recipe=options)
        found = ig.reconstruct(tmp_path / "new.h5", calibration=tmp_path / "mri.json", **options)
    low, high = found.intervals
    assert low.shape == high.shape == found.images.shape
    assert bool((low >= 0).all())
    with pytest.raises(ShapeError, match="by --size"):
        calibrated([known[0]], tmp_path / "other.json", recipe={**TV, "size": 20})


def test_where_the_operator_sees_nothing_there_are_no_intervals(known, new, tmp_path):
    disc = {"solver": "fbp", "size": 24, "fov": "disc", "center": 11.5}
    found = calibrated(known, tmp_path / "disc.json", recipe=disc)
    low, _ = ig.reconstruct(new, calibration=tmp_path / "disc.json", **disc).intervals
    assert torch.equal(low[0].isfinite(), found.mask)
    assert bool(found.mask[12, 12])
    assert not bool(found.mask[0, 0])


def test_damaged_intervals_are_refused(intervals, new, tmp_path):
    path, copy = tmp_path / "image.h5", tmp_path / "damaged.h5"
    ig.reconstruct(new, path, calibration=intervals, **TV)
    for name, value in (("lower", np.zeros((3, 3, 3))), ("upper", ["a"] * 3), ("lower", None)):
        copy.write_bytes(path.read_bytes())
        with h5py.File(copy, "r+") as file:
            del file[f"intervals/{name}"]
            if value is not None:
                file[f"intervals/{name}"] = value
        with pytest.raises(FileError):
            read_reconstruction(copy)
    for name in ("level", "guarantee", "images"):
        copy.write_bytes(path.read_bytes())
        with h5py.File(copy, "r+") as file:
            del file["intervals"].attrs[name]
        with pytest.raises(FileError):
            read_reconstruction(copy)

"""How plausible slices are, through the pipeline: judged, stored, shown, and warned of."""

import warnings
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

import invgen as ig
from invgen.core.errors import FileError, InvgenWarning
from invgen.io import read_reconstruction
from invgen.pipeline.judging import Judged, Plausibility
from invgen.pipeline.panels import draw_slices
from invgen.priors.nets import EDM, UNet
from invgen.simulate import simulate_ct

DDS = {"solver": "dds", "iterations": 4, "samples": 1}

#: Slices of a scan to calibrate with, and others to compare, from among them; column of the rotation axis.
OTHER, CENTER = slice(10, 22, 10), 15.5
KNOWN = [i for i in range(32) if i not in (10, 20)]


def reconstructed(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InvgenWarning)
        return ig.reconstruct(*arguments, **options)


@pytest.fixture(scope="module")
def foam(tmp_path_factory) -> Path:
    """A scan of many slices of one kind, whose rotation axis projects to the middle of the detector."""
    path = tmp_path_factory.mktemp("foam") / "foam.h5"
    simulate_ct(path, "foam", size=32, views=24, slices=32, detector_count=32, center_offset=0.0, photons=1e4)
    return path


@pytest.fixture(scope="module")
def own(foam, prior, tmp_path_factory) -> dict:
    """Options of a reconstruction, with a calibration of the first slices of the scan."""
    options = {"prior": prior, "size": 32, "fov": "image", "scale": 0.05, **DDS}
    solver = reconstructed(foam, slices=OTHER, center=CENTER, **options).solver
    with ig.io.open_scan(foam) as scan:
        where = {"center": CENTER, "image_shape": (32, 32), "fov": "image"}
        known = [scan.problem(i, **where) for i in KNOWN]
    path = tmp_path_factory.mktemp("calibration") / "own.json"
    ig.plausibility.calibrate(solver, known, about="foam").save(path)
    return {"calibration": str(path), **options}


def test_p_values_and_maps_are_stored_for_each_slice_and_shown(foam, own, tmp_path):
    path = tmp_path / "image.h5"
    with pytest.warns(InvgenWarning, match=r"slices do not fit operator, noise and prior.*standard dev"):
        # the axis projects to another column
        summary = ig.reconstruct(foam, path, center=CENTER + 2, slices=OTHER, **own)
    found = summary.plausibility
    assert found.misfits.all()
    assert set(found.p_values) == {"scan", "residual", "typicality", "bound"}
    assert found.maps is None
    with read_reconstruction(path) as file:
        for name, p in found.p_values.items():
            np.testing.assert_array_equal(file.plausible.p_values[name], p.numpy())
        assert file.plausible.map.shape == file.volume.shape
        assert file.plausible.deciding(0) == float(found.p_values["scan"][0])
        assert "plausibility, p-values: residual" in file.report(1)[-1]
        shown = torch.from_numpy(file.plausible.map[:])
    in_memory = reconstructed(foam, center=CENTER + 2, slices=OTHER, **own)
    torch.testing.assert_close(in_memory.plausibility.maps, shown)
    draw_slices(path, tmp_path / "with.png")
    with h5py.File(path, "r+") as file:
        del file["plausibility"]
    draw_slices(path, tmp_path / "without.png")
    assert Image.open(tmp_path / "with.png").size[0] > 1.8 * Image.open(tmp_path / "without.png").size[0] / 2
    assert Image.open(tmp_path / "with.png").size[1] > 1.8 * Image.open(tmp_path / "without.png").size[1]


def test_a_scan_that_fits_has_no_warning(foam, own):
    with warnings.catch_warnings():
        warnings.simplefilter("error", InvgenWarning)
        summary = ig.reconstruct(foam, center=CENTER, slices=OTHER, **own)
    assert float(summary.plausibility.p_values["scan"].min()) > 0.025
    assert summary.plausibility.warning == ""


def test_without_a_calibration_of_such_scans_none_is_made_up(foam, scans, own):
    notices = []
    summary = ig.reconstruct(
        foam, slices=OTHER, center=CENTER, notice=notices.append, **{**own, "calibration": None}
    )
    assert set(summary.plausibility.p_values) == {"bound"}
    assert "judged by its residual alone: no calibration comes with the prior" in notices[-1]
    fan = reconstructed(scans["fan"], notice=notices.append, **{**own, "size": None})
    assert set(fan.plausibility.p_values) == {"bound"}
    assert "operator 'FanBeam', calibrated with 'Radon'" in notices[-1]


def test_point_estimates_with_a_learned_prior_have_the_bound_and_penalties_nothing(scans, prior, tmp_path):
    np.save(tmp_path / "image.npy", torch.rand(24, 24, generator=torch.Generator().manual_seed(0)).numpy())
    measured = {"operator": "denoise", "noise_std": 0.1}
    summary = reconstructed(tmp_path / "image.npy", solver="pnp-hqs", prior=prior, iterations=3, **measured)
    assert set(summary.plausibility.p_values) == {"bound"}
    assert summary.plausibility.maps.shape == summary.images.shape
    plain = ig.reconstruct(scans["parallel"], tmp_path / "tv.h5", slices=slice(1), solver="tv", iterations=3)
    assert plain.plausibility is None
    with read_reconstruction(tmp_path / "tv.h5") as file:
        assert file.plausible is None


def test_slices_of_volumes_and_of_complex_images_have_maps_of_their_own(scans, prior, tmp_path):
    volume = reconstructed(scans["cone"], slices=slice(1, 3), prior=prior, **DDS)
    assert volume.plausibility.maps.shape == volume.images.shape
    assert len(volume.plausibility.p_values["bound"]) == 2
    torch.manual_seed(0)
    network = EDM(UNet(2, 2, widths=(8,), blocks=1), 0.5)
    complex_prior = tmp_path / "complex.safetensors"
    ig.priors.Diffusion(network, sigma_data=0.5, field="complex").save(complex_prior)
    mri = reconstructed(scans["grid"], slices=slice(2), prior=complex_prior, **DDS)
    assert mri.plausibility.maps.shape == mri.images.shape
    assert bool(mri.plausibility.maps.isfinite().all())


def test_formats_of_images_alone_take_no_p_values(scans, prior, tmp_path):
    reconstructed(scans["parallel"], tmp_path / "image.tif", slices=slice(1), prior=prior, **DDS)
    assert (tmp_path / "image.tif").exists()


def test_damaged_plausibility_is_refused(foam, own, tmp_path):
    path = tmp_path / "image.h5"
    reconstructed(foam, path, slices=OTHER, center=CENTER, **own)
    for name, value in (("plausibility/map", np.zeros((2, 3, 3))), ("plausibility/p_values/scan", ["a"])):
        copy = tmp_path / "damaged.h5"
        copy.write_bytes(path.read_bytes())
        with h5py.File(copy, "r+") as file:
            del file[name]
            file[name] = value
        with pytest.raises(FileError):
            read_reconstruction(copy)


def test_a_calibration_that_is_none_is_refused_before_the_work(foam, own, tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    with pytest.raises(FileError, match="no calibration"):
        ig.reconstruct(foam, tmp_path / "image.h5", **{**own, "calibration": str(bad)})
    assert not (tmp_path / "image.h5").exists()
    kept = Path(own["calibration"]).read_bytes()
    with pytest.raises(FileError):
        ig.reconstruct(foam, own["calibration"], **own)
    assert Path(own["calibration"]).read_bytes() == kept


def test_of_many_slices_few_false_alarms_are_listed():
    """One slice in twenty at 5 % is no discovery; one far below is."""
    p = [0.05, *(0.1 + 0.04 * i for i in range(19))]
    each = [Judged({"scan": value}, None, {"misfit": 4.0, "noise": -9.0}, "scans", "") for value in p]
    assert not Plausibility.of(each, range(20), None).misfits.any()
    each[3] = replace(each[3], p_values={"scan": 1e-4})
    found = Plausibility.of(each, range(100, 120), None)
    assert found.misfits.nonzero().tolist() == [[3]]
    assert "1 of 20 slices do not fit operator, noise and prior: 103" in found.warning
    assert "noise -9.0, misfit +4.0" in found.warning

"""An object whose projections are known in closed form, and scans of it in every layout."""

import h5py
import numpy as np
import pytest
import torch

from invgen.io import Projections

# x, y, half axes, tilt, value: in units of the detector's width
OBJECT = [
    (0.02, -0.04, 0.28, 0.21, 0.3, 0.02),
    (0.10, 0.07, 0.07, 0.04, 1.0, 0.04),
    (-0.14, 0.04, 0.05, 0.09, 2.0, -0.01),
    (0.00, -0.14, 0.02, 0.02, 0.0, 0.06),
]


def ellipse_sinogram(angles, columns, center, scale=1.0, ellipses=OBJECT):
    """Chord lengths: an ellipse of half axes a, b, tilt f, at (x, y) has, with ``r^2 = a^2 cos^2 (t - f) +
    b^2 sin^2 (t - f)`` and ``d = s - x cos t - y sin t``, the projection ``2 a b sqrt(r^2 - d^2) / r^2``.
    """
    s, t = np.arange(columns) - center, np.asarray(angles)[:, None]
    out = np.zeros((len(angles), columns))
    for x, y, a, b, tilt, value in ellipses:
        x, y, a, b = (v * columns * scale for v in (x, y, a, b))
        r2 = (a * np.cos(t - tilt)) ** 2 + (b * np.sin(t - tilt)) ** 2
        d = s - x * np.cos(t) - y * np.sin(t)
        out += value * 2 * a * b * np.sqrt(np.maximum(r2 - d**2, 0)) / r2
    return out


@pytest.fixture
def ellipses():
    return OBJECT


@pytest.fixture
def sinogram():
    return ellipse_sinogram


@pytest.fixture
def absorption():
    """Make line integrals from arrays."""

    def make(data, angles, **more):
        return Projections(
            torch.as_tensor(data, dtype=torch.float32), torch.as_tensor(angles), quantity="absorption", **more
        )

    return make


@pytest.fixture
def raw():
    """Counts of the object, with an uneven beam: data, flats, darks, angles, truth."""

    def make(views=40, rows=3, columns=64, center=30.0, flats=5, darks=4, dtype=np.uint16, seed=0):
        rng = np.random.default_rng(seed)
        angles = np.arange(views) * np.pi / views
        truth = np.stack(
            [(1 + row) * ellipse_sinogram(angles, columns, center) for row in range(rows)], axis=1
        )
        beam = 20000 * (1 + 0.1 * rng.standard_normal((rows, columns))) * np.linspace(0.8, 1.2, columns)
        dark = np.full((rows, columns), 100.0)

        def frames(mean):
            return np.clip(rng.poisson(mean) + dark, 0, 60000).astype(dtype)

        return {
            "data": frames(beam * np.exp(-truth)),
            "flats": frames(np.broadcast_to(beam, (flats, rows, columns))),
            "darks": np.broadcast_to(dark, (darks, rows, columns)).astype(dtype),
            "angles": angles,
            "truth": truth,
        }

    return make


@pytest.fixture
def data_exchange(tmp_path, raw):
    """Write a Data Exchange file; keywords replace datasets, None leaves one out."""

    def write(name="scan.h5", axes=None, **replaced):
        scan = raw()
        parts = {
            "data": scan["data"],
            "data_white": scan["flats"],
            "data_dark": scan["darks"],
            "theta": np.rad2deg(scan["angles"]),
        } | replaced
        with h5py.File(tmp_path / name, "w") as file:
            for key, value in parts.items():
                if value is not None:
                    file[f"exchange/{key}"] = value
            if axes is not None:
                for key in ("data", "data_white", "data_dark"):
                    file[f"exchange/{key}"].attrs["axes"] = axes
        return tmp_path / name

    return write


@pytest.fixture
def nxtomo(tmp_path, raw):
    """Write an NXtomo file with its frames in a given order; `transpose` permutes (frame, y, x)."""

    def write(name="scan.nxs", transpose=(0, 1, 2), order=None, units="deg", invalid=0, **more):
        scan = raw()
        frames = np.concatenate([scan["darks"], scan["flats"], scan["data"]])
        key = np.repeat([2, 1, 0], [len(scan["darks"]), len(scan["flats"]), len(scan["data"])])
        angle = np.concatenate([np.zeros(len(key) - len(scan["angles"])), scan["angles"]])
        if invalid:
            frames = np.concatenate([np.zeros_like(frames[:invalid]), frames])
            key, angle = np.r_[np.full(invalid, 3), key], np.r_[np.zeros(invalid), angle]
        if order is not None:
            order = np.random.default_rng(order).permutation(len(key))
            frames, key, angle = frames[order], key[order], angle[order]
        with h5py.File(tmp_path / name, "w") as file:
            for group, kind in {
                "entry": "NXentry",
                "entry/instrument": "NXinstrument",
                "entry/instrument/detector": "NXdetector",
                "entry/sample": "NXsample",
                "entry/data": "NXdata",
            }.items():
                file.create_group(group).attrs["NX_class"] = kind
            file["entry/definition"] = "NXtomo"
            detector = file["entry/instrument/detector"]
            detector["data"] = frames.transpose(transpose)
            detector["image_key"] = key
            detector["x_pixel_size"] = 6.5
            detector["x_pixel_size"].attrs["units"] = "um"
            rotation = file["entry/sample"].create_dataset(
                "rotation_angle", data=np.rad2deg(angle) if units == "deg" else angle
            )
            if units:
                rotation.attrs["units"] = units
            file["entry/data/data"] = h5py.SoftLink("/entry/instrument/detector/data")
            for path, value in more.items():
                file[path] = value
        return tmp_path / name

    return write

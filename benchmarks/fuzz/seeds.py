"""Small files of every kind that is read."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import h5py
import nibabel
import numpy as np
import scipy.io
import tifffile
import torch
from PIL import Image

import invgen as ig
from invgen.bench.record import Cell, Record
from invgen.bench.store import Results, SuiteInfo
from invgen.io import ReconstructionWriter
from invgen.priors.nets import EDM, UNet
from invgen.priors.training import ScoreMatching, Training
from invgen.simulate import simulate_ct, simulate_mri

__all__ = ["write_seeds"]

_SUITE = """\
name = "leaves"
about = "Test: a; tuning: b."

[images]
test = ["a.png"]
tuning = "b.png"
size = 16

[measurement]
operator = "blur:1.6"
noise = [0.05, 0.01]

[[methods]]
name = "tv"
"""


def write_seeds(folder: Path) -> dict[str, list[Path]]:
    """Write them; returned by the subject that reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    ct, plain = _scans(folder, rng)
    return {
        "ct": ct,
        "mri": _kspaces(folder, rng),
        "arrays": plain,
        "images": _images(folder, rng),
        "prior": _priors(folder, rng),
        "state": _states(folder),
        "settings": _settings(folder),
        "reconstruction": _reconstructions(folder, rng),
        "results": _results(folder),
    }


def _scans(folder: Path, rng: np.random.Generator) -> tuple[list[Path], list[Path]]:
    ct = [folder / name for name in ("exchange.h5", "fan.h5", "scan.nxs", "htc.mat")]
    simulate_ct(ct[0], "shepp-logan", size=16, views=12, slices=2, flats=2, darks=2)
    simulate_ct(ct[1], "shepp-logan", geometry="fan", size=16, views=20, pixel_size=0.1, flats=2, darks=2)
    with h5py.File(ct[0]) as source, h5py.File(ct[2], "w") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        entry["definition"] = "NXtomo"
        keys = [1, 1, 2, 2] + [0] * 12
        parts = [source[f"exchange/{name}"][:] for name in ("data_white", "data_dark", "data")]
        data = entry.create_dataset(
            "instrument/detector/data", data=np.concatenate(parts), chunks=(4, 2, 16), compression="gzip"
        )
        entry["instrument/detector/image_key"] = keys
        entry["sample/rotation_angle"] = np.concatenate([np.zeros(4), np.linspace(0, 180, 12, False)])
        entry["sample/rotation_angle"].attrs["units"] = "deg"
        entry["data/data"] = h5py.SoftLink("/entry/instrument/detector/data")
        for name in ("instrument", "instrument/detector", "sample", "data"):
            entry[name].attrs["NX_class"] = f"NX{name.split('/')[-1]}"
        data.attrs["long_name"] = "counts"
    parameters = {
        "distanceSourceOrigin": 410.66,
        "distanceSourceDetector": 553.74,
        "distanceUnit": "mm",
        "angles": np.arange(0.0, 360, 12)[None],
        "pixelSizePost": 1.0,
        "effectivePixelSizePost": 410.66 / 553.74,
        "numDetectorsPost": 16,
    }
    sinogram = rng.random((30, 16))
    fields = {"type": "2D", "sinogram": sinogram, "parameters": parameters}
    scipy.io.savemat(ct[3], {"CtDataFull": fields}, do_compression=True)
    stack = rng.random((12, 2, 16), dtype="f4")
    plain = [folder / name for name in ("a.h5", "a.npy", "a.mat", "a73.mat", "a.tif", "packed.tif")]
    with h5py.File(plain[0], "w") as file:
        file.create_dataset("a", data=stack, chunks=(4, 2, 16), compression="gzip", fletcher32=True)
    np.save(plain[1], stack)
    scipy.io.savemat(plain[2], {"a": stack}, do_compression=True)
    with h5py.File(plain[3], "w", userblock_size=512) as file:
        file["a"] = stack.T
        file["a"].attrs["MATLAB_class"] = np.bytes_("single")
    head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    with plain[3].open("r+b") as raw:
        raw.write(head)
    tifffile.imwrite(plain[4], stack)
    tifffile.imwrite(plain[5], stack, compression="zlib")
    return ct, plain


def _kspaces(folder: Path, rng: np.random.Generator) -> list[Path]:
    found = [folder / name for name in ("ismrmrd.h5", "spiral.h5", "fastmri.h5", "kspace.npy")]
    simulate_mri(found[0], size=16, coils=2, acceleration=2, calibration=8, slices=2)
    simulate_mri(found[1], size=16, coils=2, sampling="spiral")
    with h5py.File(found[0]) as source, h5py.File(found[2], "w") as file:
        file["ismrmrd_header"] = source["dataset/xml"][0]
        k = rng.standard_normal((2, 2, 32, 16)) + 1j * rng.standard_normal((2, 2, 32, 16))
        file["kspace"] = k.astype("c8")
        file["reconstruction_rss"] = rng.random((2, 16, 16), dtype="f4")
        file.attrs.update(acquisition="AXT2", max=1.0, norm=1.0, patient_id="x")
    np.save(found[3], k[0].astype("c8"))
    return found


def _images(folder: Path, rng: np.random.Generator) -> list[Path]:
    images = rng.integers(0, 256, (3, 12, 9), dtype=np.uint8)
    names = ("a.png", "color.png", "a.jpg", "picture.tif", "a-idx", "a-idx.gz", "a.nii", "a.nii.gz")
    found = [folder / name for name in (*names, "images.npy", "a.npz", "packed.npz", "images.h5", "a.bmp")]
    Image.fromarray(images[0]).save(found[0])
    Image.fromarray(np.moveaxis(images, 0, -1)).save(found[1])
    Image.fromarray(images[0]).save(found[2])
    tifffile.imwrite(found[3], images[0])
    content = struct.pack(">HBB3I", 0, 8, 3, *images.shape) + images.tobytes()
    found[4].write_bytes(content)
    found[5].write_bytes(gzip.compress(content, mtime=0))
    for path in found[6:8]:
        nibabel.save(nibabel.Nifti1Image(np.moveaxis(images, 0, -1).astype(np.int16), np.eye(4)), path)
    np.save(found[8], images)
    np.savez(found[9], images=images)
    np.savez_compressed(found[10], images=images)
    with h5py.File(found[11], "w") as file:
        file.create_dataset("a", data=images, chunks=(1, 12, 9), compression="gzip", fletcher32=True)
    Image.fromarray(images[0]).save(found[12])
    labels = folder / "labels-idx.gz"
    labels.write_bytes(gzip.compress(struct.pack(">HBBI", 0, 8, 1, 6) + bytes(range(6)), mtime=0))
    return [*found, labels]


def _priors(folder: Path, rng: np.random.Generator) -> list[Path]:
    torch.manual_seed(0)
    network = EDM(UNet(1, 1, widths=(4,), blocks=1), 0.5)
    diffusion, patches = folder / "diffusion.safetensors", folder / "vae.safetensors"
    ig.priors.Diffusion(network, sigma_data=0.5).save(diffusion, data={"file": "a"}, quality={"loss": 0.1})
    ig.priors.VAE.untrained((8, 8), value_range=(0, 1), widths=(4,), latent=2, seed=0).save(patches)
    weights = folder / "weights.pt"
    torch.save(network.state_dict(), weights)
    return [diffusion, patches, weights]


def _states(folder: Path) -> list[Path]:
    Training(steps=2, warmup=1)(network(), ScoreMatching(IMAGES, batch_size=2), folder / "run")
    checkpoint = folder / "checkpoint"
    torch.save({"identity": "a", "iteration": 3, "x": torch.zeros(8, 8)}, checkpoint)
    return [folder / "run" / "state.pt", folder / "run" / "log.csv", checkpoint]


IMAGES = [torch.zeros(1, 8, 8)] * 4


def network() -> torch.nn.Module:
    """That of the state."""
    torch.manual_seed(0)
    return EDM(UNet(widths=(4,), blocks=1), sigma_data=1.0)


def _settings(folder: Path) -> list[Path]:
    place = folder / "suite"
    place.mkdir(exist_ok=True)
    for name, value in (("a", 1), ("b", 2)):
        Image.fromarray(np.full((20, 24), value, np.uint8)).save(place / f"{name}.png")
    (place / "leaves.toml").write_text(_SUITE)
    (place / "angles.txt").write_text(" ".join(map(str, range(0, 180, 15))))
    np.save(place / "scan.npy", np.ones((12, 2, 16), "f4"))
    run = {"family": "diffusion", "data": "images.npy", "seed": 0, "widths": [8], "noise": None}
    (place / "run.json").write_text(json.dumps(run))
    return [place / "leaves.toml", place / "angles.txt", place / "run.json"]


def _reconstructions(folder: Path, rng: np.random.Generator) -> list[Path]:
    found = [folder / "ct-image.h5", folder / "mri-image.h5"]
    for path, kind, samples in zip(found, (False, True), (3, None), strict=True):
        settings = {"rows": [0, 1], "solver": "tv", "command": "invgen recon a -o b", "reading": {}}
        about = {"slices": 2, "image_shape": (9, 8), "pixel_size": 0.1, "unit": "mm", "source": "none.h5"}
        more = {} if kind else {"angles": np.zeros(3), "center": 4.0}
        with ReconstructionWriter(
            path, settings=settings, complex=kind, samples=samples, **about, **more
        ) as writer:
            for i in range(2):
                image = torch.as_tensor(rng.random((9, 8), dtype="f4"))
                drawn = None if samples is None else image + torch.arange(samples)[:, None, None]
                writer.write(i, image.to(torch.complex64) if kind else image, ("a", "b"), drawn)
    return found


def _results(folder: Path) -> list[Path]:
    with Results(folder / "results") as results:
        tasks = {"t": {"axes": {}, "test": ["t"], "tuning": []}}
        results.describe_suite("s", SuiteInfo("about", "psnr", tasks))
        results.describe_run("2026-01-01T00:00:00", command="invgen bench", versions={"invgen": "0"})
        names = Cell.__dataclass_fields__
        values = {"axes": {}, "settings": {}, "seed": 0, "split": "test", "prior": "", "run": "default"}
        cell = Cell(**{name: values.get(name, "s" if name == "suite" else "t") for name in names})
        results.add(
            Record(
                identity="0" * 16,
                cell=cell,
                measures={"psnr": 30.0},
                costs={"seconds": 1.0},
                stats={"iterations": 3},
                error=None,
                traceback=None,
                version="v",
                machine="m",
                finished="2026-01-01T00:00:00",
            )
        )
    return [folder / "results" / "records.sqlite"]

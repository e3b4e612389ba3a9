"""A case of each command that writes, and of each kind of file, small enough to run in a second."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from invgen.bench.store import Results
from invgen.cli import app
from invgen.pipeline.learning import FAMILIES
from invgen.priors import Autoregressive, Diffusion
from invgen.priors.files.checkpoints import read
from invgen.priors.nets import EDM, UNet
from invgen.simulate import simulate_ct, simulate_mri

__all__ = ["READERS", "WRITERS", "Writer", "command_of", "commands", "digest", "prepare", "written"]

#: Commands without an output.
READERS = {"doctor", "info"}

_ONE = ("--center", 23.5, "--size", 48, "--fov", "image", "-q", "--checkpoint-every", 0)
_FBP = ("recon", "scan.h5", "--solver", "fbp", *_ONE)
_DDS = ("recon", "scan.h5", "--solver", "dds", "--prior", "prior.safetensors", "--slices", ":2", *_ONE)
_CONE = ("recon", "cone.h5", "--center", 31.5, "--fov", "image", "-q", "--max-memory", "16M")
_PICTURE = ("recon", "picture.png", "--operator", "denoise", "--noise-std", 0.1, "--solver", "tv")
_COMPARED = ("check", "images.npy", "--prior", "packing.safetensors", "--calibration", "pictures.npy")
_RESUME = ("--resume",)

#: Of families whose networks have settings of their own, such as are small.
_LEARNING = {
    "gan": ("--latent", 4, "--widths", "8,4"),
    "vae": ("--latent", 3, "--widths", "8"),
    "hierarchical-vae": ("--latent", "2,1", "--widths", "8"),
    "vq-vae": ("--codes", 5, "--widths", "8,8"),
    "flow": ("--scales", 1, "--width", 8),
    "autoregressive": ("--width", 8, "--layers", 1, "--mixtures", 2),
    "energy": ("--widths", "8,8", "--langevin-steps", 2),
    "autoencoder": ("--widths", "8"),
    "denoiser": ("--widths", "4", "--noise-std", 0.1),
    "diffusion": ("--widths", "4"),
}

_SUITE = """\
name = "noise"
images = {test = "picture.png"}
measurement = {operator = "blur:1.0", noise = [0.1, 0.05]}
methods = [{name = "tv", settings = {iterations = 5}}]
"""


@dataclass(frozen=True)
class Writer:
    """A command that writes.

    Attributes
    ----------
    words : tuple
        All but the output.
    output : str
    option : str
        That names the output.
    again : tuple of str
        What is added to go on.
    also : tuple of (str, str)
        Options of further outputs, and their names.
    several : bool
        Whether each of its files is an output by itself, which stays where a later one cannot be written.
    """

    words: tuple[object, ...]
    output: str
    option: str = "-o"
    again: tuple[str, ...] = ()
    also: tuple[tuple[str, str], ...] = ()
    several: bool = False

    def line(self, folder: Path, resume: bool) -> list[str]:
        """The words of the command, with its outputs in a folder."""
        outputs = [
            str(word)
            for option, name in ((self.option, self.output), *self.also)
            for word in (option, folder / name)
        ]
        return [*map(str, self.words), *outputs, *(self.again if resume else ())]


WRITERS = {
    "recon": Writer(_FBP, "image.h5", again=_RESUME),
    "recon of states": Writer(
        ("recon", "scan.h5", "--solver", "tv", "--iterations", 8, "--slices", ":3", *_ONE),
        "image.h5",
        again=_RESUME,
    ),
    "recon of samples": Writer((*_DDS, "--samples", 2, "--iterations", 4), "image.h5", again=_RESUME),
    "recon of two files": Writer((*_DDS, "--samples", 2, "--iterations", 4), "image.npy", again=_RESUME),
    "recon to NIfTI": Writer(_FBP, "image.nii.gz", again=_RESUME),
    "recon to TIFF": Writer(_FBP, "image.tif", again=_RESUME),
    "recon to DICOM": Writer((*_FBP, "--image-format", "dicom"), "image", again=_RESUME),
    "recon to Zarr": Writer(_FBP, "image.zarr", again=_RESUME),
    "recon to PNG": Writer(_PICTURE, "restored.png", again=_RESUME),
    "recon of MRI": Writer(("recon", "kspace.h5", "-q"), "image.h5", again=_RESUME),
    "recon on disk": Writer((*_CONE, "--solver", "ossart", "--iterations", 1), "image.h5", again=_RESUME),
    "view": Writer(("view", "whole.h5"), "view.png"),
    "sample": Writer(("sample", "digits", "-n", 64, "--steps", 2), "samples.png"),
    "compress": Writer(("compress", "pictures.npy", "--prior", "packing.safetensors"), "packed.ivg"),
    "decompress": Writer(("decompress", "whole.ivg", "--prior", "packing.safetensors"), "unpacked.npy"),
    "decompress to a folder": Writer(
        ("decompress", "whole.ivg", "--prior", "packing.safetensors"), "unpacked"
    ),
    "check": Writer(_COMPARED, "anomalies.csv", also=(("--picture", "worst.png"),), several=True),
    "calibrate": Writer(
        ("calibrate", "scan.h5", "--solver", "fbp", "--center", 23.5, "--size", 48, "--fov", "image"),
        "intervals.json",
    ),
    "certify": Writer(
        ("certify", "dds", "--problem", "mixture-8-1", "--samples", 100, "--iterations", 2), "certified.html"
    ),
    "bench": Writer(("bench", "suite.toml", "--workers", 1, "--trials", 0), "results"),
    "demo": Writer(("demo", "--size", 32), "demo", "--output-dir", several=True),
    "simulate ct": Writer(("simulate", "ct", "foam", "--size", 32, "--views", 20), "simulated.h5"),
    "simulate mri": Writer(("simulate", "mri", "head", "--size", 48, "--coils", 2), "simulated.h5"),
} | {
    f"train {name}": Writer(
        ("train", name, "images.npy", "--steps", 6, "--batch", 4, *_LEARNING.get(name, ())),
        "learned.safetensors",
    )
    for name in FAMILIES
}


def commands() -> Iterator[str]:
    """Each command that the command line has, such as "simulate ct"."""

    def below(command: object, name: str) -> Iterator[str]:
        for word, each in getattr(command, "commands", {}).items():
            whole = f"{name} {word}".strip()
            yield from below(each, whole) if hasattr(each, "commands") else [whole]

    yield from below(typer.main.get_command(app), "")


def command_of(writer: Writer) -> str:
    """The command that a case is of."""
    first, second, *_ = map(str, writer.words)
    return f"{first} {second}" if first in ("simulate", "train") else first


def prepare() -> None:
    """Write what the commands read into the folder."""
    simulate_ct("scan.h5", "shepp-logan", size=48, views=24, detector_count=48, center_offset=0, slices=12)
    simulate_ct(
        "cone.h5",
        "foam",
        size=64,
        views=12,
        detector_count=64,
        slices=64,
        geometry="cone",
        pixel_size=0.05,
        center_offset=0,
    )
    simulate_mri("kspace.h5", size=48, coils=2, acceleration=2, calibration=16, slices=2)
    random = np.random.default_rng(0)
    np.save("images.npy", random.random((8, 8, 8), dtype="f4"))
    pictures = random.integers(0, 256, (200, 8, 8), dtype="u1")
    np.save("pictures.npy", pictures)
    Image.fromarray(np.tile(pictures[0], (4, 4))).save("picture.png")
    Path("suite.toml").write_text(_SUITE)
    torch.manual_seed(0)
    Diffusion(EDM(UNet(1, 1, widths=(8,), blocks=1), 0.5), sigma_data=0.5).save("prior.safetensors")
    Autoregressive.untrained((8, 8), mixtures=0, width=4, layers=1).save("packing.safetensors")
    for words in ((*_FBP, "-o", "whole.h5"), (*WRITERS["compress"].words, "-o", "whole.ivg")):
        done = CliRunner().invoke(app, [str(word) for word in words])
        if done.exit_code:
            raise SystemExit(done.output)


def digest(path: Path) -> object:
    """What is the same of a file in each run that is not disturbed, of which it is read whole.

    Of a prior these are its weights, and of reports and results, which have times, that they have an end.
    """
    if path.suffix == ".safetensors":
        return {name: each.numpy().tobytes() for name, each in read(path)[1].items()}
    if path.suffix == ".html":
        return path.read_text().rstrip().endswith("</html>")
    if path.name == "records.sqlite":
        with Results(path.parent, create=False) as results:
            return len(list(results.records()))
    if path.parent.name == "results" or path.name in ("log.csv", "state.pt", "demo.png"):
        return path.stat().st_size > 0
    return path.read_bytes()


def written(folder: Path) -> dict[str, object]:
    """All files in a folder, with what is the same of them in each run; of those that cannot be read, why."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            try:
                found[str(path.relative_to(folder))] = digest(path)
            except Exception as error:
                found[str(path.relative_to(folder))] = f"cannot be read: {error}"
    return found

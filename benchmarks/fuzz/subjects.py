"""What reads the files, as a command does: each returns the numbers it has read, for those with checksums."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

import invgen as ig
from benchmarks.fuzz.seeds import IMAGES, network
from invgen.bench.report.content import gather
from invgen.bench.store import Results
from invgen.bench.suites import load_suites
from invgen.core.errors import FileError
from invgen.io import MRIScan, open_scan, read_images, read_labels
from invgen.pipeline import Reading
from invgen.pipeline.description import describe
from invgen.pipeline.panels import draw_slices
from invgen.pipeline.training import _claim
from invgen.priors.training import ScoreMatching, Training, read_log
from invgen.solvers.checkpoint import Checkpoint

__all__ = ["SUBJECTS", "checked"]

Numbers = list[np.ndarray]


def _ct(path: Path) -> Numbers:
    describe(path, Reading())
    with open_scan(path) as scan:
        assert not isinstance(scan, MRIScan)
        return [scan.line_integrals(scan.slices // 2, center=scan.columns / 2).data.numpy()]


def _arrays(path: Path) -> Numbers:
    words = {"dataset": "a"} if path.suffix in (".h5", ".mat") else {}
    angles = np.linspace(0, np.pi, 12, endpoint=False)
    with open_scan(path, axes="angle,row,column", angles=angles, **words) as scan:
        scan.info()
        return [scan.projections(i).data.numpy() for i in range(min(scan.slices, 3))]


def _mri(path: Path) -> Numbers:
    if path.suffix == ".npy":
        with open_scan(path, axes="coil,y,x") as scan:
            scan.info()
            return [scan.kspace(0).data.numpy()]
    describe(path, Reading())
    with open_scan(path) as scan:
        if not isinstance(scan, MRIScan):
            raise FileError(f"{path} is no scan of MRI any more.")
        scan.reference(0)
        return [scan.kspace(0).data.numpy()]


def _images(path: Path) -> Numbers:
    if path.name.startswith("labels"):
        return [read_labels(path)]
    return read_images(path, dataset="a" if path.suffix == ".h5" else None)


def _prior(path: Path) -> Numbers:
    if path.suffix == ".safetensors":
        ig.priors.about(path)
        describe(path, Reading())
    ig.priors.load(path)
    return []


def _state(path: Path) -> Numbers:
    if path.name == "log.csv":
        read_log(path.parent)
    elif path.name == "state.pt":
        Training(steps=2, warmup=1)(network(), ScoreMatching(IMAGES, batch_size=2), path.parent)
    else:
        Checkpoint(path, "a").load("cpu")
    return []


def _settings(path: Path) -> Numbers:
    if path.suffix == ".toml":
        load_suites([str(path)], path.parent)
    elif path.suffix == ".json":
        _claim(path.parent, {"family": "diffusion", "seed": 0})
    else:
        reading = Reading(angles=str(path), angle_unit="deg", axes="angle,row,column")
        with reading.open(path.with_name("scan.npy")) as scan:
            scan.info()
    return []


def _reconstruction(path: Path) -> Numbers:
    describe(path, Reading())
    draw_slices(path, path.with_name("out.png"))
    return []


def _results(path: Path) -> Numbers:
    with Results(path.parent, create=False) as results:
        results.runs()
        results.suites()
        gather(results, None, ())
    return []


#: By the name of the seeds that they read.
SUBJECTS: dict[str, Callable[[Path], Numbers]] = {
    "ct": _ct,
    "mri": _mri,
    "arrays": _arrays,
    "images": _images,
    "prior": _prior,
    "state": _state,
    "settings": _settings,
    "reconstruction": _reconstruction,
    "results": _results,
}


def checked(path: Path) -> bool:
    """Whether all pixels of a file are under a checksum."""
    return path.name.endswith((".gz", ".png", ".npz")) or path.name == "packed.npz"

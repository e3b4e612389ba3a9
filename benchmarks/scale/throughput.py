"""Slices in a second from file to file, beside those of other packages and of computing alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch

import invgen as ig
from benchmarks.report import Report
from invgen.core.files import temporary_folder
from invgen.pipeline import Reading, Recipe
from invgen.pipeline.devices import Worker, in_order
from invgen.pipeline.jobs import work_on
from invgen.simulate import simulate_ct

__all__ = ["throughput"]

_SIZE, _VIEWS, _SLICES, _ROUNDS = 1024, 720, 16, 2
_CENTER = (_SIZE - 1) / 2
#: Slices that the others take in a round, and how many times as many this package should take.
_OTHERS = {"algotom": (2, 4), "ASTRA": (1, 10), "scikit-image": (1, 30)}

Filtered = Callable[[np.ndarray, np.ndarray], np.ndarray]


def throughput(report: Report) -> None:
    """FBP of 1024x1024 from 720 views of raw counts: best rates of rounds in which all take turns."""
    with temporary_folder() as folder:
        scan, output = folder / "scan.h5", folder / "image.h5"
        simulate_ct(scan, "foam", size=_SIZE, views=_VIEWS, slices=_SLICES)
        makers = _makers()
        found: dict[str, list[tuple[float, float]]] = {}
        for _ in range(_ROUNDS):
            found.setdefault("invgen", []).append(_of_this(scan, output))
            found.setdefault("computing alone", []).append(_of_computing(scan))
            for name, (slices, _) in _OTHERS.items():
                made = _timed(lambda name=name, n=slices: _by_other(scan, output, n, makers[name]), slices)
                found.setdefault(name, []).append(made)
    best = {name: (max(r for r, _ in all), min(c for _, c in all)) for name, all in found.items()}
    for name, (rate, cost) in best.items():
        report.row(f"{name}: slices/s, processor time of a slice", f"{rate:.3g}, {1e3 * cost:.0f} ms")
    for name, (_, wanted) in _OTHERS.items():
        ratio = best["invgen"][0] / best[name][0]
        report.row(f"invgen over {name}", f"{ratio:.1f} times", f"{wanted} times", ratio >= wanted)
    share = best["invgen"][0] / best["computing alone"][0]
    report.row("from file to file over computing alone", f"{share:.2f}", "0.85", share >= 0.85)


def _timed(run: Callable[[], None], slices: int) -> tuple[float, float]:
    """Slices in a second, and processor time of one."""
    began, spent = time.perf_counter(), time.process_time()
    run()
    return slices / (time.perf_counter() - began), (time.process_time() - spent) / slices


def _of_this(scan: Path, output: Path) -> tuple[float, float]:
    """From the first slice that is done on: what comes before is once for a scan."""
    marks = []

    def advance(done: float, total: int) -> None:
        if done >= 1 and (not marks or done == total):
            marks.append((done, time.perf_counter(), time.process_time()))

    ig.reconstruct(scan, output, advance=advance, center=_CENTER, size=_SIZE, fov="image")
    slices, seconds, spent = (last - first for first, last in zip(marks[0], marks[-1], strict=True))
    return slices / seconds, spent / slices


def _of_computing(path: Path) -> tuple[float, float]:
    """The same slices, which are in memory already, on the same threads."""
    with Reading().open(path) as scan:
        work = work_on(scan, Reading(), Recipe(center=_CENTER, size=_SIZE, fov="image"))
        first = work.first(0, lambda text: None)
        work.settle(first, 0, lambda text: None)
        reads = [work.read(range(row, row + 1)) for row in range(_SLICES)]

        def computed() -> None:
            threads = 1 if work.at_once > 1 else None
            workers = [
                Worker(torch.device("cpu"), lambda read: read, work.compute, threads)
                for _ in range(work.at_once)
            ]
            for _ in in_order(reads, workers, lambda done: None, lambda read: 1):
                pass

        return _timed(computed, len(reads))


def _by_other(scan: Path, output: Path, slices: int, filtered: Filtered) -> None:
    """Read, normalise, take the logarithm, reconstruct and write, as scripts around these packages do."""
    with h5py.File(scan) as source, h5py.File(output, "w") as target:
        data, white, dark = (source[f"exchange/{name}"] for name in ("data", "data_white", "data_dark"))
        angles = np.deg2rad(source["exchange/theta"][:])
        volume = target.create_dataset("image", (slices, _SIZE, _SIZE), "f4", chunks=(1, _SIZE, _SIZE))
        for row in range(slices):
            darkness = dark[:, row].mean(0)
            beam = white[:, row].mean(0) - darkness
            transmission = (data[:, row] - darkness) / beam
            volume[row] = filtered(-np.log(np.maximum(transmission, 1e-4)).astype(np.float32), angles)


def _makers() -> dict[str, Filtered]:
    """Filtered backprojection of the others, with a Hann window, on the threads of this process."""
    import astra
    from algotom.rec.reconstruction import fbp_reconstruction
    from skimage.transform import iradon

    def algotom(lines: np.ndarray, angles: np.ndarray) -> np.ndarray:
        count = torch.get_num_threads()
        return fbp_reconstruction(
            lines, _CENTER, angles=angles, ratio=None, apply_log=False, gpu=False, ncore=count
        )

    def by_astra(lines: np.ndarray, angles: np.ndarray) -> np.ndarray:
        volume = astra.create_vol_geom(_SIZE, _SIZE)
        projector = astra.create_projector(
            "linear", astra.create_proj_geom("parallel", 1.0, _SIZE, angles), volume
        )
        sinogram = astra.data2d.create("-sino", astra.projector.projection_geometry(projector), lines)
        image = astra.data2d.create("-vol", volume)
        settings = astra.astra_dict("FBP")
        settings |= {"ProjectorId": projector, "ProjectionDataId": sinogram, "ReconstructionDataId": image}
        settings["option"] = {"FilterType": "hann"}
        algorithm = astra.algorithm.create(settings)
        try:
            astra.algorithm.run(algorithm)
            return astra.data2d.get(image)
        finally:
            astra.algorithm.delete(algorithm)
            astra.data2d.delete([image, sinogram])
            astra.projector.delete(projector)

    def scikit_image(lines: np.ndarray, angles: np.ndarray) -> np.ndarray:
        return iradon(lines.T, np.rad2deg(angles), filter_name="hann")

    warm = np.zeros((4, _SIZE), np.float32)  # algotom compiles at its first call
    algotom(warm, np.linspace(0, 3, 4))
    return {"algotom": algotom, "ASTRA": by_astra, "scikit-image": scikit_image}

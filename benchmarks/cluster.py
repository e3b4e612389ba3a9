"""What it costs to compute slices in other processes: rates and processor time, here and by dask.

python -m benchmarks.cluster [--rounds 2]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

import invgen as ig
from invgen.core.files import temporary_folder
from invgen.pipeline.connection import connected
from invgen.simulate import simulate_ct

_TV = {"solver": "tv", "weight": 1.0, "iterations": 100, "settings": {"tolerance": 0.0}}
#: Size and views of a slice, number of slices, and what is done with them.
CASES: dict[str, tuple[int, int, int, dict[str, Any]]] = {
    "FBP 64x64, 60 views": (64, 60, 60, {"solver": "fbp"}),
    "FBP 512x512, 360 views": (512, 360, 16, {"solver": "fbp"}),
    "TV 128x128, 60 views, 100 iterations": (128, 60, 8, _TV),
}


def processor_time(client: Any) -> float:
    """Seconds of this process and of all workers."""
    return time.process_time() + (0 if client is None else sum(client.run(time.process_time).values()))


def measured(scan: Path, output: Path, client: Any, **recipe: Any) -> tuple[float, float]:
    """Slices in a second, and milliseconds of processors for each, from the first one that is done on."""
    marks = []

    def advance(done: float, total: int) -> None:
        if done >= 1 and (not marks or done == total):
            marks.append((done, time.perf_counter(), processor_time(client)))

    ig.reconstruct(scan, output, executor=client, advance=advance, **recipe)
    slices, seconds, processors = (last - first for first, last in zip(marks[0], marks[-1], strict=True))
    return slices / seconds, 1e3 * processors / slices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="of which the median is shown")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    found: dict[tuple[str, int | None], list[tuple[float, float]]] = {}
    with temporary_folder() as folder:
        for size, views, slices, _ in CASES.values():
            simulate_ct(folder / f"{size}.h5", "shepp-logan", size=size, views=views, slices=slices)
        for _ in range(rounds):
            for workers in (None, 1, 2):
                with connected(None, workers) as client:
                    for name, (size, _, _, recipe) in CASES.items():
                        of_scan = {"center": (size - 1) / 2, "size": size, "fov": "image"}
                        scan, output = folder / f"{size}.h5", folder / "image.h5"
                        found.setdefault((name, workers), []).append(
                            measured(scan, output, client, **of_scan, **recipe)
                        )
    print("| | slices/s here, 1, 2 workers | processor time of a slice, ms |\n|---|---|---|")
    for name in CASES:
        rates, costs = (
            [f"{median(each[i] for each in found[name, workers]):.3g}" for workers in (None, 1, 2)]
            for i in (0, 1)
        )
        print(f"| {name} | {', '.join(rates)} | {', '.join(costs)} |")


if __name__ == "__main__":  # worker processes import this file, too
    main()

"""Scans that a learned prior has not expected: what is said of them, and where the map points.

python examples/misfit.py [--object 1000500] [--views 90]

The prior has learned from random objects. One of them, which it has not seen, is scanned alone, with a rolled
sheet in it, with a pin of metal and with a thread.
"""

import argparse
import math
import tempfile
import warnings
from pathlib import Path

import torch

import invgen as ig
from invgen.simulate import simulate_ct

SIDE = 512  # pixels of the object, four times as many as of the image

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument(
    "--object", type=int, default=1_000_500, help="seed; the prior has learned from 0 to 2999"
)
parser.add_argument("--views", type=int, default=90)
parser.add_argument("--iterations", type=int, default=50, help="of the sampler; others have no calibration")
parser.add_argument("--output", default="misfit.png", help="picture to write")
arguments = parser.parse_args()

y, x = torch.meshgrid(*[torch.arange(SIDE) - SIDE / 2 + 0.5] * 2, indexing="ij")
radius, angle = torch.hypot(x, y), torch.atan2(y, x)
alone = ig.phantoms.random(arguments.object, SIDE / 2).image((SIDE, SIDE), 1.0, 2).float()
sheet = 0.9 * ((radius - 24 * angle / (2 * math.pi)) % 24 < 10)
objects = {
    "a random object": alone,
    "with a rolled sheet": torch.where(radius < 120, sheet, alone),
    "with a pin of metal": torch.where(radius < 20, 3.0, alone),
    "with a thread": torch.where(((x - y).abs() < 5) & (radius < 200), 1.0, alone),
}

images, maps, titles = [], [], []
for name, image in objects.items():
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", ig.errors.InvgenWarning)  # it is in the titles
        scan = Path(folder) / "scan.h5"
        simulate_ct(scan, image, size=128, views=arguments.views, photons=1e5, absorption=2.0)
        # as of invgen recon scan.h5 -o image.h5 --solver dds --prior ct-phantoms --precision bfloat16
        options = {"solver": "dds", "prior": "ct-phantoms", "precision": "bfloat16", "samples": 1}
        found = ig.reconstruct(scan, iterations=arguments.iterations, **options)
    judged = found.plausibility
    known = "scan" if "scan" in judged.p_values else "bound"
    p = float(judged.p_values[known][0])
    images.append((found.images[0] / found.images[0].quantile(0.998)).clamp(0, 1))
    maps.append((judged.maps[0] - 1).clamp(0, 1))  # black as expected, white twice as large
    titles.append(f"{name}\np-value {p:.2g}")
    print(f"{name:20s} p-value {p:.3g}: {judged.warning or judged.remark or 'it fits.'}")

shown = [*titles, *["error beyond what\nthe prior expects"] * len(maps)]
figure = ig.figures.montage(images + maps, shown, window=(0.0, 1.0), columns=len(images))
ig.figures.save(figure, arguments.output)

"""Parallel imaging from lines and from spokes: maps from the data, zero-filling, SENSE, total variation.

python examples/mri.py [--size 192] [--output mri.png]
"""

import argparse
import math

import torch

import invgen as ig
from invgen.operators import coils, sampling, trajectories

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--size", type=int, default=192, help="pixels across the image")
parser.add_argument("--output", default="mri.png", help="picture to write")
arguments = parser.parse_args()

# a head, seen by eight coils around it, each with a phase of its own
n, count = arguments.size, 8
truth = ig.phantoms.head(half_width=0.95 * n / 2).image((n, n), pixel_size=1.0).to(torch.complex64)
y, x = torch.meshgrid(*[torch.linspace(-1, 1, n)] * 2, indexing="ij")
turns = [2 * math.pi * c / count for c in range(count)]
seen = [torch.exp(-((x - math.cos(t)) ** 2) - (y - math.sin(t)) ** 2 + 1j * (t + x)) for t in turns]
sensitivities = torch.stack(seen)
sensitivities = sensitivities / torch.linalg.vector_norm(sensitivities, dim=0)

# every fourth line of k-space and 24 in the middle: which acceleration that is, is printed
lines = sampling.equispaced_lines((n, n), 4, center_fraction=24 / n)
noise = ig.noise.Gaussian(0.005)
full = ig.operators.MRI((n, n), lines, sensitivities)
kspace = noise.sample(full(truth), seed=0) * lines
print(f"{int(lines.sum())} of {n} lines: accelerated {sampling.acceleration(lines):.2f} times")

# the maps are found in the data, as a scanner's user would; their phase is the data's, and magnitudes count
maps = coils.espirit(kspace)
problem = ig.Problem(ig.operators.MRI((n, n), lines, maps), kspace, noise)
tv = ig.priors.TotalVariation()
images = {
    "zero-filled": ig.solvers.ZeroFilled()(problem).x,
    "SENSE": ig.solvers.CG(weight=0, iterations=20)(problem).x,  # their number is all that regularizes
    "TV": ig.solvers.PDHG(tv)(problem).x,
}

# spokes instead of lines: the operator is another, all else stays
spokes = trajectories.radial(n // 4, 2 * n)
A = ig.operators.NonCartesianMRI((n, n), spokes, maps)
seen = ig.operators.NonCartesianMRI((n, n), spokes, sensitivities)
radial = ig.Problem(A, noise.sample(seen(truth), seed=1), noise)
images["spokes, gridded"] = ig.solvers.Gridding()(radial).x
images["spokes, TV"] = ig.solvers.PDHG(tv)(radial).x

for name, image in images.items():
    psnr, ssim = (float(f(image.abs(), truth.abs())) for f in (ig.metrics.psnr, ig.metrics.ssim))
    print(f"{name:16s} {psnr:5.1f} dB, SSIM {ssim:.3f}")

figure = ig.figures.montage(
    [image.abs() for image in (*images.values(), truth)], [*images, "truth"], window=(0.0, 1.0), columns=3
)
ig.figures.save(figure, arguments.output)

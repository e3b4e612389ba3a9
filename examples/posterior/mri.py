"""MRI, eight times accelerated: complex images, coil maps, and a prior of heads.

python examples/posterior/mri.py chris_t1.nii.gz [--slice 160] [--output mri.png]
"""

import argparse
import math

import torch
from torch.nn.functional import pad

import invgen as ig
from invgen.operators import sampling

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("head", help="NiiVue's chris_t1.nii.gz")
parser.add_argument("--slice", type=int, default=120, help="the prior has seen none of this head")
parser.add_argument("--acceleration", type=float, default=8.0)
parser.add_argument("--samples", type=int, default=8)
parser.add_argument("--output", default="mri.png", help="picture to write")
arguments = parser.parse_args()

# a slice with the phase that coils and fields give it, and eight coils around it
slices = ig.io.read_images(arguments.head)
image = torch.from_numpy(slices[arguments.slice]).T.flip(0) / max(float(x.max()) for x in slices)
image = pad(image, (2, 2))
n, m = image.shape
y, x = torch.meshgrid(torch.linspace(-1, 1, n), torch.linspace(-1, 1, m), indexing="ij")
truth = torch.polar(image, 1.5 * torch.cos(2 * y + x))
turns = [2 * math.pi * c / 8 for c in range(8)]
coils = torch.stack([torch.exp(-((x - math.cos(t)) ** 2) - (y - math.sin(t)) ** 2 + 1j * t) for t in turns])
coils = coils / torch.linalg.vector_norm(coils, dim=0)

# of a volume, whose two phase encodings are undersampled
mask = sampling.poisson_disc((n, m), arguments.acceleration, seed=0)
A = ig.operators.MRI((n, m), mask, coils)
noise = ig.noise.Gaussian(0.01)
problem = ig.Problem(A, noise.sample(A(truth), seed=0) * mask, noise)

prior = ig.priors.load("brain-mr")
solver = ig.solvers.PreconditionedLangevin(prior, iterations=40, antithetic=True)
posterior = solver(problem, samples=arguments.samples, seed=0)
images = {
    "zero-filled": ig.solvers.ZeroFilled()(problem).x,
    "wavelets": ig.solvers.FISTA(ig.priors.Wavelet())(problem).x,
    "mean": posterior.x,
}
for name, found in images.items():
    print(f"{name:12s} {float(ig.metrics.psnr(found.abs(), truth.abs(), data_range=1.0)):5.1f} dB")

panels = [*(x.abs() for x in images.values()), posterior.samples[0].abs(), 5 * posterior.std, truth.abs()]
titles = [*images, "a sample", "5 x deviation", "truth"]
ig.figures.save(ig.figures.montage(panels, titles, window=(0.0, 0.8), columns=3), arguments.output)

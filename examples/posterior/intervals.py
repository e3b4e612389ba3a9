"""A sampler is too sure; intervals calibrated by scans of known truth cover new ones at the level.

python examples/posterior/intervals.py [--size 128] [--count 40] [--output intervals.png]
"""

import argparse

import torch

import invgen as ig

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--size", type=int, default=128, help="pixels across the image")
parser.add_argument("--count", type=int, default=40, help="number of scans to calibrate with, at least 9")
parser.add_argument("--samples", type=int, default=4)
parser.add_argument("--output", default="intervals.png", help="picture to write")
arguments = parser.parse_args()

n = arguments.size
A, noise = ig.operators.Radon((n, n), angles=30), ig.noise.Gaussian(0.005 * n)


def scan(seed):
    """A random object that the prior has not learned from: its measurement, and the truth."""
    truth = ig.phantoms.random(4_000_000 + seed, half_width=n / 2).image((n, n), 1.0).float()
    return ig.Problem(A, noise.sample(A(truth), seed=seed), noise), truth


prior = ig.priors.load("ct-phantoms")
solver = ig.solvers.DiffPIR(prior, iterations=20, scale=1.0, sigma_range=(0.003, 0.5))
known = ig.calibration.conformal(
    solver, map(scan, range(arguments.count)), level=0.9, samples=arguments.samples, about="random objects"
)
known.save(
    "intervals.json"
)  # invgen recon scan.h5 -o image.h5 --solver diffpir ... --calibration intervals.json
print(known)

own, calibrated = [], []
for seed in range(1000, 1010):
    problem, truth = scan(seed)
    posterior = solver(problem, samples=arguments.samples, seed=seed)
    low, high = known.apply(solver, problem, posterior)
    own.append(posterior.coverage(truth, 0.9))
    calibrated.append(((low <= truth) & (truth <= high)).double().mean())
print(f"mean of samples {float(ig.metrics.psnr(posterior.x, truth, data_range=1.0)):.1f} dB")
for name, covered in {"its own": own, "calibrated": calibrated}.items():
    print(f"{name:12s} 90 % intervals hold {100 * float(torch.stack(covered).mean()):.0f} % of new pixels")

panels = [truth, posterior.x, (posterior.x - truth).abs(), (high - low) / 2]
titles = ["truth", "mean", "error", "half of the interval"]
figure = ig.figures.montage(panels, titles, columns=2, window=(0.0, 1.0))
ig.figures.save(figure, arguments.output)

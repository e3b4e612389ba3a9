"""CT from 30 views: a prior of scanned things draws what the views leave open.

python examples/posterior/tomography.py [--size 128] [--views 30] [--output ct.png]
"""

import argparse

import invgen as ig

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--size", type=int, default=128, help="pixels across the image")
parser.add_argument("--views", type=int, default=30, help="number of view angles over half a turn")
parser.add_argument("--samples", type=int, default=8)
parser.add_argument("--output", default="ct.png", help="picture to write")
arguments = parser.parse_args()

# an object of the kind the prior knows, but not one that it has learned from, projected in closed form
n = arguments.size
A = ig.operators.Radon((n, n), angles=arguments.views)
phantom = ig.phantoms.random(seed=1_000_004, half_width=n / 2)
truth = phantom.image((n, n), pixel_size=1.0).float()
clean = phantom.sinogram(A.angles, A.geometry.detector_count).float()
noise = ig.noise.Gaussian(0.01 * float(clean.max()))
problem = ig.Problem(A, noise.sample(clean, seed=0), noise)

# line integrals have whatever unit: the scale of the image is found from a cheap reconstruction
prior = ig.priors.load("ct-phantoms")
solver = ig.solvers.PreconditionedLangevin(prior, iterations=40, antithetic=True)
posterior = solver(problem, samples=arguments.samples, seed=0)
tv = ig.solvers.PDHG(ig.priors.TotalVariation(nonnegative=True))(problem)

images = {"FBP": ig.solvers.FBP()(problem).x, "TV": tv.x, "a sample": posterior.samples[0]}
images["mean"] = posterior.x
for name, x in images.items():
    print(f"{name:9s} {float(ig.metrics.psnr(x, truth, data_range=1.0)):5.1f} dB")
print(f"90 % intervals hold {100 * float(posterior.coverage(truth, 0.9)):.0f} % of the pixels")
print(f"densest: {posterior.stats['scale']:.2f}, as found before the prior was asked")

panels = [*images.values(), 5 * posterior.std, truth]
figure = ig.figures.montage(panels, [*images, "5 x deviation", "truth"], window=(0.0, 1.0), columns=3)
ig.figures.save(figure, arguments.output)

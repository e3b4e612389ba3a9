"""From sparse, noisy projections to an image: filtered backprojection against total variation.

python examples/tomography.py [--size 256] [--views 60] [--output tomography.png]
"""

import argparse

import invgen as ig

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--size", type=int, default=256, help="pixels across the image")
parser.add_argument("--views", type=int, default=60, help="number of view angles over half a turn")
parser.add_argument("--output", default="tomography.png", help="picture to write")
arguments = parser.parse_args()

# the object and its projections are known in closed form: nothing is tested on the model that made it
n = arguments.size
A = ig.operators.Radon((n, n), angles=arguments.views)
phantom = ig.phantoms.foam(seed=0, half_width=n / 2)
truth = phantom.image((n, n), pixel_size=1.0).float()
clean = phantom.sinogram(A.angles, A.geometry.detector_count).float()

# a measurement is noise(operator(image)); a problem holds all three
noise = ig.noise.Gaussian(0.01 * float(clean.max()))
problem = ig.Problem(A, noise.sample(clean, seed=0), noise)

# solvers are called on problems; the weight of the prior follows from the noise level
solvers = {
    "FBP": ig.solvers.FBP(),
    "CG": ig.solvers.CG(),
    "TV": ig.solvers.PDHG(ig.priors.TotalVariation(nonnegative=True)),
}
images = {}
for name, solver in solvers.items():
    result = solver(problem)
    images[name] = result.x
    psnr, ssim = float(ig.metrics.psnr(result.x, truth)), float(ig.metrics.ssim(result.x, truth))
    print(f"{name:4s} {psnr:5.1f} dB, SSIM {ssim:.3f}, {result.stats['seconds']:6.2f} s")

figure = ig.figures.montage([*images.values(), truth], [*images, "truth"], window=(0.0, float(truth.max())))
ig.figures.save(figure, arguments.output)

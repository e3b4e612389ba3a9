"""A cone-beam scan: the method of Feldkamp, Davis and Kress against ordered subsets and total variation.

python examples/cone_beam.py [--size 96] [--views 60] [--output cone_beam.png]
"""

import argparse

import invgen as ig

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--size", type=int, default=96, help="voxels across a slice; a third as many slices")
parser.add_argument("--views", type=int, default=60, help="number of view angles over a full turn")
parser.add_argument("--output", default="cone_beam.png", help="picture to write")
arguments = parser.parse_args()

# distances in voxels; the panel is as large as the volume's shadow
n, slices = arguments.size, arguments.size // 3
A = ig.operators.ConeBeam((slices, n, n), arguments.views, source_origin=3.0 * n, source_detector=4.5 * n)
g = A.geometry

# ellipsoids are projected in closed form
phantom = ig.phantoms.foam_3d(seed=0, half_width=n / 2, half_height=slices / 2)
truth = phantom.volume(A.domain.shape, voxel_size=1.0).float()
spacing = (g.row_spacing, g.fan.detector_spacing)
panel = (g.row_count, g.fan.detector_count)
clean = phantom.cone_sinogram(A.angles, g.fan.source_origin, g.fan.source_detector, panel, spacing).float()
noise = ig.noise.Gaussian(0.01 * float(clean.max()))
problem = ig.Problem(A, noise.sample(clean, seed=0), noise)

solvers = {
    "FDK": ig.solvers.FDK(),
    "OSSART": ig.solvers.OSSART(nonnegative=True),
    "TV": ig.solvers.FISTA(ig.priors.TotalVariation(nonnegative=True, axes=(-3, -2, -1)), iterations=60),
}
middle, images = slices // 2, {}
for name, solver in solvers.items():
    result = solver(problem)
    images[name] = result.x[middle]
    psnr = float(ig.metrics.psnr(images[name], truth[middle]))
    print(f"{name:6s} {psnr:5.1f} dB in the middle, {result.stats['seconds']:6.2f} s")

figure = ig.figures.montage(
    [*images.values(), truth[middle]], [*images, "truth"], window=(0.0, float(truth.max()))
)
ig.figures.save(figure, arguments.output)

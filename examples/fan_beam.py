"""A fan-beam scanner whose detector is not quite where it should be: calibrate, then reconstruct.

python examples/fan_beam.py [--size 256] [--views 360] [--output fan_beam.png]
"""

import argparse

import invgen as ig

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--size", type=int, default=256, help="pixels across the image")
parser.add_argument("--views", type=int, default=360, help="number of view angles over a full turn")
parser.add_argument("--output", default="fan_beam.png", help="picture to write")
arguments = parser.parse_args()

# distances in pixels: the source turns at twice the image's width, the detector stands at three times that
n, views = arguments.size, arguments.views
stated = ig.operators.FanBeam((n, n), views, source_origin=2.0 * n, source_detector=6.0 * n)
g = stated.geometry

# the scan, exact but for the noise: the detector is displaced by two bins and a half
phantom = ig.phantoms.foam(seed=0, half_width=0.98 * n / 2)
truth = phantom.image((n, n), pixel_size=1.0).float()
offset = 2.5 * g.detector_spacing
clean = phantom.fan_sinogram(
    stated.angles, g.source_origin, g.source_detector, g.detector_count, g.detector_spacing, offset
).float()
noise = ig.noise.Gaussian(0.01 * float(clean.max()))
sinogram = noise.sample(clean, seed=0)

# the detector's offset is estimated from rays that are measured twice
found = ig.operators.calibrate(stated, sinogram)
print(f"offset {found.detector_offset / g.detector_spacing:.3f} bins, true 2.500")

# then a short scan of every fourth view: half a turn and the fan's angle
A = found.operator
short = slice(0, int(views * 0.62), 4)
few = ig.Problem(A.subset(short), sinogram[short], noise)
images = {
    "FBP, as stated": ig.solvers.FBP()(ig.Problem(stated, sinogram, noise)).x,
    "FBP, calibrated": ig.solvers.FBP()(ig.Problem(A, sinogram, noise)).x,
    "FBP, short scan": ig.solvers.FBP()(few).x,
    "TV, short scan": ig.solvers.FISTA(ig.priors.TotalVariation(nonnegative=True))(few).x,
}
for name, x in images.items():
    print(f"{name:16s} {float(ig.metrics.psnr(x, truth)):5.1f} dB")

figure = ig.figures.montage(
    [*images.values(), truth], [*images, "truth"], window=(0.0, float(truth.max())), columns=5
)
ig.figures.save(figure, arguments.output)

"""Inpainting, super-resolution, deblurring, and a photograph that only random patterns have seen.

python examples/imaging.py [--size 256] [--output imaging.png]
"""

import argparse

import torch
from skimage.data import camera
from skimage.transform import resize

import invgen as ig
from invgen.operators import kernels, masks

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--size", type=int, default=256, help="pixels across the photograph, a power of two")
parser.add_argument("--output", default="imaging.png", help="picture to write")
arguments = parser.parse_args()

n = arguments.size
truth = torch.from_numpy(resize(camera(), (n, n), anti_aliasing=True)).float()
operators = {
    "half of the pixels": ig.operators.Mask(masks.random_pixels((n, n), 0.5, seed=0)),
    "a third of the size": ig.operators.Downsample((n, n), 3, kind="bicubic"),
    "blurred by motion": ig.operators.Blur((n, n), kernels.motion_kernel(9.0, 0.4)),
    "a third of random patterns": ig.operators.SubsampledTransform((n, n), n * n // 3, "hadamard"),
}

# whatever the operator, a problem is solved in the same way; the weight follows from the noise level
noise, tv = ig.noise.Gaussian(0.01), ig.solvers.PDHG(ig.priors.TotalVariation())
problems = {name: ig.Problem(A, noise.sample(A(truth), seed=0), noise) for name, A in operators.items()}
methods = {
    "least squares": lambda problem: problem.operator.pinv(problem.measurement),
    "TV": lambda problem: tv(problem).x,
}
images, titles = [], []
for method, solve in methods.items():
    for name, problem in problems.items():
        images.append(solve(problem))
        psnr = float(ig.metrics.psnr(images[-1], truth))
        titles.append(f"{name}\n{method}, {psnr:.1f} dB")
        print(f"{name:27s} {method:14s} {psnr:5.1f} dB")

figure = ig.figures.montage(images, titles, window=(0.0, 1.0), columns=4)
ig.figures.save(figure, arguments.output)

"""Compressed sensing of photographs and digits by the lasso: what is sparse, pixels, cosines or wavelets?

python examples/compressed_sensing.py --digits t10k-images-idx3-ubyte.gz [--output sensing.png]
"""

import argparse

import numpy as np
import torch
from skimage.data import astronaut, camera
from skimage.transform import resize

import invgen as ig

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--digits", required=True, help="digits of 28x28 pixels, such as MNIST's IDX file")
parser.add_argument("--size", type=int, default=256, help="pixels across a photograph, a multiple of 8")
parser.add_argument("--fraction", type=float, default=0.3, help="measurements per pixel")
parser.add_argument("--output", default="sensing.png", help="picture to write")
arguments = parser.parse_args()

n = arguments.size
grey = (camera() / 255, astronaut().mean(-1) / 255)
photographs = torch.stack([torch.from_numpy(resize(x, (n, n), anti_aliasing=True)) for x in grey]).float()
digits = torch.from_numpy(np.stack(ig.io.read_images(arguments.digits)[:4]))
images = {"photographs": photographs, "digits": digits}

panels, titles = [], []
for name, truth in images.items():
    shape = tuple(truth.shape[-2:])
    m = round(arguments.fraction * truth[0].numel())
    # random patterns: of a photograph a subset of a fast transform, of a digit a dense matrix
    A = (
        ig.operators.GaussianMatrix(shape, m, seed=0)
        if name == "digits"
        else ig.operators.SubsampledTransform(shape, m, seed=0)
    )
    noise = ig.noise.Gaussian(0.01)
    problem = ig.Problem(A, noise.sample(A(truth), seed=0), noise)
    bases = {
        "pixels": None,
        "cosines": ig.operators.DCT(shape),
        "wavelets": ig.operators.Wavelet(shape, levels=2 if name == "digits" else 3),
    }
    results = {basis: ig.solvers.Lasso(transform=T)(problem) for basis, T in bases.items()}
    panels += [result.x[0] for result in results.values()] + [truth[0]]
    for basis, result in results.items():
        psnr = float(ig.metrics.psnr(result.x, truth, data_range=1.0).mean())
        iterations = int(result.stats["iterations"].max())
        titles.append(f"{basis}, {psnr:.1f} dB")
        print(f"{name:12s} {basis:9s} {psnr:5.1f} dB, {iterations} iterations")
    titles.append("truth")

figure = ig.figures.montage(panels, titles, window=(0.0, 1.0), columns=4)
ig.figures.save(figure, arguments.output)

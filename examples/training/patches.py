"""Train `patches-gray`: a Gaussian mixture of the patches of photographs, for EPLL.

Learns from photographs that scikit-image installs, and prints the PSNR of others that it denoises. Takes
about a minute on one core.

python examples/training/patches.py -o patches-gray.safetensors --test kodim01.png kodim04.png
"""

import argparse
import time
from pathlib import Path

import skimage.data
import torch

import invgen as ig

PHOTOGRAPHS = """astronaut.png brick.png camera.png chelsea.png coffee.png coins.png grass.png gravel.png
    motorcycle_left.png rocket.jpg"""

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("-o", "--output", default="patches-gray.safetensors")
parser.add_argument("--components", type=int, default=100)
parser.add_argument("--patches", type=int, default=100_000)
parser.add_argument("--iterations", type=int, default=20)
parser.add_argument(
    "--test", nargs="*", default=[], help="photographs to denoise, at a noise level of 25 / 255"
)
arguments = parser.parse_args()


def gray(path):
    return torch.from_numpy(ig.io.read_images(path, gray=True)[0])


began = time.perf_counter()
prior = ig.priors.PatchMixture.fit(
    [gray(Path(skimage.data.__file__).parent / name) for name in PHOTOGRAPHS.split()],
    patch=8,
    components=arguments.components,
    patches=arguments.patches,
    iterations=arguments.iterations,
    seed=0,
)
prior.save(arguments.output, dtype=torch.float16, data=PHOTOGRAPHS.split())
print(f"trained in {time.perf_counter() - began:.0f} s")

prior = ig.priors.load(arguments.output)
noise = ig.noise.Gaussian(25 / 255)
for path in arguments.test:
    x = gray(path)
    problem = ig.Problem(ig.operators.Identity(tuple(x.shape)), noise.sample(x, seed=0), noise)
    result = ig.solvers.EPLL(prior, scale=1.0)(problem)
    psnr, likelihood = ig.metrics.psnr(result.x, x, data_range=1.0), -float(prior.value(x)) / x.numel()
    print(
        f"{Path(path).name}: {psnr:.2f} dB in {result.stats['seconds']:.0f} s; {likelihood:.3f} nats a pixel"
    )

"""Train a denoising autoencoder of handwritten digits, 28x28 pixels, and draw from its Markov chain.

python examples/training/digits_autoencoder.py --images train-images-idx3-ubyte.gz
"""

import argparse

import torch

import invgen as ig
from invgen.priors.training import Training
from invgen.priors.training.families import train

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--images", required=True, nargs="+", help="MNIST's images, IDX files")
parser.add_argument("--steps", type=int, default=10_000)
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--widths", type=int, nargs="+", default=[32, 64, 64])
parser.add_argument("--sigma", type=float, default=0.3)
parser.add_argument("--walkback", type=int, default=1)
parser.add_argument("--every", type=int, default=1000, help="steps between pictures of samples")
parser.add_argument("--folder", default="digits-autoencoder", help="of the log, samples, and the state")
parser.add_argument("--output", default="digits-autoencoder.safetensors")
arguments = parser.parse_args()

images = [torch.from_numpy(x) for file in arguments.images for x in ig.io.read_images(file)]
prior = ig.priors.DenoisingAutoencoder.untrained(
    (28, 28), sigma=arguments.sigma, walkback=arguments.walkback, widths=arguments.widths
)


def show(prior, step):
    """Where chains from noise have come after a while, as means of the reconstruction."""
    drawn = prior.denoise(prior.sample(40, seed=0, steps=100), prior.sigma)
    ig.figures.save_grid(drawn.clamp(0, 1), f"{arguments.folder}/step-{step}.png", columns=10)


training = Training(
    arguments.steps, learning_rate=1e-3, warmup=100, precision="bf16", validate_every=arguments.every
)
prior = train(
    prior,
    images,
    folder=arguments.folder,
    batch_size=arguments.batch,
    training=training,
    show=show,
    progress=True,
)
prior.save(
    arguments.output,
    data=f"{len(images)} images of MNIST, LeCun and Cortes, CC BY-SA 3.0",
    training={"steps": arguments.steps, "batch": arguments.batch, "seed": 0},
)

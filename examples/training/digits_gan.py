"""Train `digits-gan`: handwritten digits of 28x28 pixels, made from 64 normal numbers each.

python examples/training/digits_gan.py mnist-train-*-images-idx3-ubyte.gz

It goes on where it was interrupted, with the same arguments.
"""

import argparse

import torch

import invgen as ig
from invgen.priors.training import Training, train

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("images", nargs="+", help="MNIST's training images, IDX files")
parser.add_argument("--loss", default="non-saturating", help="or least-squares, wasserstein")
parser.add_argument("--steps", type=int, default=9000)
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--widths", type=int, nargs="+", default=(192, 96))
parser.add_argument("--seed", type=int, default=0)
parser.add_argument(
    "--folder", default="digits-gan", help="of the log, samples, and the state to resume from"
)
parser.add_argument("--output", default="digits-gan.safetensors")
arguments = parser.parse_args()

images = [torch.from_numpy(x) for path in arguments.images for x in ig.io.read_images(path)]
prior = ig.priors.GAN.untrained(
    (28, 28), widths=tuple(arguments.widths), loss=arguments.loss, seed=arguments.seed
)


def show(prior, step):
    ig.figures.save_grid(prior.sample(100, seed=0), f"{arguments.folder}/step-{step}.png", columns=10)


# of Radford, Metz and Chintala (2016), sec. 4
rate = 1e-4 if arguments.loss == "wasserstein" else 2e-4
training = Training(arguments.steps, rate, precision="bf16", seed=arguments.seed)
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
    dtype=torch.float16,
    data="MNIST's 60,000 training digits, LeCun and Cortes, CC BY-SA 3.0",
    training={
        "loss": arguments.loss,
        "steps": arguments.steps,
        "batch": arguments.batch,
        "seed": arguments.seed,
    },
)

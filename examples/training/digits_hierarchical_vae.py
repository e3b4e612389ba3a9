"""Train `digits-hierarchical-vae`: a variational autoencoder of digits of 28x28 pixels, 8 bit, with levels.

python examples/training/digits_hierarchical_vae.py train-images-idx3-ubyte.gz --test \\
    t10k-images-idx3-ubyte.gz

A run that is stopped is resumed when it is started again with the same folder.
"""

import argparse

import torch
from digits_bounds import bits_by_bounds, shown

import invgen as ig
from invgen.priors import HierarchicalVAE
from invgen.priors.training import Training, train

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("images", nargs="+", help="digits to learn from: MNIST's, one or more IDX files")
parser.add_argument("--test", required=True, help="digits to report on, an IDX file")
parser.add_argument("--weighted", type=int, default=250, help="of these, those with the tighter bound")
parser.add_argument(
    "--latent", type=int, nargs="+", default=[4, 4, 4], help="channels of each level of latent variables"
)
parser.add_argument("--widths", type=int, nargs="+", default=[32, 64])
parser.add_argument("--blocks", type=int, default=1, help="residual blocks of each network")
parser.add_argument("--mixtures", type=int, default=5, help="logistics for each pixel")
parser.add_argument("--steps", type=int, default=8000)
parser.add_argument("--rate", type=float, default=2e-3, help="the learning rate at its largest")
parser.add_argument("--batch", type=int, default=64)
parser.add_argument(
    "--folder", default="digits-hierarchical-vae", help="of the log, samples, and the state to resume from"
)
parser.add_argument("--output", default="digits-hierarchical-vae.safetensors")
arguments = parser.parse_args()

digits = torch.stack([torch.from_numpy(x) for path in arguments.images for x in ig.io.read_images(path)])
held_out = torch.stack([torch.from_numpy(x) for x in ig.io.read_images(arguments.test)])


def show(prior, step):
    """Samples and reconstructions as a picture, and the bits per dimension of held-out digits."""
    return shown(prior, held_out, f"{arguments.folder}/step-{step}.png")


prior = HierarchicalVAE.untrained(
    digits.shape[1:],
    latent=arguments.latent,
    widths=arguments.widths,
    blocks=arguments.blocks,
    mixtures=arguments.mixtures,
)
training = Training(arguments.steps, learning_rate=arguments.rate, warmup=300, precision="bf16")
prior = train(
    prior,
    digits,
    folder=arguments.folder,
    batch_size=arguments.batch,
    training=training,
    show=show,
    progress=True,
)
quality = bits_by_bounds(prior, held_out, arguments.weighted)
print(*(f"{name}: {value}" for name, value in quality.items()), sep="\n")
prior.save(
    arguments.output,
    dtype=torch.float16,
    data=f"{len(digits)} images of MNIST's training set, LeCun and Cortes, CC BY-SA 3.0",
    quality=quality,
    training={"steps": arguments.steps, "batch": arguments.batch, "seed": 0},
)

"""Train `digits-vae`: a variational autoencoder of handwritten digits of 28x28 pixels, 8 bit.

python examples/training/digits_vae.py train-images-idx3-ubyte.gz --test t10k-images-idx3-ubyte.gz
"""

import argparse

import torch
from digits_bounds import bits_by_bounds, shown

import invgen as ig
from invgen.priors import VAE
from invgen.priors.training import Training, train

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("images", nargs="+", help="digits to learn from: MNIST's, one or more IDX files")
parser.add_argument("--test", required=True, help="digits to report on, an IDX file")
parser.add_argument("--weighted", type=int, default=250, help="of these, those with the tighter bound")
parser.add_argument("--latent", type=int, default=40, help="number of latent variables")
parser.add_argument("--widths", type=int, nargs="+", default=[64, 96])
parser.add_argument("--mixtures", type=int, default=3, help="logistics for each pixel")
parser.add_argument("--steps", type=int, default=6500)
parser.add_argument("--batch", type=int, default=64)
parser.add_argument(
    "--folder", default="digits-vae", help="of the log, samples, and the state to resume from"
)
parser.add_argument("--output", default="digits-vae.safetensors")
arguments = parser.parse_args()

digits = torch.stack([torch.from_numpy(x) for path in arguments.images for x in ig.io.read_images(path)])
held_out = torch.stack([torch.from_numpy(x) for x in ig.io.read_images(arguments.test)])


def show(prior, step):
    """Samples and reconstructions as a picture, and the bits per dimension of held-out digits."""
    return shown(prior, held_out, f"{arguments.folder}/step-{step}.png")


prior = VAE.untrained(
    digits.shape[1:], latent=arguments.latent, widths=arguments.widths, mixtures=arguments.mixtures
)
training = Training(arguments.steps, learning_rate=1.5e-3, warmup=300, precision="bf16")
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

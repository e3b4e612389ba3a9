"""Train an energy model of handwritten digits, 28x28 pixels.

python examples/training/digits_energy.py --images train-images-idx3-ubyte.gz
"""

import argparse

import torch

import invgen as ig
from invgen.priors.training import Training
from invgen.priors.training.families import train

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--images", required=True, nargs="+", help="MNIST's images, IDX files")
parser.add_argument("--steps", type=int, default=20_000)
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 128])
parser.add_argument("--sigma", type=float, default=0.1, help="noise of the images whose density is learned")
parser.add_argument("--chains", type=int, default=1024)
parser.add_argument("--every", type=int, default=1000, help="steps between pictures of samples")
parser.add_argument("--folder", default="digits-energy", help="of the log, samples, and the state to resume")
parser.add_argument("--output", default="digits-energy.safetensors")
arguments = parser.parse_args()

images = [torch.from_numpy(x) for file in arguments.images for x in ig.io.read_images(file)]
prior = ig.priors.EnergyModel.untrained(
    (28, 28), sigma=arguments.sigma, widths=arguments.widths, chains=arguments.chains, langevin_steps=20
)


def show(prior, step):
    """Samples of chains begun at noise, without the noise of the density."""
    drawn = prior.denoise(prior.sample(40, seed=0, steps=500), prior.sigma)
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

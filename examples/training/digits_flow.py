"""Train `digits-flow`: the density of handwritten digits of 28x28 pixels.

python examples/training/digits_flow.py mnist-train-*-images-idx3-ubyte.gz --test t10k-images-idx3-ubyte.gz

A run that is stopped is resumed when it is started again with the same folder.
"""

import argparse
import math

import torch

import invgen as ig
from invgen.priors.training import Training, train

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("images", nargs="+", help="MNIST's training images, in one or several IDX files")
parser.add_argument("--test", required=True, help="the images of the test, an IDX file")
parser.add_argument("--scales", type=int, default=2)
parser.add_argument("--glow-steps", type=int, default=2, help="steps of Glow at each scale")
parser.add_argument("--width", type=int, default=32, help="channels of the networks")
parser.add_argument("--coupling", choices=["spline", "affine"], default="spline")
parser.add_argument("--steps", type=int, default=6000, help="batches")
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--rate", type=float, default=1.2e-3, help="the learning rate at its largest")
parser.add_argument(
    "--folder", default="digits-flow", help="of the log, samples, and the state to resume from"
)
parser.add_argument("--output", default="digits-flow.safetensors")
arguments = parser.parse_args()

images = [torch.from_numpy(x) for path in arguments.images for x in ig.io.read_images(path)]
test = torch.stack([torch.from_numpy(x) for x in ig.io.read_images(arguments.test)])


def bits_per_dimension(prior, images, draws):
    """Of 8-bit images, by uniform dequantization: mean and standard error over the images."""
    generator, w = torch.Generator().manual_seed(0), 1 / 255
    found = 0
    with torch.no_grad():
        for _ in range(draws):
            u = torch.rand(images.shape, generator=generator)
            found += prior.log_prob(images + w * (u - 0.5)) / draws
    bits = -(found / images[0].numel() + math.log(w)) / math.log(2)
    return float(bits.mean()), float(bits.std() / len(bits) ** 0.5)


def show(prior, step):
    """Samples, and the bits of some digits that it has not seen."""
    ig.figures.save_grid(
        prior.sample(30, seed=0).clamp(0, 1), f"{arguments.folder}/step-{step}.png", columns=10
    )
    return {"bits": bits_per_dimension(prior, test[::20], 1)[0]}


prior = ig.priors.Flow.untrained(
    (28, 28),
    scales=arguments.scales,
    steps=arguments.glow_steps,
    width=arguments.width,
    coupling=arguments.coupling,
)
training = Training(
    arguments.steps,
    learning_rate=arguments.rate,
    warmup=200,
    precision="bf16",
    validate_every=min(1000, arguments.steps),
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
found, error = bits_per_dimension(prior, test, 4)
print(f"{len(test)} test digits: {found:.4f} +- {error:.4f} bits per dimension")
prior.save(
    arguments.output,
    dtype=torch.float16,
    data=f"{len(images)} images of MNIST's training set, LeCun and Cortes, CC BY-SA 3.0",
    quality={"bits per dimension of test digits, uniform dequantization": round(found, 4)},
    training={"steps": arguments.steps, "batch": arguments.batch, "seed": training.seed},
)
half, _ = bits_per_dimension(ig.priors.load(arguments.output), test, 1)
print(f"as in the file: {half:.4f} bits per dimension")

"""Train `digits`: handwritten digits of 28x28 pixels, by class.

python examples/training/digits.py mnist-train-*-images-idx3-ubyte.gz \
    --labels mnist-train-*-labels-idx1-ubyte.gz --test t10k-images-idx3-ubyte.gz
"""

import argparse

import torch

import invgen as ig
from invgen.priors.nets import EDM, UNet
from invgen.priors.training import ScoreMatching, Training

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("images", nargs="+", help="MNIST's training images, IDX files")
parser.add_argument("--labels", nargs="+", required=True, help="their classes, in the same order")
parser.add_argument("--test", required=True, help="its test images, an IDX file")
parser.add_argument("--steps", type=int, default=4500)
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--folder", default="digits", help="of the log, samples, and the state to resume from")
parser.add_argument("--output", default="digits.safetensors")
arguments = parser.parse_args()

images = [2 * torch.from_numpy(x)[None] - 1 for path in arguments.images for x in ig.io.read_images(path)]
labels = torch.cat([torch.from_numpy(ig.io.read_labels(path)) for path in arguments.labels])
sigma_data = float(torch.stack(images).square().mean().sqrt())
# classes and shapes are determined at noise levels about and above that of the digits
draws = {"batch_size": arguments.batch, "mean": 0.0, "std": 1.6, "labels": labels}
network = EDM(UNet(widths=(64, 128), unshuffle=2, attention=(1,), classes=10, dropout=0.1), sigma_data)


def prior(module):
    return ig.priors.Diffusion(module, (28, 28), classes=10, sigma_data=sigma_data, sigma_range=(0.005, 20.0))


def show(module, step):
    """Two of each class."""
    samples = torch.cat([prior(module).of_class(k).sample(2, seed=0, steps=18) for k in range(10)])
    ig.figures.save_grid(samples, f"{arguments.folder}/step-{step}.png", columns=20)
    return {}


training = Training(arguments.steps, learning_rate=1e-3, warmup=200, precision="bf16", validate_every=1000)
module = training(network, ScoreMatching(images, **draws), arguments.folder, show, progress=True)
# with classes shapes are learned soonest; at the end, half without: most posteriors have no class
training = Training(arguments.steps, learning_rate=5e-4, warmup=50, precision="bf16", seed=1)
objective = ScoreMatching(images, **draws, withheld=0.5)
module = training(module, objective, f"{arguments.folder}/without", progress=True)
held_out = torch.stack([torch.from_numpy(x) for x in ig.io.read_images(arguments.test)[-1000:]])
noise = ig.noise.Gaussian(0.3)
image = prior(module).denoise(noise.sample(held_out, seed=0), 0.3)
quality = round(float(ig.metrics.psnr(image, held_out, data_range=1.0).mean()), 2)
print(f"test digits, sigma 0.3: {quality} dB")
prior(module).save(
    arguments.output,
    dtype=torch.float16,
    data="MNIST's 60,000 training digits, LeCun and Cortes, CC BY-SA 3.0",
    quality={"mean PSNR in dB of test digits at sigma 0.3": quality},
    training={"steps": arguments.steps, "batch": arguments.batch, "seed": 0},
)

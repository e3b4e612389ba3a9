"""Train `digits-autoregressive`: handwritten digits of 28x28 pixels and 8 bits, pixel by pixel.

python examples/training/digits_autoregressive.py mnist-train-*-images-idx3-ubyte.gz \
    --test t10k-images-idx3-ubyte.gz
"""

import argparse
import math
from functools import partial

import torch

import invgen as ig
from invgen.priors.training import Training, train

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("images", nargs="+", help="MNIST's training images, IDX files")
parser.add_argument("--test", required=True, help="its test images, an IDX file")
parser.add_argument("--width", type=int, default=64)
parser.add_argument("--layers", type=int, default=8)
parser.add_argument("--steps", type=int, default=10_000, help="of each run by logistics")
parser.add_argument(
    "--softmax", type=int, nargs="+", default=[9000, 7000], help="steps of the runs by a softmax"
)
parser.add_argument("--batch", type=int, default=16)
parser.add_argument("--judged", type=int, default=8000, help="test images that the result is judged by")
parser.add_argument("--folder", default="digits-autoregressive", help="of the log, samples, and the state")
parser.add_argument("--output", default="digits-autoregressive.safetensors")
arguments = parser.parse_args()

images = [torch.from_numpy(x) for path in arguments.images for x in ig.io.read_images(path)]
test = torch.stack([torch.from_numpy(x) for x in ig.io.read_images(arguments.test)])


def bits(prior, images):
    """Mean number of bits for each pixel."""
    each = torch.cat([prior.log_prob(some) for some in images.split(250)])
    return float(-each.mean()) / (images[0].numel() * math.log(2))


def show(prior, step, folder):
    ig.figures.save_grid(prior.sample(16, seed=0), f"{folder}/step-{step:06d}.png", columns=8)
    return {"test_bits": bits(prior, test[:500])}


def trained(prior, run, steps):
    """From averaged weights a run goes on with a learning rate that rises and falls once more."""
    training = Training(
        steps,
        learning_rate=1e-3,
        warmup=min(200, steps // 10),
        precision="bf16",
        seed=run,
        validate_every=1000,
    )
    folder = f"{arguments.folder}/{run}"
    return train(
        prior,
        images,
        folder=folder,
        batch_size=arguments.batch,
        training=training,
        show=partial(show, folder=folder),
        progress=True,
    )


size = {"width": arguments.width, "layers": arguments.layers}
prior = ig.priors.Autoregressive.untrained((28, 28), mixtures=10, **size)
prior = trained(trained(prior, 0, arguments.steps), 1, arguments.steps)
# logistics know the order of the levels, and learn faster; a softmax learns which ones are frequent: of some
# digits all are multiples of 64
known = prior.networks()["network"].state_dict()
prior = ig.priors.Autoregressive.untrained((28, 28), mixtures=0, **size)
network = prior.networks()["network"]
network.load_state_dict({name: x for name, x in known.items() if not name.startswith("out.")}, strict=False)
prior = prior.with_networks({"network": network})
for run, steps in enumerate(arguments.softmax, start=2):
    prior = trained(prior, run, steps)
quality = round(bits(prior, test[: arguments.judged]), 4)
print(f"{quality} bits per dimension of {min(arguments.judged, len(test))} test digits")
prior.save(
    arguments.output,
    dtype=torch.float16,
    data="MNIST's 60,000 training digits, LeCun and Cortes, CC BY-SA 3.0",
    quality={"bits per dimension of 8-bit test digits": quality},
    training={"steps": arguments.steps, "softmax": arguments.softmax, "batch": arguments.batch, "seed": 0},
)

"""Train `ct-phantoms`: random objects as in CT, of 128x128 pixels and other sizes.

python examples/training/ct_phantoms.py --output ct-phantoms.safetensors

Learns from patches without their positions: an object may be anywhere. A run that is stopped is resumed when
it is started again with the same folder.
"""

import argparse

import torch

import invgen as ig
from invgen.priors.nets import EDM, UNet
from invgen.priors.training import ScoreMatching, Training

HELD_OUT = 1_000_000  # seeds from here on are for testing

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--objects", type=int, default=3000, help="the number to learn from")
parser.add_argument("--size", type=int, default=128, help="pixels along each side")
parser.add_argument("--steps", type=int, default=5000)
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--widths", type=int, nargs="+", default=[64, 96, 128], help="of the network")
parser.add_argument(
    "--folder", default="ct-phantoms", help="of the log, samples, and the state to resume from"
)
parser.add_argument("--output", default="ct-phantoms.safetensors")
arguments = parser.parse_args()


def picture(seed):
    return ig.phantoms.random(seed).image((arguments.size,) * 2, 2 / arguments.size, 4).float()


images = [2 * picture(seed)[None] - 1 for seed in range(arguments.objects)]
sigma_data = float(torch.stack(images).square().mean().sqrt())
objective = ScoreMatching(
    images, batch_size=arguments.batch, patch=arguments.size // 2, mean=-1.2, std=1.6, flips=True
)
network = EDM(UNet(widths=arguments.widths, unshuffle=2), sigma_data)

held_out = torch.stack([picture(HELD_OUT + i) for i in range(8)])
noise = ig.noise.Gaussian(0.1)
noisy = noise.sample(held_out, seed=0)


def prior(module):
    return ig.priors.Diffusion(module, sigma_data=sigma_data, sigma_range=(0.005, 40.0))


def quality(module):
    return float(ig.metrics.psnr(prior(module).denoise(noisy, 0.1), held_out, data_range=1.0).mean())


def show(module, step):
    """Objects drawn from the prior, and the PSNR of others that it denoises."""
    samples = prior(module).sample(8, seed=0, image_shape=(arguments.size,) * 2, steps=18)
    ig.figures.save_grid(samples, f"{arguments.folder}/step-{step}.png", columns=8)
    return {"psnr": quality(module)}


training = Training(
    arguments.steps, learning_rate=8e-4, precision="bf16", validate_every=min(1000, arguments.steps)
)
module = training(network, objective, arguments.folder, show, progress=True)
found = quality(module)
prior(module).save(
    arguments.output,
    dtype=torch.float16,
    data=f"invgen.phantoms.random of the seeds 0 to {arguments.objects - 1}, {arguments.size} pixels",
    training={"steps": arguments.steps, "batch": arguments.batch, "seed": training.seed},
    quality={"PSNR of 8 held-out objects at sigma 0.1 (noisy: 20 dB)": round(found, 2)},
)
print(f"held-out objects at sigma 0.1: {found:.2f} dB")

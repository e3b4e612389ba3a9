"""Train `chest-ct`: axial slices of the chest, of 256x256 pixels and other sizes.

python examples/training/chest_ct.py ct_slices/*.npz --output chest-ct.safetensors

Learns attenuation over that of water, 1 + HU / 1000: air is zero, and an image in other units of attenuation
is a multiple. By patches without their positions, at several sizes of a pixel, mirrored and rotated. Every
fourth patient is for testing. A run that is stopped is resumed when it is started again with the same folder.
"""

import argparse

import numpy as np
import torch
from skimage.transform import rescale

import invgen as ig
from invgen.priors.nets import EDM, UNet
from invgen.priors.training import ScoreMatching, Training

LARGEST = 2.5  # 1500 HU: bone; metal is not learned
SCALES = (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)  # of slices of 512x512 pixels

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("slices", nargs="+", help="NPZ files: hu (n, H, W), and the patient of each")
parser.add_argument("--patch", type=int, default=96)
parser.add_argument("--steps", type=int, default=6000)
parser.add_argument("--batch", type=int, default=16)
parser.add_argument("--widths", type=int, nargs="+", default=[64, 96, 128], help="of the network")
parser.add_argument("--folder", default="chest-ct", help="of the log, samples, and the state to resume from")
parser.add_argument("--output", default="chest-ct.safetensors")
arguments = parser.parse_args()

slices = {}
for path in arguments.slices:
    with np.load(path) as file:
        for patient, hounsfield in zip(file["patient"], file["hu"], strict=True):
            slices[str(patient)] = np.clip(1 + hounsfield / 1000, 0, LARGEST).astype(np.float32)
test = list(slices)[3::4]
smaller = [
    torch.from_numpy(rescale(x, scale, anti_aliasing=True))[None]
    for patient, x in slices.items()
    if patient not in test
    for scale in SCALES
]
images = [2 * x / LARGEST - 1 for x in smaller]
sigma_data = float(torch.cat([x.flatten() for x in images]).square().mean().sqrt())
objective = ScoreMatching(
    images, batch_size=arguments.batch, patch=arguments.patch, mean=-2.0, std=1.6, flips=True
)
network = EDM(UNet(widths=arguments.widths, unshuffle=2), sigma_data)

# pixels of twice the size
held_out = torch.nn.functional.avg_pool2d(torch.stack([torch.from_numpy(slices[k]) for k in test]), 2)
noise = ig.noise.Gaussian(0.1)
noisy = noise.sample(held_out, seed=0)


def prior(module):
    return ig.priors.Diffusion(
        module, value_range=(0.0, LARGEST), sigma_data=sigma_data, sigma_range=(0.002, 40.0)
    )


def quality(module):
    return float(ig.metrics.psnr(prior(module).denoise(noisy, 0.1), held_out, data_range=1.0).mean())


def show(module, step):
    """Slices drawn from the prior, and the PSNR of those held out that it denoises."""
    samples = prior(module).sample(4, seed=0, image_shape=tuple(held_out.shape[1:]), steps=18)
    ig.figures.save_grid(samples, f"{arguments.folder}/step-{step}.png", columns=4)
    return {"psnr": quality(module)}


training = Training(
    arguments.steps, learning_rate=8e-4, precision="bf16", validate_every=min(1000, arguments.steps)
)
module = training(network, objective, arguments.folder, show, progress=True)
found = quality(module)
prior(module).save(
    arguments.output,
    dtype=torch.float16,
    data=f"chest CT of {len(slices) - len(test)} patients, a slice each; held out: {', '.join(test)}",
    training={"steps": arguments.steps, "batch": arguments.batch, "seed": training.seed},
    quality={"PSNR of the slices held out at sigma 0.1, 100 HU (noisy: 20 dB)": round(found, 2)},
)
print(f"slices held out at sigma 0.1: {found:.2f} dB")

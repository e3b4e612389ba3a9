"""Train `brain-mr`: slices of heads, as complex images with the phase of a receiver coil.

python examples/training/brain_mr.py heads/[abfgi]_*.nii.gz --test i --output brain-mr.safetensors

Learns from random slices of several heads, at random places, angles, sizes and contrasts, with random smooth
phases and brightness: first by patches with their positions, then whole, and last on the coarser grid of high
noise levels, which decide on outline and phase. One person is held out for testing. A run that is stopped is
resumed when it is started again with the same folder.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from heads import Head, HeadSlices, in_random_contrast

import invgen as ig
from invgen.priors.nets import EDM, Pyramid, UNet
from invgen.priors.nets.positions import CHANNELS
from invgen.priors.nets.pyramid import low_pass
from invgen.priors.training import ScoreMatching, Training, random_phases

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument(
    "heads", nargs="+", help="in NIfTI; the name of a file begins with that of the person and _"
)
parser.add_argument("--test", default="i", help="the person who is held out")
parser.add_argument("--slices", type=int, default=2400, help="to learn from")
parser.add_argument("--coarse-slices", type=int, default=10000, help="to learn from on the coarser grid")
parser.add_argument("--shape", type=int, nargs=2, default=[256, 192], help="of the slices")
parser.add_argument("--pixel", type=float, default=0.9, help="its side in mm")
parser.add_argument("--patch", type=int, default=64)
parser.add_argument("--steps", type=int, default=4000, help="with patches; whole slices take as many again")
parser.add_argument("--grid-steps", type=int, default=2300, help="with slices on coarser grids")
parser.add_argument(
    "--batch", type=int, default=32, help="patches, or coarse slices; of whole slices an eighth"
)
parser.add_argument("--widths", type=int, nargs="+", default=[64, 96, 128, 128], help="of the network")
parser.add_argument("--folder", default="brain-mr", help="of the log, samples, and the state to resume from")
parser.add_argument("--output", default="brain-mr.safetensors")
arguments = parser.parse_args()

#: Sides of coarser pixels, and the noise levels above which these are used: at least five times the root mean
#: square of what they leave out. HIGHEST is four times the standard deviation of what slices have most of,
#: their mean: samples start from noise.
GRIDS, HIGHEST = ((4, 0.4), (8, 1.2), (16, 2.5)), 200.0


def whole_slice(generator):
    """One that shows much of a head, and not where its scan ends; with twice the side of the pixels."""
    while True:
        image = random_slice(generator, step=2)
        bright = (image > 0.2).float()
        ends = [bright[0], bright[:, 0], bright[:, -1]]
        if bright.mean() > 0.15 and max(float(end.mean()) for end in ends) < 0.1:
            return image


def coarser(image, side):
    """The local means over squares of pixels, as `Pyramid` sees them."""
    down, across = (low_pass(n // side, n, image) for n in image.shape[-2:])
    return down @ image @ across.mT / side


def as_received(images, generator):
    """In a random contrast, with a random brightness, and a random phase that is smooth across the image."""
    value = in_random_contrast(images, generator)
    return random_phases(torch.cat((value, 0 * value), dim=1), generator, smooth=True)


files = {path: Path(path).name.split("_")[0] for path in arguments.heads}
heads = {path: Head(path, tuple(arguments.shape), arguments.pixel) for path in files}
apart = [heads[path] for path, person in files.items() if person == arguments.test]
random_slice = HeadSlices([heads[path] for path, person in files.items() if person != arguments.test])
generator = np.random.default_rng(0)
images = [random_slice(generator)[None] for _ in range(arguments.slices)]
generator = np.random.default_rng(1)
whole_slices = torch.stack([whole_slice(generator)[None] for _ in range(arguments.coarse_slices)])
held_out = torch.stack([x.slice(p, i) for x in apart for p in x.planes()[:1] for i in x.indices(p)[1::3]])
held_out = held_out.to(torch.complex64)

# of real and imaginary part alike: phases rotate them into each other
sigma_data = float(torch.stack(images).square().mean().div(2).sqrt())
network = EDM(UNet(2 + CHANNELS, 2, widths=arguments.widths, unshuffle=2), sigma_data)
noise = ig.noise.Gaussian(0.05)
noisy = noise.sample(held_out, seed=0)


def pyramid(module):
    return Pyramid(module.network, sigma_data, GRIDS, phases=True)


def prior(module):
    return ig.priors.Diffusion(
        pyramid(module),
        field="complex",
        positioned=True,
        sigma_data=sigma_data,
        sigma_range=(0.002, HIGHEST),
    )


def quality(module):
    return float(ig.metrics.psnr(prior(module).denoise(noisy, 0.05), held_out, data_range=1.0).mean())


def show(module, step):
    """Slices drawn from the prior, and the PSNR of the head held out that it denoises."""
    samples = prior(module).sample(8, seed=0, image_shape=tuple(arguments.shape), steps=24)
    ig.figures.save_grid(samples.abs(), f"{arguments.folder}/step-{step}.png", columns=8)
    return {"psnr": quality(module)}


def matching(images, batch, patch=None, **levels):
    return ScoreMatching(images, max(1, batch), patch, positioned=True, transform=as_received, **levels)


def on_grid(number, batch):
    """Of slices on a coarser grid, whose pixels are local means times their side; noise of its levels."""
    side, low = GRIDS[number]
    high = GRIDS[number + 1][1] if number + 1 < len(GRIDS) else HIGHEST
    # the highest levels, which hide everything, are seldom needed
    ends = math.log(low), math.log(min(high, 10 * low))
    return ScoreMatching(
        coarser(whole_slices, side // 2),
        batch,
        positioned=True,
        transform=lambda images, generator: side * as_received(images, generator),
        mean=sum(ends) / 2,
        std=0.45 * (ends[1] - ends[0]),
        sigma_range=(low, high),
    )


def on_all_grids(module, generator):
    """The loss of each coarser grid, and of either patches or whole slices at the noise levels below."""
    fine = below[int(torch.randint(2, (), generator=generator))](module, generator)
    denoisers = pyramid(module).denoisers[1:]
    return fine + sum(loss(each, generator) for loss, each in zip(above, denoisers, strict=True))


# edges and textures by many patches; what belongs together by whole slices; outline and phase by coarse ones
patch, batch = arguments.patch, arguments.batch
patches = matching(images, batch, patch, mean=-2.2, std=1.6)
whole = matching(images, batch // 8, mean=-1.2, std=1.9)
low = (0.0, GRIDS[0][1])
below = (
    matching(images, batch // 4, patch, mean=-2.4, std=1.2, sigma_range=low),
    matching(images, batch // 32, mean=-1.8, std=1.0, sigma_range=low),
)
above = [on_grid(number, size) for number, size in enumerate((batch, 2 * batch, 4 * batch))]
stages = {
    "patches": (patches, arguments.steps, 8e-4, None),
    "whole": (whole, arguments.steps, 5e-4, None),
    "grids": (on_all_grids, arguments.grid_steps, 8e-4, show),
}
module = network
for seed, (stage, (objective, steps, rate, validate)) in enumerate(stages.items()):
    training = Training(
        steps,
        learning_rate=rate,
        warmup=100 if seed else 500,
        precision="bf16",
        validate_every=min(1150, steps),
        seed=seed,
    )
    module = training(module, objective, f"{arguments.folder}/{stage}", validate, progress=True)
found = quality(module)
prior(module).save(
    arguments.output,
    dtype=torch.float16,
    data=[Path(path).name for path, person in files.items() if person != arguments.test],
    training={name: vars(arguments)[name] for name in ("steps", "grid_steps", "batch")} | {"seed": 0},
    quality={"PSNR of slices of another head at sigma 0.05 of either part (noisy: 23.0 dB)": round(found, 2)},
)
print(f"slices of another head at sigma 0.05: {found:.2f} dB")

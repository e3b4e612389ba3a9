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

import nibabel
import numpy as np
import torch
from scipy.ndimage import map_coordinates, spline_filter
from scipy.spatial.transform import Rotation

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

#: Directions down and to the right on a slice: of right, front and up.
PLANES = {
    "axial": ((0, -1, 0), (1, 0, 0)),
    "coronal": ((0, 0, -1), (1, 0, 0)),
    "sagittal": ((0, 0, -1), (0, 1, 0)),
}


class Head:
    """A volume with its axes to the right, to the front and up; white matter of T1 is at about 0.7."""

    def __init__(self, path):
        image = nibabel.as_closest_canonical(nibabel.load(path))
        volume = image.get_fdata(dtype=np.float32)
        volume /= np.percentile(volume, 99.8)
        self.spacing = np.array(image.header.get_zooms())
        self.shape, self.splines = volume.shape, spline_filter(volume, order=3)
        self.center = np.array([np.average(n, weights=volume > 0.2) for n in np.indices(volume.shape)])
        #: The axis across the slices of a scan that has few.
        self.across = int(np.argmax(self.spacing)) if self.spacing.max() > 1.2 else None

    def planes(self):
        """Those that it can be seen in, and how often."""
        if self.across is None:
            return ["axial", "axial", "axial", "coronal", "sagittal"]
        return [["sagittal", "coronal", "axial"][self.across]]

    def slice(self, plane, index, angles=(0.0, 0.0, 0.0), size=1.0, shift=(0.0, 0.0), step=1):
        """One slice at a voxel along its normal, turned by angles in degrees, the last one in its plane.

        Of pixels of `step` times the side.
        """
        down, right = np.array(PLANES[plane], dtype=float)
        normal = np.cross(down, right)
        turn = Rotation.from_rotvec(np.deg2rad(angles) @ np.stack([down, right, normal]))
        pixel = arguments.pixel * size * step
        rows, columns = ((np.arange(n) - (n - 1) / 2) * pixel for n in np.array(arguments.shape) // step)
        rows, columns = rows[:, None, None] + shift[0], columns[None, :, None] + shift[1]
        center = self.center.copy()
        center[np.argmax(np.abs(normal))] = index
        places = center + (rows * turn.apply(down) + columns * turn.apply(right)) / self.spacing
        found = map_coordinates(self.splines, np.moveaxis(places, -1, 0), order=3, prefilter=False)
        return torch.from_numpy(found.clip(0)).float()

    def indices(self, plane):
        """Of the slices that show more than a little of the head."""
        axis = int(np.argmax(np.abs(np.cross(*PLANES[plane]))))
        return [i for i in range(self.shape[axis]) if (self.slice(plane, i) > 0.2).float().mean() > 0.1]


def random_slice(generator, step=1):
    """Any slice of any head that is learned from, in a pose and a size that another head could have."""
    head = heads[int(generator.integers(len(heads)))]
    plane = str(generator.choice(head.planes()))
    tilt = 8.0 if head.across is None else 0.0
    angles = generator.normal(0, (tilt, tilt, 6.0))
    # from front to back a head is longer than from side to side
    size = math.exp(generator.normal(0, 0.06)) * (1.2 if plane == "sagittal" else 1.0)
    index, shift = generator.choice(seen[head, plane]), generator.normal(0, 4.0, 2)
    image = head.slice(plane, index, angles, size, shift, step)
    return image if generator.random() < 0.5 else image.flip(-1)


def whole_slice(generator):
    """One that shows much of a head, and not where its scan ends; with twice the side of the pixels."""
    while True:
        image = random_slice(generator, 2)
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

    def normal(scale):
        return scale * torch.randn(len(images), 1, 1, 1, generator=generator, device=images.device)

    value = images.clamp(min=1e-4) ** torch.exp(normal(0.25))
    bright = 1 + normal(0.25) * torch.cos(math.pi * value) + normal(0.2) * torch.cos(2 * math.pi * value)
    value = torch.exp(normal(0.25)) * (value * bright).abs()
    return random_phases(torch.cat((value, 0 * value), dim=1), generator, smooth=True)


files = {path: Path(path).name.split("_")[0] for path in arguments.heads}
heads = [Head(path) for path, person in files.items() if person != arguments.test]
apart = [Head(path) for path, person in files.items() if person == arguments.test]
seen = {(head, plane): head.indices(plane) for head in heads for plane in set(head.planes())}
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

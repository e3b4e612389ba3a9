"""Train `brain-mr`: axial slices of a head, as complex images with the phase of a receiver coil.

python examples/training/brain_mr.py chris_t1.nii.gz --output brain-mr.safetensors

Learns from the slices up to three quarters of the height, by patches with their positions, with random smooth
phases and brightness. The top quarter less a gap of ten slices is for testing. A run that is stopped is
resumed when it is started again with the same folder.
"""

import argparse

import torch

import invgen as ig
from invgen.priors.nets import EDM, UNet
from invgen.priors.training import ScoreMatching, Training, random_phases

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("volume", help="a T1-weighted head in NIfTI, its axes left to right, back to front, up")
parser.add_argument("--shape", type=int, nargs=2, default=[256, 192], help="of the slices, cropped or padded")
parser.add_argument("--patch", type=int, default=64)
parser.add_argument("--steps", type=int, default=5000)
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--widths", type=int, nargs="+", default=[64, 96, 128], help="of the network")
parser.add_argument("--folder", default="brain-mr", help="of the log, samples, and the state to resume from")
parser.add_argument("--output", default="brain-mr.safetensors")
arguments = parser.parse_args()


def upright(image):
    """The front of the head at the top, in the center of a grid of the common shape."""
    image = image.T.flip(0)
    missing = [n - m for n, m in zip(arguments.shape, image.shape, strict=True)]
    before = [m // 2 for m in missing]
    return torch.nn.functional.pad(
        image, (before[1], missing[1] - before[1], before[0], missing[0] - before[0])
    )


volume = torch.stack([torch.from_numpy(x) for x in ig.io.read_images(arguments.volume)])
slices = [upright(x) for x in volume / volume.max()]
learned = 3 * len(slices) // 4
held_out = torch.stack(slices[learned + 10 :: 8]).to(torch.complex64)
images = [torch.stack((x, 0 * x)) for y in slices[:learned] for x in (y, y.flip(-1))]  # and mirrored


def as_received(images, generator):
    """With a random phase, smooth across the patch, and a random brightness."""
    brightness = torch.exp(
        0.25 * torch.randn(len(images), 1, 1, 1, generator=generator, device=images.device)
    )
    return brightness * random_phases(images, generator, smooth=True)


# of real and imaginary part alike: phases rotate them into each other
sigma_data = float(torch.stack(images).square().mean().sqrt())
objective = ScoreMatching(
    images,
    batch_size=arguments.batch,
    patch=arguments.patch,
    positioned=True,
    mean=-2.2,
    std=1.6,
    transform=as_received,
)
network = EDM(UNet(inputs=4, outputs=2, widths=arguments.widths, unshuffle=2), sigma_data)
noise = ig.noise.Gaussian(0.05)
noisy = noise.sample(held_out, seed=0)


def prior(module):
    return ig.priors.Diffusion(
        module, field="complex", positioned=True, sigma_data=sigma_data, sigma_range=(0.002, 20.0)
    )


def quality(module):
    return float(ig.metrics.psnr(prior(module).denoise(noisy, 0.05), held_out, data_range=1.0).mean())


def show(module, step):
    """Slices drawn from the prior, and the PSNR of others that it denoises."""
    samples = prior(module).sample(3, seed=0, image_shape=tuple(arguments.shape), steps=18)
    ig.figures.save_grid(samples.abs(), f"{arguments.folder}/step-{step}.png", columns=3)
    return {"psnr": quality(module)}


training = Training(
    arguments.steps, learning_rate=8e-4, precision="bf16", validate_every=min(1000, arguments.steps)
)
module = training(network, objective, arguments.folder, show, progress=True)
found = quality(module)
prior(module).save(
    arguments.output,
    dtype=torch.float16,
    data=f"axial slices 0 to {learned - 1} of {len(slices)} of a T1-weighted head over its maximum",
    training={"steps": arguments.steps, "batch": arguments.batch, "seed": training.seed},
    quality={"PSNR of held-out slices at sigma 0.05 of either part (noisy: 23.0 dB)": round(found, 2)},
)
print(f"held-out slices at sigma 0.05: {found:.2f} dB")

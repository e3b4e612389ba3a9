"""Train `denoiser-gray`, or `denoiser-color`: photographs of any size.

python examples/training/photographs.py photographs/ --test kodim*.png
python examples/training/photographs.py photographs/ --color --patch 128 --batch 8 --widths 64 96 128 128

Learns from a folder of photographs and the pictures of scikit-image, at several sizes. A run that is stopped
is resumed when it is started again with the same folder.
"""

import argparse
from pathlib import Path

import skimage.data
import torch
from skimage.transform import rescale

import invgen as ig
from invgen.priors.nets import EDM, UNet
from invgen.priors.training import ScoreMatching, Training

IN_COLOR = "astronaut.png chelsea.png coffee.png motorcycle_left.png motorcycle_right.png rocket.jpg"
#: And those whose colors are not those of things that one sees.
GRAY = """brick.png camera.png cell.png clock_motion.png coins.png grass.png gravel.png hubble_deep_field.jpg
    ihc.png moon.png page.png retina.jpg text.png"""
SCALES = (1.0, 0.7, 0.5, 0.35)  # smaller versions have sharper edges

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("photographs", help="a folder of them")
parser.add_argument("--color", action="store_true", help="color pictures, in color")
parser.add_argument("--steps", type=int, default=6000)
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--patch", type=int, default=64)
parser.add_argument("--widths", type=int, nargs="+", default=[64, 96, 128], help="of the network")
parser.add_argument("--folder", help="of the log and the state to resume from; by default the prior's name")
parser.add_argument("--output", help="by default the prior's name, .safetensors")
parser.add_argument("--test", nargs="*", default=[], help="photographs to denoise, never trained on")
arguments = parser.parse_args()
name = "denoiser-color" if arguments.color else "denoiser-gray"
workplace = arguments.folder or name


def picture(path):
    """``(C, H, W)``."""
    image = ig.io.read_images(path, gray=not arguments.color)[0]
    return image if arguments.color else image[None]


installed = IN_COLOR.split() if arguments.color else f"{IN_COLOR} {GRAY}".split()
paths = [Path(skimage.data.__file__).parent / each for each in installed]
paths += sorted(Path(arguments.photographs).iterdir())
pictures = [
    x if s == 1 else rescale(x, s, anti_aliasing=True, channel_axis=0)
    for x in map(picture, paths)
    for s in SCALES
    if min(x.shape[1:]) * s >= max(128 * (s < 1), arguments.patch)
]
images = [2 * torch.from_numpy(x).float() - 1 for x in pictures]

SIGMA_DATA = 0.5
# colors are determined at higher noise levels than edges
draws = {"batch_size": arguments.batch, "patch": arguments.patch, "std": 1.2, "flips": True}
draws["mean"] = -1.0 if arguments.color else -1.6
channels = len(images[0])
module = EDM(UNet(channels, channels, widths=arguments.widths, unshuffle=2), SIGMA_DATA)
training = Training(arguments.steps, learning_rate=7e-4, warmup=300, precision="bf16")
module = training(module, ScoreMatching(images, **draws), workplace, progress=True)
# users misjudge their noise: at the end it learns not to rely on the noise level
training = Training(arguments.steps // 6, learning_rate=3e-4, warmup=50, precision="bf16", seed=1)
objective = ScoreMatching(images, **draws, uncertainty=0.3)
module = training(module, objective, f"{workplace}/uncertain", progress=True)
prior = ig.priors.Diffusion(
    module,
    channels=3 if arguments.color else None,
    sigma_data=SIGMA_DATA,
    sigma_range=(0.01, 8.0 if arguments.color else 4.0),  # as it was trained
)

quality, noise = {}, ig.noise.Gaussian(25 / 255)
for path in arguments.test:
    truth = torch.from_numpy(picture(path))
    truth = truth if arguments.color else truth[0]
    image = prior.denoise(noise.sample(truth, seed=0), 25 / 255)
    psnr = 10 * torch.log10(1 / (image - truth).square().mean())
    quality[Path(path).stem] = round(float(psnr), 2)
    print(f"{Path(path).stem}: {quality[Path(path).stem]} dB")
prior.save(
    arguments.output or f"{name}.safetensors",
    dtype=torch.float16,
    data=[path.name for path in paths],
    quality={"PSNR in dB at sigma 25/255": quality},
    training={"steps": arguments.steps, "batch": arguments.batch, "patch": arguments.patch, "seed": 0},
)

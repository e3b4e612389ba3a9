"""Train `denoiser-gray`, or `denoiser-color`: photographs of any size, from the pictures of scikit-image.

python examples/training/photographs.py --test kodim01.png kodim04.png kodim20.png kodim23.png
python examples/training/photographs.py --color --test kodim04.png kodim23.png
"""

import argparse
from pathlib import Path

import skimage.data
import torch
from skimage.transform import rescale

import invgen as ig
from invgen.priors.nets import EDM, UNet
from invgen.priors.training import ScoreMatching, Training

IN_COLOR = """astronaut.png chelsea.png coffee.png hubble_deep_field.jpg ihc.png motorcycle_left.png
    motorcycle_right.png retina.jpg rocket.jpg"""
GRAY = """brick.png camera.png cell.png clock_motion.png coins.png grass.png gravel.png moon.png page.png
    text.png"""

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--color", action="store_true", help="color pictures, in color")
parser.add_argument("--steps", type=int, default=6000)
parser.add_argument("--batch", type=int, default=32)
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


names = IN_COLOR.split() if arguments.color else sorted(f"{IN_COLOR} {GRAY}".split())
pictures = [picture(Path(skimage.data.__file__).parent / each) for each in names]
# smaller versions have sharper edges; of all pictures that are large enough
pictures += [
    rescale(x, s, anti_aliasing=True, channel_axis=0)
    for x in pictures
    for s in (0.5, 0.7)
    if min(x.shape[1:]) * s >= 128
]
images = [2 * torch.from_numpy(x).float() - 1 for x in pictures]

SIGMA_DATA = 0.5
# colors are determined at higher noise levels than edges
draws = {"batch_size": arguments.batch, "patch": 64, "std": 1.2, "flips": True}
draws["mean"] = -1.0 if arguments.color else -1.6
channels = len(images[0])
module = EDM(UNet(channels, channels, widths=(64, 96, 128), unshuffle=2), SIGMA_DATA)
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
    data=names,
    quality={"PSNR in dB at sigma 25/255": quality},
    training={"steps": arguments.steps, "batch": arguments.batch, "patch": 64, "seed": 0},
)

"""Test digits, and published generators of digits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import invgen as ig
from benchmarks.priors.sources import data
from benchmarks.report import Report
from invgen.priors.nets import MLP

SHAPE = (28, 28)


def unseen_digits(report: Report, count: int, first: int = 0) -> Tensor | None:
    """MNIST's test digits, (count, 28, 28) from 0 to 1; or None."""
    path = data(report, "digits/mnist8k-images-idx3-ubyte.gz")
    if path is None:
        return None
    return torch.stack([torch.from_numpy(x) for x in ig.io.read_images(path)[first : first + count]])


def published(report: Report) -> dict[str, ig.priors.ModuleGenerator] | None:
    """The decoder of the VAE of PyTorch's examples, and a GAN, both fully connected; or None.

    Those of https://github.com/csinva/gan-vae-pretrained-pytorch, as `examples/published_generators.py` reads
    them: 20 latent variables through 400 units, and 64 through 256 twice.
    """
    paths = [data(report, f"weights/{name}") for name in ("mnist_vae.pth", "mnist_gan_mlp_G.ckpt")]
    found = [torch.load(path, map_location="cpu", weights_only=True) for path in paths if path]
    if len(found) < 2:
        return None
    vae, gan = MLP((20, 400, 784), "relu", "sigmoid"), MLP((64, 256, 256, 784), "relu", "tanh")
    layers = {"fc3": "0", "fc4": "2"}
    vae.load_state_dict(
        {
            f"{new}.{kind}": found[0][f"{old}.{kind}"]
            for old, new in layers.items()
            for kind in ("weight", "bias")
        }
    )
    gan.load_state_dict(found[1])
    return {
        "VAE": ig.priors.from_module(vae, (20,), image_shape=SHAPE),
        "GAN": ig.priors.from_module(gan, (64,), image_shape=SHAPE, output_range=(-1, 1)),
    }


class InBfloat16:
    """A denoiser whose network computes in bfloat16, and what is around it as it is."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.image_format = inner, inner.image_format

    def denoise(self, x: Tensor, sigma: Any) -> Tensor:
        """`inner.denoise`, in single precision."""
        with torch.autocast(x.device.type, torch.bfloat16):
            return self.inner.denoise(x, sigma).to(x)

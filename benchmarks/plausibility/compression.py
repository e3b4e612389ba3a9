"""`compression`: test digits as files of all kinds, and the bits that the priors themselves give them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import invgen as ig
from benchmarks.priors import sources
from benchmarks.report import Report

#: Figures that were published for MNIST in 8 bits: Townsend et al. (2019) with a VAE of one layer
#: of latent variables, and Kingma, Abbeel and Ho (2019) with several layers.
PUBLISHED = {"BB-ANS": 1.41, "Bit-Swap": 1.29}


def compression(report: Report) -> None:
    """Bits per pixel of 8,000 test digits, whole files with headers; ``INVGEN_DIGITS`` is another number."""
    path = sources.data(report, "digits/mnist8k-images-idx3-ubyte.gz")
    if path is None:
        return
    digits = np.stack(ig.io.read_images(path)[: int(os.environ.get("INVGEN_DIGITS", "8000"))])
    digits = (255 * digits).round().astype(np.uint8)
    others = _general(report, digits) | _pictures(report, digits)
    best = min(others.values())
    for name, bits in PUBLISHED.items():
        report.row(f"{name}, as published", f"{bits:.2f}")
    name = "digits-vae"
    vae, own = _with_prior(report, digits, name, "negative evidence lower bound", lambda p, x: p.elbo(x))
    report.row(f"`{name}`, over its own bits", _percent(vae, own), "3 %", vae <= 1.03 * own)
    report.row(f"`{name}`, beside bz2", f"{vae:.3f}, {others['bz2']:.3f}", "below", vae < others["bz2"])
    name = "digits-autoregressive"
    found, own = _with_prior(report, digits, name, "minus log probability", lambda p, x: p.log_prob(x))
    report.row(f"`{name}`", f"{found:.3f}", "1.00", found <= 1)
    report.row(f"`{name}`, over its own bits", _percent(found, own), "2 %", found <= 1.02 * own)
    report.row(f"`{name}`, beside the best file", f"{found:.3f}, {best:.3f}", "below", found < best)


def _percent(found: float, own: float) -> str:
    return f"{100 * (found / own - 1):+.2f} %"


def _with_prior(
    report: Report, digits: np.ndarray, name: str, kind: str, log_prob: Callable[[Any, torch.Tensor], Any]
) -> tuple[float, float]:
    """Bits of the file, and the prior's own, each per pixel."""
    prior = ig.priors.load(name)
    with torch.no_grad():
        parts = torch.from_numpy(digits).split(250)
        own = -sum(float(log_prob(prior, part.float() / 255).double().sum()) for part in parts)
    own /= digits.size * math.log(2)
    report.row(f"`{name}`: {kind}", f"{own:.4f}")
    began = time.perf_counter()
    data = ig.plausibility.compress(digits, name)
    coded = time.perf_counter()
    same = np.array_equal(ig.plausibility.decompress(data), digits)
    decoded = time.perf_counter()
    bits = 8 * len(data) / digits.size
    report.row(f"`{name}`: the whole file", f"{len(data)} bytes, {bits:.4f}")
    report.row(
        f"`{name}`: seconds to compress and to decompress, and the digits again",
        f"{coded - began:.0f}, {decoded - coded:.0f}",
        "the same digits",
        same,
    )
    return bits, own


def _general(report: Report, digits: np.ndarray) -> dict[str, float]:
    """All digits as one stream of bytes."""
    data = digits.tobytes()
    lengths = {
        "xz": len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)),
        "bz2": len(bz2.compress(data, 9)),
        "gzip": len(gzip.compress(data, 9)),
    }
    return _listed(report, lengths, digits.size)


def _pictures(report: Report, digits: np.ndarray) -> dict[str, float]:
    """Formats of pictures: a file of each digit, the shorter of one mosaic and one of all in a column."""
    try:
        import pillow_jxl  # noqa: F401
    except ImportError:
        report.row("JPEG XL", "skipped: needs the package pillow-jxl-plugin")
    settings: dict[str, tuple[str, dict[str, Any]]] = {
        "PNG": ("PNG", {"optimize": True}),
        "WebP": ("WEBP", {"lossless": True, "quality": 100, "method": 6}),
        "JPEG XL": ("JXL", {"lossless": True, "effort": 9}),
    }
    columns = math.ceil(math.sqrt(len(digits)))
    padded = np.zeros((columns * math.ceil(len(digits) / columns), 28, 28), np.uint8)
    padded[: len(digits)] = digits
    mosaic = padded.reshape(-1, columns, 28, 28).swapaxes(1, 2).reshape(-1, columns * 28)
    lengths = {}
    for name, (kind, options) in settings.items():
        try:
            lengths[f"{name}, a mosaic"] = _length(mosaic, kind, options)
            lengths[f"{name}, a file of each digit"] = sum(_length(each, kind, options) for each in digits)
        except KeyError:  # Pillow does not know the format
            report.row(name, "skipped: Pillow does not write it here")
    return _listed(report, lengths, digits.size)


def _length(picture: np.ndarray, kind: str, options: dict[str, Any]) -> int:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **options)
    return file.tell()


def _listed(report: Report, lengths: dict[str, int], pixels: int) -> dict[str, float]:
    """Bits per pixel."""
    bits = {name: 8 * length / pixels for name, length in lengths.items()}
    for name, value in bits.items():
        report.row(name, f"{value:.3f}")
    return bits

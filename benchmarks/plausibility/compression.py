"""`compression` and `pictures`: test digits by priors, by general compressors, and as pictures."""

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
    """Bits per pixel of 8,000 test digits, whole files with headers, by priors and by general compressors.

    ``INVGEN_HIERARCHICAL_VAE`` is the file of a hierarchical VAE of digits to measure as well: none ships.
    """
    digits = _digits(report)
    if digits is None:
        return
    lengths = _general(report, digits)
    name = "digits-autoregressive"
    found, own = _with_prior(report, digits, name, "minus log probability", lambda p, x, _: p.log_prob(x))
    report.row(f"`{name}`", f"{found:.3f}", "1.00", found <= 1)
    report.row(f"`{name}`, over its own bits", _percent(found, own), "2 %", found <= 1.02 * own)
    report.row(f"`{name}`, beside xz", f"{found:.3f}, {lengths['xz']:.3f}", "below", found < lengths["xz"])
    hierarchical = os.environ.get("INVGEN_HIERARCHICAL_VAE")
    for name in ("digits-vae", *([hierarchical] if hierarchical else [])):
        found, own = _with_prior(report, digits, name, "negative evidence lower bound", _elbo)
        report.row(f"`{name}`, over its own bits", _percent(found, own), "3 %", found <= 1.03 * own)
        bz2_bits = lengths["bz2"]
        report.row(f"`{name}`, beside bz2", f"{found:.3f}, {bz2_bits:.3f}", "below", found < bz2_bits)
    for name, bits in PUBLISHED.items():
        report.row(f"{name}, as published", f"{bits:.2f}")


def pictures(report: Report) -> None:
    """The same digits in formats of pictures, a file of each digit and a mosaic of all."""
    digits = _digits(report)
    if digits is not None:
        _pictures(report, digits)


def _elbo(prior: Any, x: torch.Tensor, seed: int) -> torch.Tensor:
    """By the same random numbers for all images of a part, others in each part."""
    return prior.elbo(x, seed)


def _digits(report: Report) -> np.ndarray | None:
    """The test digits, uint8; ``INVGEN_DIGITS`` is the number of those to take."""
    path = sources.data(report, "digits/mnist8k-images-idx3-ubyte.gz")
    return None if path is None else ig.io.read_pixels(path)[: int(os.environ.get("INVGEN_DIGITS", "8000"))]


def _since(began: tuple[float, float]) -> str:
    seconds, used = time.perf_counter() - began[0], time.process_time() - began[1]
    return f"{seconds:.0f} s, {used:.0f} s of processor time"


def _percent(found: float, own: float) -> str:
    return f"{100 * (found / own - 1):+.2f} %"


def _with_prior(
    report: Report,
    digits: np.ndarray,
    name: str,
    kind: str,
    log_prob: Callable[[Any, torch.Tensor, int], Any],
) -> tuple[float, float]:
    """Bits of the file, and the prior's own, each per pixel."""
    prior = ig.priors.load(name)
    with torch.no_grad():
        parts = enumerate(torch.tensor(digits).split(100))
        own = -sum(float(log_prob(prior, part.float() / 255, k).double().sum()) for k, part in parts)
    own /= digits.size * math.log(2)
    report.row(f"`{name}`: {kind}", f"{own:.4f}")
    began = time.perf_counter(), time.process_time()
    data = ig.plausibility.compress(digits, name)
    spent, bits = _since(began), 8 * len(data) / digits.size
    report.row(f"`{name}`: the whole file", f"{len(data)} bytes, {bits:.4f}")
    report.row(f"`{name}`: to compress", spent)
    began = time.perf_counter(), time.process_time()
    same = np.array_equal(ig.plausibility.decompress(data, prior), digits)
    report.row(f"`{name}`: to decompress", _since(began), "the same digits", same)
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


def _pictures(report: Report, digits: np.ndarray) -> None:
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
    _listed(report, lengths, digits.size)


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

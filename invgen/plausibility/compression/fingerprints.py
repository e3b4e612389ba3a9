"""Fingerprints of priors, by which files know theirs on every machine and in every version."""

from __future__ import annotations

import json
from hashlib import blake2b

from torch import Tensor, nn

from invgen.plausibility.compression.exact import BITS
from invgen.priors.learned import Learned

__all__ = ["fingerprint_of", "parameters_of"]


def fingerprint_of(prior: Learned, **tensors: Tensor) -> bytes:
    """Hash of all that a code follows from: the prior's settings, and its parameters in whole numbers."""
    images = prior.image_format
    settings = {"family": prior.family, "shape": images.shape, "levels": images.levels, **prior._parameters()}
    digest = blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=32)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().astype("<i8").tobytes())
    return digest.digest()


def parameters_of(network: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """Parameters of an `exact_copy` in units of 2 ** -16."""
    return {prefix + name: tensor * 2**BITS for name, tensor in network.state_dict().items()}

"""The networks that files can hold, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from invgen.core.errors import CapabilityError
from invgen.priors.nets.autoencoders import VariationalAutoencoder
from invgen.priors.nets.dcgan import DCDiscriminator, DCGenerator
from invgen.priors.nets.dhariwal import DhariwalUNet
from invgen.priors.nets.energies import ImageEnergy, VectorEnergy
from invgen.priors.nets.masked import GatedMaskedCNN
from invgen.priors.nets.mlp import MLP
from invgen.priors.nets.monotone import MonotoneCDF
from invgen.priors.nets.multiscale import MultiscaleFlow
from invgen.priors.nets.perceptron import Perceptron
from invgen.priors.nets.unet import UNet
from invgen.priors.nets.vector_quantization import VectorQuantizedAutoencoder
from invgen.priors.nets.zuko_flow import ZukoFlow

__all__ = ["ARCHITECTURES", "architecture_of", "build"]

#: Each is built by keyword arguments, and has them as its `config`.
ARCHITECTURES: dict[str, type[nn.Module]] = {
    kind.__name__: kind
    for kind in (
        MLP,
        DCDiscriminator,
        DCGenerator,
        DhariwalUNet,
        GatedMaskedCNN,
        ImageEnergy,
        MonotoneCDF,
        MultiscaleFlow,
        Perceptron,
        UNet,
        VariationalAutoencoder,
        VectorEnergy,
        VectorQuantizedAutoencoder,
        ZukoFlow,
    )
}


def architecture_of(network: nn.Module) -> dict[str, Any]:
    """Name and configuration of a network, from which `build` makes it again.

    Raises
    ------
    CapabilityError
        For a network that files cannot hold.
    """
    name = type(network).__name__
    if ARCHITECTURES.get(name) is not type(network):
        raise CapabilityError(f"Files hold networks of {', '.join(ARCHITECTURES)}; this one is {name}.")
    config: Any = network.config
    return {"name": name, **config}


def build(architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> nn.Module:
    """The network that `architecture_of` describes, with these parameters, in single precision.

    Raises
    ------
    KeyError, TypeError, RuntimeError
        Where there is no such network, or the tensors are not its parameters.
    """
    config = dict(architecture)
    network = ARCHITECTURES[config.pop("name")](**config)
    network.load_state_dict({name: value.float() for name, value in tensors.items()})
    return network

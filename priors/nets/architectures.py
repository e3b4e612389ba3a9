"""The networks that files can hold, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from invgen.core.errors import CapabilityError
from invgen.priors.nets.autoencoders import VariationalAutoencoder
from invgen.priors.nets.dcgan import DCDiscriminator, DCGenerator
from invgen.priors.nets.dhariwal import DhariwalUNet
from invgen.priors.nets.energies import ImageEnergy, VectorEnergy
from invgen.priors.nets.hierarchical import HierarchicalAutoencoder
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
        HierarchicalAutoencoder,
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
    kind = ARCHITECTURES[config.pop("name")]
    _check_sizes(kind, config, tensors)
    network = kind(**config)
    network.load_state_dict({name: value.float() for name, value in tensors.items()})
    return network


class _Counted(TorchDispatchMode):
    """An end to networks of which a file states more layers than it has parameters for."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._steps = steps

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._steps -= 1
        if self._steps < 0:
            raise RuntimeError("the network has many more parameters than the file")
        return func(*args, **(kwargs or {}))


def _check_sizes(kind: type[nn.Module], config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Compare the sizes of a network with those of its parameters, before it has any memory.

    Raises
    ------
    RuntimeError
    """
    try:
        with torch.device("meta"), _Counted(10_000 + 100 * len(tensors)):
            sizes = {name: value.shape for name, value in kind(**config).state_dict().items()}
    except NotImplementedError:  # of a network that looks at its own numbers while it is made
        return
    for name, size in sizes.items():
        if name not in tensors or tensors[name].shape != size:
            found = tuple(tensors[name].shape) if name in tensors else "missing"
            raise RuntimeError(f"the parameter {name} is of shape {tuple(size)}, and in the file {found}")

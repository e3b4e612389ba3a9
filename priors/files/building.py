"""A prior from a network and the tensors of a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor, nn

from invgen.core.errors import FileError, ParameterError
from invgen.priors.diffusion.model import Diffusion

__all__ = ["filled", "prior", "stripped"]

Network = TypeVar("Network", bound=nn.Module)


def stripped(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by their names without the prefixes of wrappers."""
    found = dict(tensors)
    for prefix in ("module.", "model."):
        if found and all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): value for name, value in found.items()}
    return found


def filled(network: Network, tensors: Mapping[str, Tensor]) -> Network:
    """The network with all of these tensors as its parameters, in single precision."""
    try:
        network.load_state_dict({name: value.float() for name, value in tensors.items()}, strict=True)
    except RuntimeError as error:
        first = " ".join(str(error).split())[:400]
        raise FileError(f"The file does not have the published layout: {first}") from None
    return network


def prior(
    denoiser: nn.Module,
    channels: int,
    sigma_range: tuple[float, float],
    *,
    image_shape: tuple[int, ...] | None,
    value_range: tuple[float, float],
    field: str = "real",
    classes: int = 0,
    sigma_data: float = 0.5,
) -> Diffusion:
    """Images ``(H, W)`` of networks of one channel, else ``(C, H, W)``; complex ones have two of each.

    Raises
    ------
    ParameterError
        For complex images of a network with an odd number of channels.
    """
    if field == "complex":
        if channels % 2:
            raise ParameterError(f"Complex images have two channels each; the network has {channels}.")
        channels //= 2
    if image_shape is not None:
        image_shape = (*((channels,) if channels > 1 else ()), *image_shape[-2:])
    return Diffusion(
        denoiser,
        image_shape,
        channels=channels if channels > 1 else None,
        value_range=(value_range[0], value_range[1]),
        field=field,
        classes=classes,
        sigma_data=sigma_data,
        sigma_range=sigma_range,
    )

"""Learned priors: their networks, the format of their images, what is known of them, and their files."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from invgen.core.errors import FileError
from invgen.core.frozen import Frozen
from invgen.core.text import brief, quoted
from invgen.priors.files.checkpoints import read, write
from invgen.priors.image_format import ImageFormat
from invgen.priors.nets.architectures import architecture_of, build

__all__ = ["Contents", "Learned"]


@dataclass(frozen=True)
class Contents:
    """What a file holds of a prior, from which its family builds it.

    Attributes
    ----------
    header : mapping
        The hyper-parameters of the family, among others.
    image_format : ImageFormat
    networks : mapping of str to torch.nn.Module
        A single network has the name "network".
    tensors : mapping of str to tensor
        What was learned beside the parameters of networks.
    """

    header: Mapping[str, Any]
    image_format: ImageFormat
    networks: Mapping[str, nn.Module]
    tensors: Mapping[str, Tensor]


class Learned(Frozen):
    """Base of the priors that are learned: format of the images, card, `save` and `load`, once for all.

    A family has a name in files, `family`. Its `_parameters`, `_networks` and `_tensors` are what a file
    holds, and `_built` makes the prior of them.

    Parameters
    ----------
    image_format : ImageFormat
    """

    family: ClassVar[str]
    #: What is known of a prior does not make it another one.
    incidental: ClassVar[tuple[str, ...]] = (*Frozen.incidental, "_card")

    def __init__(self, image_format: ImageFormat) -> None:
        self._image_format = image_format
        self._card: dict[str, Any] = {}

    @property
    def image_format(self) -> ImageFormat:
        """What images the prior is made for."""
        return self._image_format

    @property
    def card(self) -> Mapping[str, Any]:
        """What a reader should know: the data and their license, the seed, measured quality."""
        return MappingProxyType(self._card)

    def with_card(self, **entries: Any) -> Self:
        """The same prior with further entries in its card, as JSON can hold them."""
        return self._changed(_card={**self._card, **entries})

    def _changed(self, **attributes: Any) -> Self:
        """A copy with other attributes, which shares the networks."""
        other = copy.copy(self)
        other.__dict__.update(attributes)
        return other

    def _parameters(self) -> dict[str, Any]:
        """Hyper-parameters, as JSON can hold them."""
        raise NotImplementedError

    def _networks(self) -> dict[str, nn.Module]:
        """The networks by name; a single one has the name "network"."""
        return {}

    def _tensors(self) -> dict[str, Tensor]:
        """What was learned beside the parameters of networks."""
        return {}

    @classmethod
    def _built(cls, contents: Contents) -> Self:
        """The prior of a file."""
        raise NotImplementedError

    def _format_header(self) -> dict[str, Any]:
        """What a file states of the images."""
        return self.image_format.header()

    def _header(self) -> dict[str, Any]:
        described = {name: architecture_of(network) for name, network in self._networks().items()}
        header: dict[str, Any] = {"architectures": described} if described else {}
        if set(described) == {"network"}:
            header = {"architecture": described["network"]}
        return {**header, **self._format_header(), **self._parameters()}

    def save(self, path: str | PathLike[str], *, dtype: torch.dtype = torch.float32, **card: Any) -> None:
        """Write the prior to a safetensors file, for `invgen.priors.load`.

        Parameters
        ----------
        path : path
        dtype : torch.dtype
            Precision in the file, such as torch.float16, which halves it.
        **card
            Further entries of the card, as JSON can hold them: ``data="..."``, ``quality={...}``.

        Raises
        ------
        CapabilityError
            For networks that files cannot hold.
        """
        tensors = self._tensors()
        for name, network in self._networks().items():
            tensors |= {_prefix(name) + key: value for key, value in network.state_dict().items()}
        write(path, self.family, tensors, {**self._card, **card, **self._header()}, dtype)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """The prior of this family in a file; `invgen.priors.load` takes files of any family.

        Raises
        ------
        FileError
        """
        header, tensors = read(path)
        if header["family"] != cls.family:
            raise FileError(f"{path} holds a {quoted(header['family'])}, and not a {cls.family!r}.")
        return cls.restored(path, header, tensors)

    @classmethod
    def restored(
        cls, path: str | PathLike[str], header: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> Self:
        """The prior of what `invgen.priors.files.checkpoints.read` returns for a file of this family.

        Raises
        ------
        FileError
            Where header and tensors do not fit each other; `path` is for the message.
        """
        try:
            prior = cls._built(_contents(header, tensors))
            own = ("format", "family", *prior._header())
            return prior.with_card(**{name: value for name, value in header.items() if name not in own})
        except MemoryError:
            raise
        except Exception as error:  # a header can state anything
            raise FileError(f"{path} does not fit its own header: {brief(error, 300)}.") from error


def _prefix(name: str) -> str:
    """What stands before the names of a network's parameters in a file."""
    return "" if name == "network" else f"{name}."


def _contents(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Contents:
    """The networks, each with its parameters, and the tensors that are left."""
    architectures = header.get("architectures", {})
    if "architecture" in header:
        architectures = {"network": header["architecture"]}
    networks, left = {}, dict(tensors)
    for name, architecture in architectures.items():
        own = [key for key in left if key.startswith(_prefix(name))]
        networks[name] = build(architecture, {key.removeprefix(_prefix(name)): left.pop(key) for key in own})
    return Contents(header, ImageFormat.from_header(header), networks, left)

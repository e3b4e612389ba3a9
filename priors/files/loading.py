"""The prior of a name or a file: this package's, or a model that others have published."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from invgen.core.errors import FileError, ParameterError
from invgen.core.text import quoted
from invgen.priors.autoregressive.context_table import ContextTable
from invgen.priors.autoregressive.model import Autoregressive
from invgen.priors.denoisers.autoencoder import DenoisingAutoencoder
from invgen.priors.densities.neural_cdf import NeuralCDF
from invgen.priors.densities.patches import PatchMixture
from invgen.priors.diffusion.model import Diffusion
from invgen.priors.energy import EnergyModel
from invgen.priors.files import published
from invgen.priors.files.checkpoints import is_ours, located, read, shipped
from invgen.priors.flow import Flow, VectorFlow
from invgen.priors.gan import GAN
from invgen.priors.generators.module import ModuleGenerator
from invgen.priors.learned import Learned
from invgen.priors.vae.hierarchical import HierarchicalVAE
from invgen.priors.vae.model import VAE
from invgen.priors.vae.vq_vae import VQVAE

__all__ = ["FAMILIES", "load"]

#: The families of this package's files, by name.
FAMILIES: dict[str, type[Learned]] = {
    kind.family: kind
    for kind in (
        GAN,
        VAE,
        VQVAE,
        HierarchicalVAE,
        Autoregressive,
        ContextTable,
        DenoisingAutoencoder,
        Diffusion,
        EnergyModel,
        Flow,
        ModuleGenerator,
        NeuralCDF,
        PatchMixture,
        VectorFlow,
    )
}


def load(name_or_path: str | PathLike[str], *, family: str | None = None, **settings: Any) -> Any:
    """Load a learned prior, by the name it is shipped under or from a file.

    Parameters
    ----------
    name_or_path : str or path
        Such as "digits" (`invgen.priors.files.checkpoints.shipped` lists these names); a safetensors file of
        this package; or a diffusion model that others have published: a file of guided-diffusion, score_sde
        or EDM, a folder of diffusers, or the name "owner/model" of one on the Hugging Face hub.
    family : {"guided-diffusion", "score_sde", "edm", "diffusers"}, optional
        The layout of a published file, where the names of its tensors do not say.
    **settings
        What a published file does not say of itself; see `invgen.priors.files`.

    Returns
    -------
    Learned
        A prior of the family that the file names; a `Diffusion` for published models.

    Raises
    ------
    FileError
        For what is none of these, and for pickles that hold more than tensors; nothing in them is ever run.
    ParameterError
        For settings that the file does not take.
    """
    name = str(name_or_path)
    if name not in shipped() and not Path(name).exists() and published.is_hub_name(name):
        return published.load(published.downloaded(name), family or "diffusers", settings)
    with located(name_or_path) as path:
        if not is_ours(path):
            return published.load(path, family, settings)
        header, tensors = read(path)
        if family is not None or settings:
            given = ["family"] * (family is not None) + sorted(settings)
            raise ParameterError(f"{path} describes itself, and takes no {', '.join(given)}.")
        kind = FAMILIES.get(header["family"])
        if kind is None:
            raise FileError(
                f"{path} holds a {quoted(header['family'])}; this version reads {sorted(FAMILIES)}."
            )
        return kind.restored(path, header, tensors)

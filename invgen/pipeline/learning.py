"""What can be learned from images: the families of priors, and the options of their training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar

from invgen.core.errors import ParameterError
from invgen.pipeline.options import option, validate
from invgen.pipeline.quantities import Between, Counts
from invgen.pipeline.values import Choice, Count, Flag, Name

__all__ = ["FAMILIES", "WHOLE", "DenoiserLearning", "DiffusionLearning", "Learning", "own_options"]

#: Diffusion models learn from whole images up to this size, and from patches of it of larger ones.
WHOLE = 64

_MORE = "How to learn"

_widths = partial(option, Counts(), panel=_MORE)


def _steps(default: int) -> Any:
    return option(Count(), "Batches to learn from.", default=default)


def _rate(default: float) -> Any:
    return option(Between(metavar="RATE"), "The largest learning rate.", default=default, panel=_MORE)


@dataclass(frozen=True)
class Learning:
    """How a prior is learned from images: each field is an option of `invgen train`.

    A family has a dataclass with options of its own beside these; its docstring is the help of the command.
    Own options are keyword arguments of ``untrained`` of the class `prior`, which has the defaults of those
    that are None.
    """

    #: The class of the prior, a `invgen.priors.trainable.Trainable`, by its dotted name.
    prior: ClassVar[str]

    #: Options that the class calls otherwise, as the training has some of their names itself.
    renamed: ClassVar[Mapping[str, str]] = {}

    #: Keyword arguments of the samples that are drawn on the way.
    drawing: ClassVar[Mapping[str, Any]] = {}

    #: What may follow the name of the command.
    examples: ClassVar[tuple[str, ...]] = ("images.npy -o prior.safetensors",)

    dataset: str | None = option(Name(), "Array of the images, in files that hold several.")
    gray: bool = option(Flag(), "Make colors gray.", default=False)
    flips: bool = option(Flag(), "Learn from mirrored and turned images, too.", default=False)
    steps: int = _steps(20_000)
    batch: int | None = option(
        Count(), "Images at once; by default 64, or all of them where there are fewer."
    )
    learning_rate: float = _rate(5e-4)
    precision: str = option(
        Choice(("float32", "bf16")),
        "Of a network's products: float32, or bf16, which is faster where the processor has it.",
        default="float32",
        panel=_MORE,
    )
    seed: int = option(Count(0), "Of all that is random.", default=0, panel=_MORE)
    hold_out: float = option(
        Between(0.0, 0.5, metavar="SHARE"),
        "Images not to learn from; the loss on them is in the log. None of fewer than 20 images.",
        default=0.05,
        panel=_MORE,
    )

    def __post_init__(self) -> None:
        validate(self)


def own_options(options: Learning) -> dict[str, Any]:
    """The options of a family itself that are given, as its class calls them."""
    common = {field.name for field in fields(Learning)}
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    own = {name: value for name, value in values.items() if name not in common and value is not None}
    return {options.renamed.get(name, name): value for name, value in own.items()}


@dataclass(frozen=True)
class _PatchLearning(Learning):
    """Of a network of images of any size."""

    batch: int | None = option(Count(), "Images or patches at once; by default 64, or 32 patches.")
    patch: int | None = option(
        Count(0),
        "Learn from patches of N x N pixels, for images of any size; 0 takes whole images. By default images "
        f"of one size up to {WHOLE} are whole, others in patches of {WHOLE}.",
    )
    positions: bool = option(
        Flag(),
        "Give the network the place of a patch in the image: for images that are alike, such as slices of "
        "one organ.",
        default=False,
    )
    widths: tuple[int, ...] | None = _widths(
        "Channels of the network at each resolution; by default 64,128, or 64,96,128 for patches."
    )


@dataclass(frozen=True)
class DiffusionLearning(_PatchLearning):
    """Learn what images look like: a diffusion model, which generates, denoises and reconstructs."""

    prior = "invgen.priors.Diffusion"
    examples = (
        "photographs/ -o prior.safetensors --gray --flips",
        "train-images-idx3-ubyte.gz --labels train-labels-idx1-ubyte.gz -o digits.safetensors",
    )

    labels: str | None = option(Name("FILE"), "Classes of the images: an IDX or NPY file of integers from 0.")
    phases: str | None = option(
        Choice(("constant", "smooth")),
        "Learn complex images, each with another phase every time: constant, one number, or smooth, a map. "
        "Real images are then magnitudes.",
    )


@dataclass(frozen=True)
class DenoiserLearning(_PatchLearning):
    """Learn to denoise from noisy images alone; no clean image is needed.

    The noise is white, of one level. The prior denoises at that level and all higher ones.
    """

    prior = "invgen.priors.Diffusion"
    examples = ("scans.npy --noise-std 0.1 -o denoiser.safetensors",)

    noise_std: float | None = option(
        Between(metavar="STD"),
        "Of the images' noise, in their units (integers become 0 to 1); of complex images that of real and "
        "imaginary part. It must be given.",
    )
    method: str = option(
        Choice(("sure", "noise2self")),
        "sure, by Stein's estimate of the error, is better for Gaussian noise; noise2self takes any that is "
        "independent from pixel to pixel.",
        default="sure",
    )
    steps: int = _steps(10_000)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.noise_std is None:
            raise ParameterError("The level of the images' noise is needed: give --noise-std.")


@dataclass(frozen=True)
class GANLearning(Learning):
    """Learn to draw images: a generative adversarial network, a generator and its discriminator in turn."""

    prior = "invgen.priors.GAN"

    learning_rate: float = _rate(2e-4)
    latent: int | None = option(Count(), "Latent variables of an image.")
    loss: str | None = option(
        Choice(("non-saturating", "least-squares", "wasserstein")),
        "non-saturating, least-squares, or wasserstein with a penalty of the gradient.",
    )
    widths: tuple[int, ...] | None = _widths("Channels of the generator at each resolution, coarsest first.")


@dataclass(frozen=True)
class VAELearning(Learning):
    """Learn to draw images, and a bound of their probability: a variational autoencoder."""

    prior = "invgen.priors.VAE"

    latent: int | None = option(Count(), "Latent variables of an image.")
    observation: str | None = option(
        Choice(("logistic", "bernoulli", "gaussian")),
        "Distribution of a pixel given the latent variables: logistic, for images of 8 bits; bernoulli, for "
        "black and white; gaussian.",
    )
    widths: tuple[int, ...] | None = _widths("Channels of the networks at each resolution, finest first.")


@dataclass(frozen=True)
class HierarchicalVAELearning(Learning):
    """Learn to draw images, and a bound of their probability: an autoencoder with levels."""

    prior = "invgen.priors.HierarchicalVAE"

    latent: tuple[int, ...] | None = option(
        Counts(), "Channels of each level of latent variables, the one next to the image first."
    )
    observation: str | None = option(
        Choice(("logistic", "bernoulli", "gaussian")),
        "Distribution of a pixel given the latent variables: logistic, for images of 8 bits; bernoulli, for "
        "black and white; gaussian.",
    )
    widths: tuple[int, ...] | None = _widths("Channels of the networks at each resolution, finest first.")


@dataclass(frozen=True)
class VQVAELearning(Learning):
    """Learn images as codes of a small book, and what codes go together: a vector-quantized autoencoder."""

    prior = "invgen.priors.VQVAE"

    codes: int | None = option(Count(2), "Number of codes.")
    widths: tuple[int, ...] | None = _widths("Channels of the networks at each resolution, finest first.")


@dataclass(frozen=True)
class FlowLearning(Learning):
    """Learn the exact density of images, and to draw them: an invertible network."""

    prior = "invgen.priors.Flow"
    renamed: ClassVar[Mapping[str, str]] = {"flow_steps": "steps"}

    scales: int | None = option(Count(), "Number of resolutions.")
    flow_steps: int | None = option(Count(), "Steps of the flow at each resolution.", panel=_MORE)
    width: int | None = option(Count(), "Channels within the couplings.", panel=_MORE)
    coupling: str | None = option(Choice(("affine", "spline")), "affine or spline.", panel=_MORE)


@dataclass(frozen=True)
class AutoregressiveLearning(Learning):
    """Learn the exact probability of images, pixel after pixel, and to draw and complete them."""

    prior = "invgen.priors.Autoregressive"

    width: int | None = option(Count(), "Channels of the network.", panel=_MORE)
    layers: int | None = option(Count(), "Layers of the network.", panel=_MORE)
    mixtures: int | None = option(
        Count(0),
        "Components of the distribution of a pixel; 0 for one of all levels, without their order.",
        panel=_MORE,
    )


@dataclass(frozen=True)
class EnergyLearning(Learning):
    """Learn the density of images up to its normalization: an energy, by contrastive divergence."""

    prior = "invgen.priors.EnergyModel"
    drawing: ClassVar[Mapping[str, Any]] = {"steps": 200}

    learning_rate: float = _rate(1e-4)
    sigma: float | None = option(
        Between(metavar="STD"), "Of the noise that images have in the density, in the images' unit."
    )
    langevin_steps: int | None = option(Count(), "Steps of Langevin dynamics for each batch.", panel=_MORE)
    widths: tuple[int, ...] | None = _widths("Channels of the network at each resolution.")


@dataclass(frozen=True)
class AutoencoderLearning(Learning):
    """Learn to denoise by one noise level, and to draw images by that: a denoising autoencoder."""

    prior = "invgen.priors.DenoisingAutoencoder"
    drawing: ClassVar[Mapping[str, Any]] = {"steps": 100}

    sigma: float | None = option(Between(metavar="STD"), "Of the noise that is removed, in the images' unit.")
    walkback: int | None = option(Count(0), "Steps of the chain that images are learned back from.")
    widths: tuple[int, ...] | None = _widths("Channels of the network at each resolution.")


#: What `invgen train` learns, by the name of the command.
FAMILIES: dict[str, type[Learning]] = {
    "diffusion": DiffusionLearning,
    "denoiser": DenoiserLearning,
    "gan": GANLearning,
    "vae": VAELearning,
    "hierarchical-vae": HierarchicalVAELearning,
    "vq-vae": VQVAELearning,
    "flow": FlowLearning,
    "autoregressive": AutoregressiveLearning,
    "energy": EnergyLearning,
    "autoencoder": AutoencoderLearning,
}

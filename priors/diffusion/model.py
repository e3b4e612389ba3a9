"""Diffusion models: images from a network that removes noise from them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from invgen.core.checks import as_count, is_count
from invgen.core.draws import Draws
from invgen.core.errors import CapabilityError, DtypeError, ParameterError, ShapeError
from invgen.priors.base import Denoising
from invgen.priors.diffusion.reverse import SAMPLERS, Estimate, flow_log_prob, noise_levels
from invgen.priors.image_format import ImageFormat
from invgen.priors.learned import Contents, Learned
from invgen.priors.nets import ARCHITECTURES, EDM, Pyramid
from invgen.priors.nets.following import Following, in_parts
from invgen.priors.nets.positions import CHANNELS, fourier_features, positions

__all__ = ["Diffusion"]

#: What a file states of `Pyramid`.
_GRIDS = ("grids", "phases")


class Diffusion(Learned, Denoising):
    """A learned density of images, represented by its denoiser ``D(x, sigma)`` at every noise level.

    Sohl-Dickstein et al. (2015), Ho, Jain and Abbeel (2020), Song et al. (2021), in the notation of Karras et
    al. (2022). The network sees images whose value range has become -1 to 1, as real channels
    ``(N, C, H, W)``; arguments and results of the methods are images in their own units, with any batch axes,
    real or complex.

    Parameters
    ----------
    network : torch.nn.Module
        ``D(x, sigma, label, extra)``, such as `invgen.priors.nets.EDM`, or `invgen.priors.nets.Pyramid` for
        large images: sigma and label of the shape ``(N,)``, extra channels or None.
    image_shape : tuple of int, optional
        ``(H, W)`` or ``(C, H, W)``, for a network of one size. None for a network of any size.
    channels : int, optional
        C where images are ``(C, H, W)``; by default they are ``(H, W)``. Follows from `image_shape`.
    value_range : pair of float
        Least and largest value of the images. For complex images that of their real and imaginary part: minus
        to plus the second number.
    field : {"real", "complex"}
    positioned : bool
        Whether the network gets the position of each pixel in the image, as
        `invgen.priors.nets.positions.fourier_features`: its prior is not the same everywhere, Hu et al.
        (2024). It was trained by patches, and is applied to whole images, of any size.
    classes : int
        Number of classes of images that it was trained with; zero without labels.
    sigma_data : float
        Root mean square of the images in the network's unit.
    sigma_range : pair of float
        Lowest and highest noise level of sampling, in the network's unit.
    """

    family = "diffusion"
    log_prob_kind: ClassVar[Literal["estimate"]] = "estimate"

    def __init__(
        self,
        network: nn.Module,
        image_shape: tuple[int, ...] | None = None,
        *,
        channels: int | None = None,
        value_range: tuple[float, float] = (0.0, 1.0),
        field: str = "real",
        positioned: bool = False,
        classes: int = 0,
        sigma_data: float = 0.5,
        sigma_range: tuple[float, float] = (0.002, 80.0),
    ) -> None:
        if not isinstance(network, nn.Module):
            raise DtypeError(f"Diffusion expects a torch.nn.Module; got {type(network).__name__}.")
        if image_shape is not None and len(image_shape) not in (2, 3):
            raise ShapeError(f"image_shape is (H, W) or (C, H, W); got {image_shape}.")
        if field is None:
            raise ParameterError("field is 'real' or 'complex'; got None.")
        if not 0 < sigma_range[0] < sigma_range[1] < math.inf:
            raise ParameterError(f"sigma_range is a pair of noise levels, low to high; got {sigma_range}.")
        if isinstance(network, Pyramid) and network.phases and field != "complex":
            raise ParameterError("Phases are those of complex images: Pyramid(..., phases=False) for others.")
        self.sigma_data, self.sigma_range = float(sigma_data), (float(sigma_range[0]), float(sigma_range[1]))
        self.positioned, self.classes = positioned, as_count(classes, "classes", least=0)
        if image_shape is not None and len(image_shape) == 3:
            channels = image_shape[0]
        axes = 2 if channels is None else 3
        images = ImageFormat(image_shape, channels, field=field, value_range=value_range, axes=axes)
        half = images.unit[1]
        levels = half * self.sigma_range[0], half * self.sigma_range[1]
        super().__init__(replace(images, noise_range=levels, std=half * self.sigma_data))
        self.label: int | None = None
        self._network = Following(network)

    def of_class(self, label: int | None) -> Diffusion:
        """The density of one class of images, or with None that of all of them."""
        if label is not None and not is_count(label, self.classes - 1, least=0):
            raise ParameterError(f"The classes are 0 to {self.classes - 1}; got {label!r}.")
        return self._changed(label=label)

    def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        images = self.image_format
        levels = sigma.expand(*images.batch_shape(x), *(1,) * images.axes).reshape(-1) / images.unit[1]
        seen = images.to_network(x)
        extra = None
        if self.positioned:
            extra = fourier_features(positions(seen.shape[-2], seen.shape[-1], seen))
            extra = extra.expand(len(seen), -1, -1, -1)
        label = None
        if self.classes:
            label = torch.full((len(seen),), -1 if self.label is None else self.label, device=seen.device)
        denoised = in_parts(self._network.like(seen), seen, levels, label, extra)
        return images.from_network(denoised, x)

    def sample(
        self,
        n: int,
        seed: int,
        *,
        image_shape: tuple[int, ...] | None = None,
        steps: int = 32,
        method: str = "heun",
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw images from the prior.

        Parameters
        ----------
        n : int
        seed : int
            Sample i follows from seed + i alone.
        image_shape : tuple of int, optional
            For a prior of images of any size.
        steps : int
            Noise levels; "heun" evaluates the network twice for each.
        method : {"heun", "ancestral", "predictor-corrector"}
            See `invgen.priors.diffusion.reverse`.
        device : torch.device or str, optional
            Of the computation and of the random numbers, which are others on a GPU.

        Returns
        -------
        tensor, shape (n, *image)
        """
        images = self.image_format
        shape = image_shape or images.shape
        n = as_count(n, "n, the number of images,")
        if shape is None:
            raise ParameterError("This prior is one of images of any size: give image_shape.")
        if method not in SAMPLERS:
            raise ParameterError(f"method is one of {', '.join(SAMPLERS)}; got {method!r}.")
        assert images.noise_range is not None
        levels = noise_levels(steps, *images.noise_range)
        dtype = torch.complex64 if images.field == "complex" else torch.float32
        gray = torch.full((n, *shape), images.unit[0], dtype=dtype, device=device)
        draws = Draws(range(seed, seed + n), device=gray.device)
        with torch.no_grad():
            # at the highest level the denoised image is little else than the mean of all images
            start = self.denoise(gray, levels[0]) + levels[0] * draws(gray)
            return SAMPLERS[method](self.denoise, start, levels, draws)

    def log_prob_estimate(self, x: Tensor, *, steps: int = 40, probes: int = 4, seed: int = 0) -> Estimate:
        """Logarithm of the density of images, and the standard error of its estimate.

        Along the probability flow, with the noise of the lowest level of `sigma_range`; see
        `invgen.priors.diffusion.reverse.flow_log_prob`.

        Parameters
        ----------
        x : real tensor, shape (*batch, *image)
        steps, probes, seed
            Of the integration, and of Hutchinson's estimate of its divergence.
        """
        images = self.image_format
        if images.field == "complex":
            raise CapabilityError("The density of complex images is not implemented.")
        assert images.noise_range is not None
        assert images.std is not None
        batch = images.batch_shape(x)
        found = flow_log_prob(
            self.denoise,
            x.reshape(-1, *x.shape[len(batch) :]),
            *images.noise_range,
            std=images.std,
            steps=steps,
            probes=probes,
            seed=seed,
        )
        return Estimate(*(values.reshape(batch) for values in found))

    def log_prob(self, x: Tensor) -> Tensor:
        """The value of `log_prob_estimate`."""
        return self.log_prob_estimate(x).value

    def _networks(self) -> dict[str, nn.Module]:
        network = self._network.module
        if not isinstance(network, EDM | Pyramid):
            raise CapabilityError(
                f"Files hold EDM(network) or Pyramid(network) with a network of {', '.join(ARCHITECTURES)}; "
                f"this one is {type(network).__name__}."
            )
        return {"network": network.network}

    def _format_header(self) -> dict[str, Any]:
        # noise range and standard deviation follow from the parameters
        return replace(self.image_format, noise_range=None, std=None).header()

    def _parameters(self) -> dict[str, Any]:
        names = ("positioned", "classes", "sigma_data", "sigma_range")
        network = self._network.module
        grids = _GRIDS if isinstance(network, Pyramid) else ()
        return {name: getattr(self, name) for name in names} | {
            name: getattr(network, name) for name in grids
        }

    @classmethod
    def _built(cls, contents: Contents) -> Diffusion:
        header, images, network = contents.header, contents.image_format, contents.networks["network"]
        seen = images.network_channels + CHANNELS * header["positioned"]
        inputs = getattr(network, "config", {}).get("inputs", seen)
        if inputs != seen:
            raise ValueError(f"its network takes {inputs} channels, and its images have {seen}")
        grids = {name: header[name] for name in _GRIDS if name in header}
        return cls(
            (Pyramid if grids else EDM)(network, header["sigma_data"], **grids),
            images.shape,
            channels=images.channels,
            value_range=header["value_range"],
            field=header["field"],
            **{name: header[name] for name in ("positioned", "classes", "sigma_data", "sigma_range")},
        )

    def __repr__(self) -> str:
        images = self.image_format
        size = "any size" if images.shape is None else f"{images.shape}"
        return f"Diffusion({self._network.name}, {size}, {images.field}, values {images.value_range})"

"""A flow of images over several scales, whose networks see pixels where they can, and not latents."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError, ShapeError
from invgen.priors.nets.couplings import ActNorm, Coupling, InvertibleConv, squeeze, unsqueeze
from invgen.priors.nets.splines import Affine, GaussianizingSpline, Spline

__all__ = ["Coarsest", "Details", "MultiscaleFlow", "Step"]

#: Bound of the splines of latents, in standard deviations.
_LATENT_BOUND = 4.0


class MultiscaleFlow(nn.Module):
    """A bijection of images ``(N, C, H, W)``, about from -1 to 1, and latents ``(N, C H W)``.

    At each scale the pixels of even rows and columns are kept, as a smaller image; those of the three other
    phases become latents, given the image that is kept: `Details`. The last image is `Coarsest`. RealNVP and
    Glow factor out what earlier couplings have changed; that the smaller image is as it was, and the rest is
    given this, is Wavelet Flow's (Yu, Derpanis and Brubaker 2020, eq. 4), here with subsampling in place of
    the Haar transform, because gray levels stay gray levels.

    Parameters
    ----------
    channels, height, width : int
        Of the images; both sides are multiples of ``2 ** scales``.
    scales : int
    steps : int
        Steps of Glow at each scale.
    hidden, blocks : int
        Channels of the networks, and residual blocks of those that see pixels only.
    coupling : {"spline", "affine"}
    bins : int
        Of the splines, five or more.
    edge : float
        How far pixels go beyond -1 and 1: half the distance of two levels.

    Raises
    ------
    ParameterError, ShapeError
    """

    def __init__(
        self,
        channels: int,
        height: int,
        width: int,
        scales: int = 2,
        steps: int = 2,
        hidden: int = 32,
        blocks: int = 2,
        coupling: str = "spline",
        bins: int = 12,
        edge: float = 0.0,
    ) -> None:
        super().__init__()
        #: The arguments that build it again.
        self.config: dict[str, Any] = {
            "channels": as_count(channels, "channels"),
            "height": as_count(height, "height"),
            "width": as_count(width, "width"),
            "scales": as_count(scales, "scales", least=0),
            "steps": as_count(steps, "steps", least=0),
            "hidden": as_count(hidden, "hidden"),
            "blocks": as_count(blocks, "blocks", least=0),
            "coupling": coupling,
            "bins": as_count(bins, "bins", least=5),
            "edge": float(edge),
        }
        if coupling not in ("spline", "affine"):
            raise ParameterError(f"coupling is 'spline' or 'affine'; got {coupling!r}.")
        if height % 2**scales or width % 2**scales:
            raise ShapeError(
                f"A flow of {scales} scales halves images {scales} times: both sides are multiples of "
                f"{2**scales}; got {height} x {width}. Crop or pad the images, or give fewer scales."
            )
        pixels, latents = (
            (GaussianizingSpline(bins, 1 + edge, edge / (1 + edge) or None), Spline(bins, _LATENT_BOUND))
            if coupling == "spline"
            else (Affine(), Affine())
        )
        sizes = [(height >> scale, width >> scale) for scale in range(1, scales + 1)]
        self.details = nn.ModuleList(
            Details(channels, size, steps, hidden, blocks, pixels, latents) for size in sizes
        )
        self.coarsest = Coarsest(channels, (height >> scales, width >> scales), hidden, blocks, pixels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Latents of images, the finest scale first, and the logarithm of the determinant ``(N,)``."""
        latents, total = [], x.new_zeros(len(x))
        for details in self.details:
            channels = x.shape[1]
            kept, others = squeeze(x).split([channels, 3 * channels], 1)
            z, change = details(others, kept)
            latents.append(z.flatten(1))
            total, x = total + change, kept
        z, change = self.coarsest(x)
        return torch.cat([*latents, z.flatten(1)], 1), total + change

    def inverse(self, z: Tensor) -> Tensor:
        """Images of latents."""
        c, h, w = (self.config[name] for name in ("channels", "height", "width"))
        shapes = [(3 * c, h >> scale, w >> scale) for scale in range(1, len(self.details) + 1)]
        shapes.append((c, h >> len(self.details), w >> len(self.details)))
        parts = z.split([a * b * d for a, b, d in shapes], 1)
        *latents, last = [part.unflatten(1, shape) for part, shape in zip(parts, shapes, strict=True)]
        x = self.coarsest.inverse(last)
        for details, part in reversed(list(zip(self.details, latents, strict=True))):
            x = unsqueeze(torch.cat([x, details.inverse(part, x)], 1))
        return x


class Details(nn.Module):
    """The three phases that a smaller image leaves out, as latents given that image.

    Of the squares ``a b / c d`` of pixels, d is transformed given a, b, c, then c given a, b, and b given a,
    by networks that see the pixels as they are. Then `Step` after `Step` removes what the latents still say
    of each other.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        steps: int,
        hidden: int,
        blocks: int,
        pixels: Affine | Spline,
        latents: Affine | Spline,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.phases = nn.ModuleList(
            Coupling(pixels, k * channels, channels, size, hidden, blocks) for k in (1, 2, 3)
        )
        self.steps = nn.ModuleList(Step(3 * channels, channels, latents, size, hidden) for _ in range(steps))

    def forward(self, x: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Latents of pixels ``(N, 3 C, H, W)``, and the logarithm of the determinant ``(N,)``."""
        seen, latents, total = kept, [], x.new_zeros(len(x))
        for phase, own in zip(self.phases, x.split(self.channels, 1), strict=True):
            z, slope = phase(own, seen)
            latents.append(z)
            total, seen = total + slope.flatten(1).sum(1), torch.cat([seen, own], 1)
        z = torch.cat(latents, 1)
        for step in self.steps:
            z, change = step(z, kept)
            total = total + change
        return z, total

    def inverse(self, z: Tensor, kept: Tensor) -> Tensor:
        """The x of z."""
        for step in reversed(self.steps):
            z = step.inverse(z, kept)  # type: ignore[operator]
        seen, pixels = kept, []
        for phase, own in zip(self.phases, z.split(self.channels, 1), strict=True):
            pixels.append(phase.inverse(own, seen))  # type: ignore[operator]
            seen = torch.cat([seen, pixels[-1]], 1)
        return torch.cat(pixels, 1)


class Step(nn.Module):
    """A step of Glow, Kingma and Dhariwal (2018), table 1, given an image beside the latents.

    The second half of the channels is transformed, given the first.
    """

    def __init__(
        self, channels: int, context: int, transform: Affine | Spline, size: tuple[int, int], hidden: int
    ) -> None:
        super().__init__()
        self.halves = [channels // 2, channels - channels // 2]
        self.norm, self.conv = ActNorm(channels), InvertibleConv(channels)
        self.coupling = Coupling(transform, self.halves[0] + context, self.halves[1], size, hidden, 1)

    def forward(self, z: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Latents ``(N, C, H, W)`` of latents, and the logarithm of the determinant ``(N,)``."""
        z, scaled = self.norm(z)
        z, mixed = self.conv(z)
        first, second = z.split(self.halves, 1)
        second, slope = self.coupling(second, torch.cat([first, kept], 1))
        return torch.cat([first, second], 1), slope.flatten(1).sum(1) + scaled + mixed

    def inverse(self, z: Tensor, kept: Tensor) -> Tensor:
        """The inverse map of the latents."""
        first, second = z.split(self.halves, 1)
        second = self.coupling.inverse(second, torch.cat([first, kept], 1))
        return self.norm.inverse(self.conv.inverse(torch.cat([first, second], 1)))


class Coarsest(nn.Module):
    """The smallest image as latents: its four phases in turn, each given those before it.

    The phases are the pixels of even rows and columns, of even rows, of even columns, and the rest; the
    networks see the pixels of the phases before, and where they are.
    """

    phase: Tensor

    def __init__(
        self, channels: int, size: tuple[int, int], hidden: int, blocks: int, pixels: Affine | Spline
    ) -> None:
        super().__init__()
        rows, columns = (torch.arange(n) % 2 for n in size)
        self.register_buffer("phase", 2 * rows[:, None] + columns, persistent=False)
        self.phases = nn.ModuleList(
            Coupling(pixels, 2 * channels, channels, size, hidden, blocks) for _ in range(4)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Latents of images ``(N, C, H, W)``, and the logarithm of the determinant ``(N,)``."""
        latents, total = torch.zeros_like(x), x.new_zeros(len(x))
        for k, phase in enumerate(self.phases):
            own = (self.phase == k).to(x)
            z, slope = phase(x, self._before(x, k))
            latents, total = latents + own * z, total + (own * slope).flatten(1).sum(1)
        return latents, total

    def inverse(self, z: Tensor) -> Tensor:
        """The x of z."""
        x = torch.zeros_like(z)
        for k, phase in enumerate(self.phases):
            found = phase.inverse(z, self._before(x, k))  # type: ignore[operator]
            x = x + (self.phase == k).to(x) * found
        return x

    def _before(self, x: Tensor, k: int) -> Tensor:
        """The pixels of the phases before, and where they are."""
        known = (self.phase < k).to(x).expand_as(x)
        return torch.cat([x * known, known], 1)

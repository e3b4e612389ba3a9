"""Features replaced by vectors of a codebook, and the convolutional autoencoder around it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invgen.core.checks import as_count
from invgen.priors.nets.autoencoders import ConvolutionalDecoder, ConvolutionalEncoder, coarse_shape

__all__ = ["VectorQuantizedAutoencoder", "VectorQuantizer"]

#: What is kept of the averages of the codebook in each step.
_KEEP = 0.99

#: Codes are dead whose use is below this fraction of the mean.
_DEAD = 0.03


class VectorQuantizer(nn.Module):
    """A codebook of vectors: moving averages of the features that are closest to each.

    Van den Oord, Vinyals and Kavukcuoglu (2017), sec. 3.1 and appendix A.1. Codes that hardly any feature is
    closest to start again from features at random, as in Dhariwal et al. (2020), "Jukebox", sec. 3.

    Parameters
    ----------
    codes : int
        Number of vectors.
    width : int
        Their length.
    """

    codebook: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, codes: int, width: int) -> None:
        super().__init__()
        self.register_buffer("codebook", torch.randn(codes, width))
        # averages of how many features were closest to each, and of their sum
        self.register_buffer("counts", torch.zeros(codes))
        self.register_buffer("sums", torch.zeros(codes, width))

    def nearest(self, features: Tensor) -> Tensor:
        """Codes ``(N, h, w)`` of the vectors closest to features ``(N, width, h, w)``, eq. 1."""
        rows = features.movedim(1, -1)
        with _full_precision(rows):
            # squared distances, but for the square of the feature itself
            distances = self.codebook.square().sum(1) - 2 * rows @ self.codebook.mT
        return distances.argmin(-1)

    def lookup(self, codes: Tensor) -> Tensor:
        """Vectors ``(N, width, h, w)`` of codes ``(N, h, w)``."""
        return self.codebook[codes].movedim(-1, 1)

    @torch.no_grad()
    def learn(self, features: Tensor, codes: Tensor, uniform: Tensor) -> None:
        """Move the averages and the codebook, appendix A.1, eq. 6 to 8.

        Parameters
        ----------
        features : tensor, shape (N, width, h, w)
        codes : tensor of int, shape (N, h, w)
        uniform : tensor, shape (codes,)
            Numbers from 0 to 1 that choose the features from which dead codes start again.
        """
        rows = features.movedim(1, -1).flatten(0, -2)
        chosen = F.one_hot(codes.flatten(), len(self.counts)).to(rows)
        self.counts.lerp_(chosen.sum(0), 1 - _KEEP)
        with _full_precision(rows):
            self.sums.lerp_(chosen.mT @ rows, 1 - _KEEP)
        mean = self.counts.mean()
        dead = self.counts < _DEAD * mean
        fresh = rows[(uniform * len(rows)).long().clamp(max=len(rows) - 1)]
        self.counts.copy_(torch.where(dead, mean, self.counts))
        self.sums.copy_(torch.where(dead[:, None], mean * fresh, self.sums))
        self.codebook.copy_(self.sums / self.counts[:, None])


class VectorQuantizedAutoencoder(nn.Module):
    """Images as maps of codes, and the outputs that are decoded from the vectors of these codes.

    Parameters
    ----------
    image_shape : tuple of int
        ``(C, H, W)``, with sides that are multiples of ``2 ** len(widths)``.
    outputs : int
        Numbers for each pixel.
    codes : int
        Number of vectors in the codebook.
    code_width : int
        Length of each.
    widths : sequence of int
        Channels at each resolution; the codes are a map of the coarsest one.
    blocks : int
        Residual blocks at each resolution, of the encoder and of the decoder.

    Raises
    ------
    ShapeError, ParameterError
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (1, 28, 28),
        outputs: int = 1,
        codes: int = 128,
        code_width: int = 32,
        widths: Sequence[int] = (32, 64),
        blocks: int = 2,
    ) -> None:
        super().__init__()
        widths = [as_count(width, "each of the widths") for width in widths]
        code_width, blocks = as_count(code_width, "code_width"), as_count(blocks, "blocks")
        height, across = coarse_shape(image_shape, widths)
        #: The arguments that build it again.
        self.config = {
            "image_shape": list(image_shape),
            "outputs": as_count(outputs, "outputs"),
            "codes": as_count(codes, "codes", least=2),
            "code_width": code_width,
            "widths": widths,
            "blocks": blocks,
        }
        self.latent_shape = (code_width, height, across)
        self.encoder = nn.Sequential(
            ConvolutionalEncoder(image_shape[0], widths, blocks), nn.Conv2d(widths[-1], code_width, 1)
        )
        self.quantizer = VectorQuantizer(codes, code_width)
        self.decoder = nn.Sequential(
            nn.Conv2d(code_width, widths[-1], 1), ConvolutionalDecoder(outputs, widths, blocks)
        )

    def forward(self, images: Tensor, uniform: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features and vectors ``(N, code_width, h, w)``, codes ``(N, h, w)``, and the outputs.

        In training, and with uniform numbers ``(codes,)``, the codebook moves; see `VectorQuantizer.learn`.
        """
        features = self.encoder(images).to(self.quantizer.codebook.dtype)
        codes = self.quantizer.nearest(features)
        vectors = self.quantizer.lookup(codes)
        if self.training and uniform is not None:
            self.quantizer.learn(features, codes, uniform)
        # the gradient of the outputs reaches the features as if nothing had been quantized
        return features, vectors, codes, self.decoder(features + (vectors - features).detach())


def _full_precision(like: Tensor) -> torch.autocast:
    """Products as precise as their factors, in a training whose other products are not."""
    return torch.autocast(like.device.type, enabled=False)

"""The preconditioning of a network as a denoiser."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from invgen.priors.nets.evaluation import Preconditioned

__all__ = ["EDM"]


class EDM(Preconditioned):
    """The preconditioned denoiser of Karras et al. (2022), eq. 7 and table 1.

        D(x, sigma) = c_skip x + c_out F(c_in x, log(sigma) / 4)

    Input and target of the network have variance one at every noise level: the target is the image where
    there is much noise, and the noise where there is little.

    Parameters
    ----------
    network : torch.nn.Module
        ``F(x, noise, label)`` of images ``(N, C, H, W)``; further channels of its input, such as positions,
        are not scaled.
    sigma_data : float
        Root mean square of the images.
    """

    def __init__(self, network: nn.Module, sigma_data: float) -> None:
        super().__init__()
        self.network, self.sigma_data = network, sigma_data

    def forward(
        self, x: Tensor, sigma: Tensor, label: Tensor | None = None, extra: Tensor | None = None
    ) -> Tensor:
        """Denoise images ``(N, C, H, W)`` of noise levels ``(N,)``; `extra` are further channels."""
        noise, sigma = sigma.log() / 4, sigma[:, None, None, None]
        total = sigma.square() + self.sigma_data**2
        seen = total.rsqrt() * x
        seen = seen if extra is None else torch.cat([seen, extra], dim=1)
        skip, out = self.sigma_data**2 / total, sigma * self.sigma_data * total.rsqrt()
        return skip * x + out * self.network(seen, noise, label)

    def weight(self, sigma: Tensor) -> Tensor:
        """Weight of the squared error, ``1 / c_out^2``: at first the loss is equal at all levels, table 1."""
        return (sigma.square() + self.sigma_data**2) / (sigma * self.sigma_data).square()

"""The preconditioning that makes a denoiser of a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["EDM"]


class EDM(nn.Module):
    """A denoiser that asks little of its network at any noise level, Karras et al. (2022), eq. 7 and table 1.

        D(x, sigma) = c_skip x + c_out F(c_in x, log(sigma) / 4)

    The network sees inputs of variance one, and what it should give has variance one: the image itself where
    there is much noise, the noise where there is little.

    Parameters
    ----------
    network : torch.nn.Module
        ``F(x, noise, label)`` of images ``(N, C, H, W)``; channels beyond those it gives back, such as
        positions, go into it as they are.
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
        """Weight of the squared error in the loss, ``1 / c_out^2``: all levels then begin alike, table 1."""
        return (sigma.square() + self.sigma_data**2) / (sigma * self.sigma_data).square()

"""Unknown pixels of images, given the known ones, by Metropolis within Gibbs."""

from __future__ import annotations

import torch
from torch import Tensor

from invgen.priors.autoregressive.sampling import Predicted, Uniforms, continued
from invgen.priors.nets.masked import GatedMaskedCNN

__all__ = ["completed"]


def completed(
    network: GatedMaskedCNN,
    predicted: Predicted,
    start: Tensor,
    known: Tensor,
    uniforms: Uniforms,
    sweeps: int,
) -> Tensor:
    """Draw the pixels of images that are not known.

    First in the order of reading, each from its probability given all before it: exact where no known pixel
    comes after an unknown one. Elsewhere each sweep visits every unknown pixel: a value that is drawn from
    that probability is accepted by how much more probable it makes the pixels after it (Metropolis within
    Gibbs, Tierney 1994, sec. 2.4), which leaves the probability given all known pixels as it is.

    Parameters
    ----------
    network : GatedMaskedCNN
    predicted : callable(outputs) -> Pixels
    start : tensor, shape (N, C, H, W)
        In the network's unit, with the known values.
    known : bool tensor, shape (H, W)
    uniforms : Uniforms
    sweeps : int
        Not needed, and not made, where the first draw is exact.
    """
    unknown = (~known).flatten().nonzero().flatten().tolist()
    if not unknown:
        return start
    x = continued(network, predicted, start, unknown[0], uniforms, known)
    if not bool(known.flatten()[unknown[0] :].any()):
        return x
    width = x.shape[-1]
    outputs = network(x)
    found = predicted(outputs).log_prob(x)
    for _ in range(sweeps):
        for place in unknown:
            i, j = divmod(place, width)
            pixel = (..., slice(i, i + 1), slice(j, j + 1))
            numbers = uniforms.pixel(x, more=2)
            proposed = x.clone()
            proposed[pixel] = predicted(outputs[pixel]).sample(numbers[:, 1:])
            outputs_then = network(proposed)
            found_then = predicted(outputs_then).log_prob(proposed)
            gain = (found_then - found).flatten(1)[:, place + 1 :].sum(1)
            accepted = numbers[:, 0, 0, 0].log() < gain
            each = accepted[:, None, None, None]
            x, outputs = torch.where(each, proposed, x), torch.where(each, outputs_then, outputs)
            found = torch.where(accepted[:, None, None], found_then, found)
    return x

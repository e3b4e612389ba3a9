"""What is shown of variational autoencoders of digits while they learn, and measured afterwards."""

import math

import torch

import invgen as ig


def shown(prior, held_out, path):
    """Bits per dimension of a thousand held-out digits, and a picture.

    It has drawn pixels, mean images of the same latent variables, held-out digits, and their reconstructions.
    """
    some = held_out[:16]
    rows = [prior.sample(16, seed=0), prior.sample(16, seed=0, means=True), some, prior.reconstruct(some)]
    ig.figures.save_grid(torch.cat(rows), path, columns=16)
    return {"bits": _bits(prior.elbo(held_out[:1000]), held_out)}


def bits_by_bounds(prior, held_out, count):
    """Bits per dimension by the evidence lower bound, and of the first digits by the tighter one."""
    with torch.no_grad():
        # other random numbers for each part
        elbo = torch.cat([prior.elbo(part, seed=i) for i, part in enumerate(held_out.split(100))])
        weighted = prior.log_prob_bound(held_out[:count], samples=100)
    few = f"the first {len(weighted)}"
    found = {
        f"bits per dimension of {len(held_out)} test digits, evidence lower bound": elbo,
        f"{few}: evidence lower bound": elbo[: len(weighted)],
        f"{few}: 100 importance-weighted samples": weighted,
    }
    return {name: round(_bits(log_prob, held_out), 3) for name, log_prob in found.items()}


def _bits(log_prob, images):
    """Bits per dimension, on average."""
    return -float(log_prob.mean()) / (math.log(2) * images[0].numel())

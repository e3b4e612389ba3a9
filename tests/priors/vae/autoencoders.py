"""What tests of variational autoencoders share: weights that matter, and images of their levels."""

import torch


def at_random(prior):
    """The prior with weights at random, so that its posterior is not its prior, and all levels matter."""
    network = prior.networks()["network"]
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return prior.with_networks({"network": network})


def pictures(prior, *batch, dtype=torch.float32):
    """Images of its levels."""
    images = prior.image_format
    low, high = images.value_range
    uniform = torch.rand(*batch, *images.shape, generator=torch.Generator().manual_seed(3), dtype=dtype)
    last = (images.levels or 256) - 1
    return low + (high - low) * (uniform * last).round() / last

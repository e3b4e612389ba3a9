"""Small priors with random weights, of all families that compress."""

import numpy as np
import pytest
import torch

from invgen import priors


def randomized(prior):
    """With weights that matter in all layers: untrained networks begin as the identity."""
    generator = torch.Generator().manual_seed(1)
    for network in prior._networks().values():
        for parameter in network.parameters():
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return prior


def softmax():
    return randomized(priors.Autoregressive.untrained((6, 8), mixtures=0, width=8, layers=2))


def logistics():
    return randomized(priors.Autoregressive.untrained((3, 5, 4), mixtures=2, width=8, layers=2))


def table():
    images = torch.rand(20, 6, 8, generator=torch.Generator().manual_seed(0)).square()
    return priors.ContextTable.fit(images)


def vae():
    return randomized(priors.VAE.untrained((8, 8), latent=3, widths=(4, 8), blocks=1))


def hierarchical_vae():
    return randomized(priors.HierarchicalVAE.untrained((8, 8), latent=(3, 2, 1), widths=(4, 8), mixtures=2))


def vq_vae():
    return randomized(
        priors.VQVAE.untrained((8, 4), codes=7, code_width=3, widths=(4, 8), blocks=1, layers=1)
    )


FAMILIES = {
    "softmax": softmax,
    "logistics": logistics,
    "table": table,
    "vae": vae,
    "hierarchical-vae": hierarchical_vae,
    "vq-vae": vq_vae,
}


@pytest.fixture(scope="session")
def families():
    """A prior of each family, by its name."""
    return {name: build() for name, build in FAMILIES.items()}


@pytest.fixture(params=FAMILIES)
def prior(request, families):
    """Each of them."""
    return families[request.param]


@pytest.fixture
def pictures():
    """Constants, noise, sparse and smooth images, as many as asked for, of one shape."""

    def make(shape, count, seed=0):
        rng = np.random.default_rng(seed)
        ramp = np.add.outer(np.arange(shape[-2]), np.arange(shape[-1]))
        kinds = [
            lambda: np.full(shape, rng.integers(256)),
            lambda: np.full(shape, rng.choice([0, 255])),
            lambda: rng.integers(0, 256, shape),
            lambda: rng.choice([0, 255], shape),
            lambda: rng.integers(0, 256, shape) * (rng.random(shape) < 0.05),
            lambda: (ramp * rng.integers(1, 9) + rng.integers(0, 3, shape)) % 256,
        ]
        return np.stack([kinds[i % len(kinds)]() for i in range(count)]).astype(np.uint8)

    return make

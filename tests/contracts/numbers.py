"""Random tensors of a fixed seed."""

import torch


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def low_rank(m, n, rank, dtype=torch.float64):
    return normal(m, rank, seed=1, dtype=dtype) @ normal(rank, n, seed=2, dtype=dtype)


def spd(k, n):
    """Random covariances."""
    roots = torch.randn(k, n, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return roots @ roots.mT / n + 0.1 * torch.eye(n)

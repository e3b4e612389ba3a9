"""Whether Markov chains have mixed, and the number of independent draws that theirs are worth.

Chains are ``(chains, draws, *image)``: several of the same posterior, each in the order of its draws. Each
function returns one number for each pixel, in double precision; for complex chains the worse one of the real
and the imaginary part.
"""

from __future__ import annotations

import torch
from torch import Tensor

from invgen.core.errors import DataError, DtypeError, ShapeError

__all__ = ["effective_sample_size", "r_hat"]


def r_hat(chains: Tensor) -> Tensor:
    """Width of all chains together over that of each: near one where they have mixed.

    Rank-normalized split-R-hat of Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021): the draws are
    replaced by standard Gaussian quantiles of their ranks, and R-hat is the root of the variance estimated
    from all halves of chains over the mean variance within them; or that of the distances from the median,
    where it is larger. Chains with more than 1.01 should be continued.

    Parameters
    ----------
    chains : tensor, shape (chains, draws, *image)
        One chain or more, of at least four draws.

    Returns
    -------
    tensor, float64, shape (*image)
        One where nothing varies; infinite where halves are constant at different values.

    Raises
    ------
    ShapeError, DtypeError, DataError
        For what is no chain, or holds NaN or infinities.
    """
    draws = _halves(chains)
    folded = (draws - draws.flatten(0, 1).median(0).values).abs()
    found = torch.maximum(_ratio(_normalized(draws)), _ratio(_normalized(folded)))
    return found.amax(-1) if chains.is_complex() else found[..., 0]


def effective_sample_size(chains: Tensor) -> Tensor:
    """Number of independent draws that would estimate the mean as accurately.

    ``N / (1 + 2 sum rho_t)`` for the N draws of all chains, with the autocorrelations rho_t of split chains,
    Vehtari et al. (2021), summed as long as pairs of neighbors are positive and decrease (Geyer 1992).

    Parameters
    ----------
    chains : tensor, shape (chains, draws, *image)
        One chain or more, of at least four draws.

    Returns
    -------
    tensor, float64, shape (*image)
        At most ``N log10 N``, which chains with negative autocorrelation reach; N where nothing varies.

    Raises
    ------
    ShapeError, DtypeError, DataError
        For what is no chain, or holds NaN or infinities.
    """
    draws = _halves(chains)
    m, n = draws.shape[:2]
    within, together = _variances(draws)
    covariances = _autocovariances(draws).mean(0)
    rho = 1 - (within - covariances) / torch.where(together > 0, together, 1)
    rho[0] = 1
    pairs = rho[: n // 2 * 2].reshape(n // 2, 2, *rho.shape[1:]).sum(1)
    positive = (pairs > 0).cumprod(0)
    time = 2 * (pairs.cummin(0).values * positive).sum(0) - 1
    total = torch.tensor(float(m * n), dtype=torch.float64, device=draws.device)
    found = torch.where(together > 0, total / time.clamp(min=1 / torch.log10(total)), total)
    return found.amin(-1) if chains.is_complex() else found[..., 0]


def _halves(chains: Tensor) -> Tensor:
    """Both halves of each chain as chains, ``(2 chains, draws // 2, *image, parts)``."""
    if not isinstance(chains, Tensor) or not (chains.is_floating_point() or chains.is_complex()):
        given = chains.dtype if isinstance(chains, Tensor) else type(chains).__name__
        raise DtypeError(f"Chains are tensors of real or complex numbers; got {given}.")
    if chains.ndim < 2 or chains.shape[0] < 1 or chains.shape[1] < 4:
        raise ShapeError(
            f"Chains are (chains, draws, *image), with at least four draws; got {tuple(chains.shape)}."
        )
    if not bool(torch.isfinite(chains).all()):
        raise DataError("Chains hold NaN or infinities: they have diverged.")
    parts = torch.view_as_real(chains.resolve_conj()) if chains.is_complex() else chains[..., None]
    n = chains.shape[1] // 2
    # where the number of draws is odd, the middle one is left out
    return torch.cat([parts[:, :n], parts[:, -n:]]).double()


def _normalized(draws: Tensor) -> Tensor:
    """Standard Gaussian quantiles of the ranks among all chains; equal draws have the mean of their ranks."""
    rows = draws.flatten(0, 1).flatten(1).T.contiguous()
    ordered = rows.sort(-1).values
    ranks = (torch.searchsorted(ordered, rows) + torch.searchsorted(ordered, rows, right=True) + 1) / 2
    normal = torch.special.ndtri((ranks - 3 / 8) / (rows.shape[-1] + 1 / 4))
    return normal.T.reshape(draws.shape)


def _variances(draws: Tensor) -> tuple[Tensor, Tensor]:
    """Mean variance within chains, and the variance estimated from all chains together."""
    n = draws.shape[1]
    within = draws.var(1).mean(0)
    return within, (n - 1) / n * within + draws.mean(1).var(0)


def _ratio(draws: Tensor) -> Tensor:
    within, together = _variances(draws)
    # in ranks, chains that are all constant at one value have no variance at all
    moves = torch.where(together > 0, torch.inf, 1.0)
    return torch.where(within > 0, (together / torch.where(within > 0, within, 1)).sqrt(), moves)


def _autocovariances(draws: Tensor) -> Tensor:
    """Autocovariance of each chain at each lag, about its own mean, over ``n - 1`` as its variance is."""
    n = draws.shape[1]
    transform = torch.fft.rfft(draws - draws.mean(1, keepdim=True), n=2 * n, dim=1)
    return torch.fft.irfft(transform.abs().square(), n=2 * n, dim=1)[:, :n] / (n - 1)

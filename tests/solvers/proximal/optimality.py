"""How far an image is from the minimiser of a convex objective, measured without any solver."""

from __future__ import annotations

import torch


def subgradient_residual(problem, prior, x, steps=4000):
    """Distance of zero from the subgradients of ``f + sum g_i(K_i .)``, relative to the gradient at zero.

    The proximal gradient step ``x+ = prox_tau(x - tau grad f(x))`` with ``tau = 1 / L`` has the subgradient
    ``(x - x+) / tau`` but for the change of grad f from x to x+, which is no larger: the largest of its norm
    and of the error of the map itself is given. The map is found on its dual, in float64, by accelerated
    projected gradients with restarts, ``x+ = u - tau sum K_i.H y_i``: whatever y_i is feasible, that x+ meets
    the first condition exactly, and ``y_i = prox_{g_i*}(y_i + K_i x+)`` shows how well the others. The
    gradient of f is PyTorch's, through the operator.

    Parameters
    ----------
    x : tensor, shape (*batch, *image)
        Images of several solvers, say; each is measured by itself.
    """
    space = problem.operator.domain
    terms = prior.resolve(problem).terms(space)
    tau, size = 1 / problem.lipschitz(), space.norm(gradient(problem, problem.zeros()))
    u = x - tau * gradient(problem, x)
    squares = sum(K.norm() ** 2 for K, _ in terms)
    sigma = 1 / (tau * squares)
    y = [torch.zeros_like(K(x)) for K, _ in terms]
    ahead, t = y, torch.ones_like(space.norm(x))
    for step in range(steps):
        image = u - tau * sum(K.H(w) for (K, _), w in zip(terms, ahead, strict=True))
        y_old = y
        y = [g.conjugate_prox(w + sigma * K(image), sigma) for (K, g), w in zip(terms, ahead, strict=True)]
        moves = [new - old for new, old in zip(y, y_old, strict=True)]
        errors = [new - w for new, w in zip(y, ahead, strict=True)]
        if step % 50 == 0:
            # the error of an image that |sum K.H error| tau is off, as a subgradient
            off = space.norm(sum(K.H(e) for (K, _), e in zip(terms, errors, strict=True))) / size
            if float(off.max()) < 1e-12:
                break
        uphill = sum(K.range.inner(e, m).real for (K, _), e, m in zip(terms, errors, moves, strict=True)) < 0
        t = torch.where(uphill, 1.0, t)
        t_old, t = t, (1 + (1 + 4 * t * t).sqrt()) / 2
        factor = (t_old - 1) / t
        ahead = [
            new + K.range.per_sample(factor) * move for (K, _), new, move in zip(terms, y, moves, strict=True)
        ]
    image = u - tau * sum(K.H(w) for (K, _), w in zip(terms, y, strict=True))
    return torch.maximum(space.norm(x - image) / tau / size, off)


def gradient(problem, x):
    """Of the data term, by automatic differentiation of the likelihood at each of the images."""
    A, batch = problem.operator, x.shape[: x.ndim - len(problem.operator.domain.shape)]
    with torch.enable_grad():
        image = x.detach().requires_grad_()
        y = problem.measurement.expand(*batch, *A.range.shape)
        noise = problem.noise
        value = noise.negative_log_likelihood(A(image), y, A.range.axes, problem.observed).sum()
        return torch.autograd.grad(value, image)[0]


def objective(problem, prior, x):
    """The data term and the penalty at each of the images, from the terms of the prior."""
    A = problem.operator
    value = problem.noise.negative_log_likelihood(
        A(x),
        problem.measurement.expand(*A.range.batch_shape(A(x)), *A.range.shape),
        A.range.axes,
        problem.observed,
    )
    return value + sum(g.value(K(x), K.range.axes) for K, g in prior.resolve(problem).terms(A.domain))

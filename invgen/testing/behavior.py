"""How operators behave when called: precision, batches, repetition, derivatives, errors."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable

import torch
from torch.func import vmap

from invgen.core.errors import DataError, DtypeError, ShapeError
from invgen.core.space import Data, map_parts
from invgen.operators import LinearOperator, Operator, ProductSpace, Space
from invgen.testing.linear import EXACT
from invgen.testing.report import Checks, cloned, distance, parts, pickled, refuses_change, same_bits

__all__ = [
    "check_batch",
    "check_derivatives",
    "check_device",
    "check_errors",
    "check_immutability",
    "check_memory_layout",
    "check_nonlinear_derivatives",
    "check_observed",
    "check_pickling",
    "check_precision",
    "check_vmap",
    "maps",
]

_DTYPES = (torch.float32, torch.float64)


def maps(operator: Operator) -> dict[str, Operator]:
    """Return the operator, and the adjoint and the gram operator of a linear one."""
    if not isinstance(operator, LinearOperator):
        return {"A": operator}
    return {"A": operator, "A.H": operator.H, "A.gram": operator.gram}


def check_precision(operator: Operator, checks: Checks, seed: int) -> None:
    """Hold the result to the shape and field of the range, and to the precision and device of the input."""
    for (name, A), dtype in itertools.product(maps(operator).items(), _DTYPES):
        y = A(A.domain.random((2,), seed=seed, dtype=dtype))
        expected = A.range.random((2,), seed=seed, dtype=dtype)
        fits = [(p.shape, p.dtype, p.device) for p in parts(y)] == [
            (p.shape, p.dtype, p.device) for p in parts(expected)
        ]
        got = ", ".join(f"{tuple(p.shape)} {p.dtype}" for p in parts(y))
        checks.true("precision", fits, f"{name} of a batch of 2 in {dtype} returned {got}")


def check_batch(operator: Operator, checks: Checks, seed: int) -> None:
    """Compare a batch with its elements one by one; with one batch axis, with two, and empty.

    To the bit, unless the operator states by `exact_batches` that it is to rounding.
    """
    for (name, A), dtype in itertools.product(maps(operator).items(), _DTYPES):
        same = _same if A.exact_batches else _close
        x = A.domain.random((2, 3), seed=seed, dtype=dtype)
        y = A(x)
        for index in ((0, 0), (1, 2)):
            one, meaning = A(_at(x, index)), f"{name} of a batch differs from {name} of its elements"
            same(checks, "batch: elements", one, _at(y, index), meaning)
        same(checks, "batch: axes", A(_at(x, 1)), _at(y, 1), f"{name} depends on the number of batch axes")
        empty = A(A.domain.random((0, 2), seed=seed, dtype=dtype))
        shapes = [p.shape for p in parts(A.range.random((0, 2), seed=seed, dtype=dtype))]
        checks.true(
            "batch: empty",
            [p.shape for p in parts(empty)] == shapes,
            f"{name} of an empty batch is not empty",
        )


def check_vmap(operator: Operator, checks: Checks, seed: int) -> None:
    """Compare ``torch.func.vmap``, of the operator and of its derivatives, with the batched call."""
    same = _same if isinstance(operator, LinearOperator) else _close
    for (name, A), dtype in itertools.product(maps(operator).items(), _DTYPES):
        x = A.domain.random((3, 2), seed=seed, dtype=dtype)
        y = A(x)
        meaning = f"vmap of {name} differs from the batched call"
        same(checks, "vmap: first axis", vmap(A)(x), y, meaning)
        same(checks, "vmap: second axis", vmap(A, in_dims=1, out_dims=1)(x), y, meaning)
        same(checks, "vmap: both axes", vmap(vmap(A))(x), y, meaning)
        x, v = (A.domain.random((2,), seed=seed + i, dtype=dtype) for i in range(2))
        w = A.range.random((2,), seed=seed + 2, dtype=dtype)
        pushed = vmap(lambda x, v, A=A: torch.func.jvp(A, (x,), (v,))[1])(x, v)
        same(
            checks,
            "vmap: jvp",
            pushed,
            A.jvp(x, v),
            f"vmap of the jvp of {name} differs from the batched one",
        )
        pulled = vmap(lambda x, w, A=A: torch.func.vjp(A, x)[1](w)[0])(x, w)
        same(
            checks,
            "vmap: vjp",
            pulled,
            A.vjp(x, w),
            f"vmap of the vjp of {name} differs from the batched one",
        )
        slope = vmap(torch.func.grad(lambda x, A=A: A.range.inner(A(x), A(x)).real / 2))(x)
        expected = A.vjp(x, A(x))
        _close(
            checks, "vmap: gradient", slope, expected, f"vmap of the gradient of |{name} x|^2 / 2 is wrong"
        )


def check_memory_layout(operator: Operator, checks: Checks, seed: int) -> None:
    """Apply to views: strided, and lazily conjugated or negated."""
    for (name, A), dtype in itertools.product(maps(operator).items(), _DTYPES):
        x = A.domain.random((2,), seed=seed, dtype=dtype)
        for lazy in (_strided, _unresolved):
            view = map_parts(lazy, x)
            plain = map_parts(lambda p: p.resolve_conj().resolve_neg().contiguous(), view)
            checks.true(
                "memory: views",
                same_bits(A(view), A(plain)),
                f"{name} of a view differs from {name} of a copy",
            )


def check_observed(operator: Operator, checks: Checks, seed: int) -> None:
    """Compare `observed` with the measurement of an image: what is not observed must be zero."""
    observed = operator.observed
    if observed is None:
        return
    own, shape = tuple(observed.shape), operator.range.shape
    fits = len(own) <= len(shape) and all(a in (1, b) for a, b in zip(own[::-1], shape[::-1], strict=False))
    checks.true(
        "observed: mask",
        fits and observed.dtype == torch.bool,
        f"observed is {observed.dtype} of shape {own}, no mask of measurements {shape}",
    )
    x = operator.domain.random((2,), seed=seed, dtype=torch.float64)
    elsewhere = operator(x)[:, ~observed.expand(shape)]
    checks.true("observed: elsewhere zero", not bool(elsewhere.any()), "what is not observed is not zero")


def check_immutability(operator: Operator, checks: Checks, seed: int) -> None:
    """Call twice: neither the operator nor the input changes, and results share no memory with them."""
    checks.true(
        "immutability: attributes", refuses_change(operator), "attributes can be set after construction"
    )
    for (name, A), dtype in itertools.product(maps(operator).items(), _DTYPES):
        x = A.domain.random((2,), seed=seed, dtype=dtype)
        kept = cloned(x)
        y = A(x)
        first = cloned(y)
        checks.true("immutability: input", same_bits(x, kept), f"{name}(x) changed x")
        for part in parts(y):
            part.fill_(7)
        checks.true("immutability: memory", same_bits(x, kept), f"{name}(x) shares memory with x")
        A(A.domain.random(seed=seed + 1, dtype=dtype))
        checks.true(
            "immutability: repeat", same_bits(A(x), first), f"{name}(x) returned other bits the second time"
        )


def check_pickling(operator: Operator, checks: Checks, seed: int) -> None:
    """Compare with a copy through pickle, to the bit."""
    copy = pickled(operator)
    checks.true("pickling: attributes", refuses_change(copy), "the copy's attributes can be set")
    for (name, A), B in zip(maps(operator).items(), maps(copy).values(), strict=True):
        x = A.domain.random((2,), seed=seed, dtype=torch.float32)
        checks.true("pickling: result", same_bits(B(x), A(x)), f"{name} of a pickled copy returns other bits")
    if isinstance(copy, LinearOperator):
        checks.true(
            "pickling: A.H.H is A", copy.H.H is copy, "the copy's adjoint belongs to another operator"
        )


def check_derivatives(operator: Operator, checks: Checks, seed: int) -> None:
    """Compare first and second derivatives, in both modes, with finite differences."""
    for name, A in maps(operator).items():
        x = A.domain.random(seed=seed, dtype=torch.float64)
        inputs = tuple(p.detach().clone().requires_grad_() for p in parts(x))
        call = _on_parts(A)
        torch.autograd.gradcheck(call, inputs, fast_mode=True, check_forward_ad=True)
        torch.autograd.gradgradcheck(call, inputs, fast_mode=True)
        checks.true(f"derivatives: {name}", True, "")
    if isinstance(operator, LinearOperator):
        x, v = (operator.domain.random(seed=seed + i, dtype=torch.float64) for i in range(2))
        w = operator.range.random(seed=seed, dtype=torch.float64)
        checks.true(
            "derivatives: jvp",
            same_bits(operator.jvp(x, v), operator(v)),
            "jvp of a linear operator is itself",
        )
        checks.true(
            "derivatives: vjp", same_bits(operator.vjp(x, w), operator.H(w)), "vjp is not the adjoint"
        )


def check_nonlinear_derivatives(operator: Operator, checks: Checks, seed: int) -> None:
    """Compare ``jvp`` with central differences, ``vjp`` with ``jvp``."""
    x, v = (operator.domain.random(seed=seed + i, dtype=torch.float64) for i in range(2))
    w = operator.range.random(seed=seed + 2, dtype=torch.float64)
    h = 1e-5
    ahead, behind = (operator(map_parts(lambda p, q, s=s: p + s * q, x, v)) for s in (h, -h))
    slope = map_parts(lambda p, q: (p - q) / (2 * h), ahead, behind)
    forward, backward = operator.jvp(x, v), operator.vjp(x, w)
    checks.at_most("derivatives: jvp", distance(forward, slope), 1e-6, "jvp differs from finite differences")
    left, right = operator.range.inner(w, forward).real, operator.domain.inner(backward, v).real
    scale = operator.range.norm(w) * operator.range.norm(forward)
    checks.at_most("derivatives: vjp", (left - right).abs() / scale, 1e-12, "vjp is not the adjoint of jvp")


def check_errors(operator: Operator, checks: Checks, seed: int) -> None:
    """Call with invalid input: each is refused with its own kind of error, and no keyword is ignored."""
    both = [operator, operator.H] if isinstance(operator, LinearOperator) else [operator]
    for A in both:
        x = A.domain.random((2,), seed=seed, dtype=torch.float32)
        with checks.raises("errors: keyword", TypeError, "an unknown keyword must be refused"):
            A(x, nonsense=1)  # type: ignore[call-arg]
        if isinstance(A.domain, ProductSpace):
            with checks.raises("errors: shape", ShapeError, "a tuple that is too short must be refused"):
                A(x[:-1])
            with checks.raises("errors: shape", ShapeError, "a tensor instead of a tuple must be refused"):
                A(x[0])
            continue
        _check_refusals(A, A.domain, x, checks)
    parameters = inspect.signature(type(operator).__init__).parameters.values()
    swallows = any(p.kind is p.VAR_KEYWORD for p in parameters)
    checks.true(
        "errors: keyword", not swallows, f"{operator.name} takes **keywords, which swallow typing errors"
    )


def _check_refusals(A: Operator, space: Space, x: torch.Tensor, checks: Checks) -> None:
    other = x.real if x.is_complex() else x.to(torch.complex64)
    spoiled = x.clone()
    spoiled.view(-1)[-1] = float("nan")
    infinite = x.clone()
    infinite.view(-1)[0] = float("inf")
    _check_place(A, spoiled, checks)
    wider = torch.cat([x, x[..., :1]], dim=-1)
    for kind, given, meaning in (
        (ShapeError, wider, "another shape must be refused"),
        (ShapeError, x.flatten()[0], "a single number must be refused"),
        (DtypeError, torch.ones(x.shape, dtype=torch.int64), "integers must be refused"),
        (DtypeError, torch.ones(x.shape, dtype=torch.float16), "half precision must be refused"),
        (DtypeError, other, f"another field than {space.field} must be refused"),
        (DtypeError, x.numpy(), "a NumPy array must be refused"),
        (DataError, spoiled, "NaN must be refused"),
        (DataError, infinite, "infinity must be refused"),
    ):
        with checks.raises(f"errors: {kind.__name__}", kind, f"{A.name}: {meaning}"):
            A(given)


def _check_place(A: Operator, spoiled: torch.Tensor, checks: Checks) -> None:
    """NaN in the last entry is reported with its index."""
    index = str(tuple(n - 1 for n in spoiled.shape))
    for call in (A, vmap(A)):
        message = ""
        try:
            call(spoiled)
        except DataError as error:
            message = str(error)
        checks.true("errors: place of NaN", index in message, f"{A.name} must refuse NaN and name its index")


def check_device(operator: Operator, checks: Checks, seed: int) -> None:
    """Compare a GPU with the CPU, to rounding."""
    if not torch.cuda.is_available():
        checks.leave_out("device", "no GPU here")
        return
    for (name, A), (dtype, bound) in itertools.product(
        maps(operator).items(), ((torch.float32, 1e-5), (torch.float64, 1e-9))
    ):
        x = A.domain.random((2,), seed=seed, dtype=dtype)
        y = A(map_parts(lambda p: p.cuda(), x))
        checks.true("device: place", all(p.is_cuda for p in parts(y)), f"{name} of data on the GPU left it")
        on_cpu = map_parts(lambda p: p.cpu(), y)
        checks.at_most("device: result", distance(on_cpu, A(x)), bound, f"{name} differs between GPU and CPU")


def _same(checks: Checks, name: str, got: Data, expected: Data, meaning: str) -> None:
    """To the bit."""
    checks.true(name, same_bits(got, expected), meaning)


def _close(checks: Checks, name: str, got: Data, expected: Data, meaning: str) -> None:
    """To rounding."""
    dtype = parts(expected)[0].dtype.to_real()
    shapes = [p.shape for p in parts(got)] == [p.shape for p in parts(expected)]
    checks.true(name, shapes, meaning)
    checks.at_most(
        f"{name}, {str(dtype).removeprefix('torch.')}", distance(got, expected), EXACT[dtype], meaning
    )


def _at(x: Data, index: int | tuple[int, ...]) -> Data:
    return map_parts(lambda p: p[index], x)


def _strided(x: torch.Tensor) -> torch.Tensor:
    """Put the same numbers into every second place of memory."""
    return torch.stack([x, torch.full_like(x, float("nan"))], dim=-1)[..., 0]


def _unresolved(x: torch.Tensor) -> torch.Tensor:
    """Make a tensor that carries a conjugation or a sign as a flag."""
    return x.conj() if x.is_complex() else torch.complex(torch.zeros_like(x), x).conj().imag


def _on_parts(A: Operator) -> Callable[..., Data]:
    return lambda *given: A(given if isinstance(A.domain, ProductSpace) else given[0])

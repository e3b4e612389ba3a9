"""Whether an operator is what it says it is."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from invgen.core.errors import DtypeError
from invgen.operators import LinearOperator, Operator
from invgen.testing import behavior, linear
from invgen.testing.report import Checks, Report

__all__ = ["check_operator"]

Rule = Callable[[Any, Checks, int], None]

_LINEAR_RULES: dict[str, Rule] = {
    "linearity": linear.check_linearity,
    "adjoint": linear.check_adjoint,
    "gram": linear.check_gram,
}

#: These look at the explicit matrix.
_DENSE_RULES: dict[str, Rule] = {
    "transpose": linear.check_transpose,
    "norm": linear.check_norm,
    "nonnegative": linear.check_nonnegative,
    "solve": linear.check_solve,
    "svd": linear.check_svd,
    "pinv": linear.check_pinv,
}

_RULES: dict[str, Rule] = {
    "precision": behavior.check_precision,
    "observed": behavior.check_observed,
    "immutability": behavior.check_immutability,
    "batch": behavior.check_batch,
    "vmap": behavior.check_vmap,
    "memory": behavior.check_memory_layout,
    "pickling": behavior.check_pickling,
    "derivatives": behavior.check_derivatives,
    "errors": behavior.check_errors,
    "device": behavior.check_device,
}

#: Entries of the largest matrix that is written out.
_DENSE = 1 << 20


def check_operator(operator: Operator, *, seed: int = 0, skip: Collection[str] = ()) -> Report:
    """Check an operator against the rules that solvers rely on, in float32 and in float64.

    Every operator: batches equal their elements to the bit, and ``torch.func.vmap`` equals the batch; results
    are reproducible, inputs are left alone, what is not observed is zero, derivatives are right to second
    order, pickling, clear errors, which name the place of a NaN. A linear one also: linearity, the adjoint by
    a dot test and, up to about a thousand pixels and measurements, by the transpose of its matrix; and
    ``gram``, ``norm``, ``solve``, ``pinv`` and ``svd`` against dense algebra.

    Parameters
    ----------
    operator : Operator
        Check a small version of it: most rules do not depend on the size, and the dense ones need it.
    seed : int
        Of the random images and measurements.
    skip : collection of str
        Rules to leave out, by the names in the report, such as ``{"pickling"}`` for lambda functions.

    Returns
    -------
    Report
        Each figure with its bound.

    Raises
    ------
    CheckError
        Names the rule that is broken and the figure that was measured.
    """
    if not isinstance(operator, Operator):
        raise DtypeError(f"check_operator expects an Operator; got {type(operator).__name__}.")
    checks = Checks(operator, skip, {*_RULES, *_LINEAR_RULES, *_DENSE_RULES})
    _run(_RULES, operator, checks, seed)
    if isinstance(operator, LinearOperator):
        _run(_LINEAR_RULES, operator, checks, seed)
        if operator.domain.size * operator.range.size <= _DENSE:
            _run(_DENSE_RULES, linear.Dense(operator), checks, seed)
        else:
            for rule in _DENSE_RULES:
                checks.leave_out(rule, f"the matrix would have more than {_DENSE} entries")
    else:
        _run({"derivatives": behavior.check_nonlinear_derivatives}, operator, checks, seed)
    return checks.report()


def _run(rules: dict[str, Rule], subject: Any, checks: Checks, seed: int) -> None:
    for rule, check in rules.items():
        checks.run(rule, partial(check, subject, checks, seed))

"""The checks find what is wrong, and name it."""

import pytest
import torch

import invgen as ig
from invgen.operators import FunctionOperator, LinearOperator, MatrixOperator, Operator
from invgen.testing import CheckError, check_operator

from .numbers import normal
from .registry import keep, shift_right


class Wrong(LinearOperator):
    """A circular shift that is right but for what a subclass spoils."""

    def __init__(self):
        super().__init__((6,), (6,))

    def _apply(self, x):
        return x.roll(1, -1)

    def _adjoint(self, y):
        return y.roll(-1, -1)


class WrongGram(Wrong):
    def _gram(self):
        return 2.0 * MatrixOperator(torch.eye(6))


class WrongNorm(Wrong):
    def _norm(self):
        return 1.1


class WrongSolve(Wrong):
    def _solve(self, b, shift):
        return b / (2 + shift)


class WrongSVD(Wrong):
    def _svd(self):
        identity = MatrixOperator(torch.eye(6))
        return ig.operators.SVD(identity, torch.ones(6), identity)


class NewSVD(Wrong):
    @property
    def svd(self):
        A = MatrixOperator(torch.eye(6, dtype=torch.float64).roll(1, 0))
        return A.svd


class WrongSign(Wrong):
    nonnegative = True

    def _apply(self, x):
        return -super()._apply(x)

    def _adjoint(self, y):
        return -super()._adjoint(y)


class WrongObserved(Wrong):
    """Measures everything, and says that it does not."""

    @property
    def observed(self):
        return torch.arange(6) < 5


class NoMask(Wrong):
    @property
    def observed(self):
        return torch.ones(5, dtype=torch.bool)


class Remembering(Wrong):
    """Changes when it is called."""

    def _apply(self, x):
        self.__dict__["calls"] = self.__dict__.get("calls", 0) + 1
        return super()._apply(x) * self.calls


class Unpickled(Wrong):
    def __reduce__(self):
        return WrongNormOfZero, ()


class WrongNormOfZero(Wrong):
    def _apply(self, x):
        return 0 * x


class Swallowing(Wrong):
    def __init__(self, **options):
        super().__init__()


class Imprecise(Wrong):
    """Loses precision on the way."""

    def _apply(self, x):
        return super()._apply(x).float()


class WrongDerivative(Operator):
    """The derivative of a square is not what this says."""

    def __init__(self):
        super().__init__((4,), (4,))

    def _apply(self, x):
        return x.detach() * x

    def jvp(self, x, v):
        return x * v


class Looking(Operator):
    """Looks at values, which torch.func.vmap does not allow."""

    def __init__(self):
        super().__init__((4,), (4,))

    def _apply(self, x):
        return x**2 if float(x.detach().sum()) < 1e9 else x


class Vague(Wrong):
    """Refuses NaN with a message of its own, which does not help to find it."""

    def __call__(self, x):
        try:
            return super().__call__(x)
        except ig.errors.DataError as error:
            raise ig.errors.DataError("some values are no numbers") from error


class Network(Operator):
    """A product of matrices, which rounds with the size of the batch, and says so."""

    exact_batches = False
    matrix = normal(97, 7)

    def __init__(self):
        super().__init__((97,), (7,))

    def _apply(self, x):
        return torch.sin(x @ self.matrix.to(x))


def not_linear(x):
    return x + x.abs().sum(-1, keepdim=True)


def depends_on_the_batch(x):
    return x / x.numel()


def spoil(x):
    return x.add_(1)


def function(forward, adjoint):
    return FunctionOperator(forward, adjoint, (6,), (6,))


@pytest.mark.parametrize(
    ("operator", "rule"),
    [
        (function(shift_right, shift_right), "derivatives|adjoint"),
        (function(not_linear, keep), "derivatives|linearity"),
        (function(depends_on_the_batch, depends_on_the_batch), "batch"),
        (function(spoil, spoil), "immutability"),
        (function(lambda x: x.clone(), lambda y: y.clone()), "pickling"),
        (WrongGram(), "gram"),
        (WrongNorm(), "norm"),
        (WrongSolve(), "solve"),
        (WrongSVD(), "svd"),
        (NewSVD(), "svd: kept"),
        (WrongSign(), "nonnegative"),
        (WrongObserved(), "observed: elsewhere"),
        (NoMask(), "observed: mask"),
        (Remembering(), "immutability"),
        (Unpickled(), "pickling"),
        (Swallowing(), "keyword"),
        (Imprecise(), "precision"),
        (WrongDerivative(), "derivatives"),
        (Looking(), "vmap"),
        (Vague(), "errors: place of NaN"),
    ],
)
def test_check_operator_names_the_rule_that_is_broken(operator, rule):
    with pytest.raises(CheckError, match=rule):
        check_operator(operator)


def test_each_linear_rule_finds_its_own_fault():
    """With the rules before it left out, so that none hides behind another."""
    wrong_adjoint = function(shift_right, shift_right)
    with pytest.raises(CheckError, match="dot test"):
        check_operator(wrong_adjoint, skip={"derivatives"})
    with pytest.raises(CheckError, match="transpose"):
        check_operator(wrong_adjoint, skip={"derivatives", "adjoint", "gram"})
    with pytest.raises(CheckError, match="linearity"):
        check_operator(function(not_linear, keep), skip={"derivatives", "batch"})


def test_rules_can_be_left_out_by_name():
    A = function(lambda x: x.clone(), lambda y: y.clone())
    report = check_operator(A, skip={"pickling"})
    assert report.left_out["pickling"] == "as asked"
    assert "dot test" in str(report)
    with pytest.raises(ig.errors.ParameterError, match="pickle"):
        check_operator(A, skip={"pickle"})


def test_networks_equal_their_batches_to_rounding():
    report = check_operator(Network())
    assert report.figures["batch: elements, float64"][1] == 1e-12


def test_a_matrix_is_no_operator():
    with pytest.raises(ig.errors.DtypeError, match="Tensor"):
        check_operator(torch.eye(3))

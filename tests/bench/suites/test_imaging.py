"""What photographs and digits are measured by."""

import pytest
import torch

from invgen.bench.suites import SUITES
from invgen.bench.suites.cs_digits import SparseIn
from invgen.bench.suites.data import folder
from invgen.core.errors import FileError
from invgen.noise import Gaussian
from invgen.operators import DCT, GaussianMatrix
from invgen.problem import Problem


@pytest.fixture
def quick():
    """The quick form of a suite, where its data are there."""

    def make(name):
        try:
            suite = SUITES[name](folder()).quick()
            assert suite.tasks
        except FileError as error:
            pytest.skip(str(error))
        return suite

    return make


def test_blur_sees_beyond_the_edges_and_its_model_does_not(quick):
    suite = quick("deblurring")
    task = suite.tasks[0]
    given = suite.instance(task, task.test[0], 0)
    from invgen.bench.suites.data import picture

    A, clean = suite.measured(picture(suite.data, task.test[0], gray=True), 0.0, 0)
    apart = (A(given.truth) - clean).abs()
    reach = 8  # the kernel ends at five standard deviations of 1.6 pixels
    inside = apart[reach:-reach, reach:-reach]
    assert float(inside.max()) < 1e-5
    assert float(apart.max()) > 0.01


def test_gray_has_the_brightness_that_is_measured(quick):
    suite = quick("colorization")
    task = suite.tasks[0]
    given = suite.instance(task, task.test[0], 0)
    entry = next(e for e in suite.entries if e.name == "gray")
    image = entry.solve(given.problem, {}, 0)
    torch.testing.assert_close(given.problem.operator(image), given.problem.measurement)
    assert torch.equal(image[0], image[1])


def test_methods_get_a_prior_of_the_kind_that_they_need(quick):
    suite = quick("digits")
    assert suite.entry("ilo", None).prior == "digits-vae"
    assert suite.entry("pigdm", None).prior == "digits"
    assert quick("inpainting").entry("pnp-admm", None).prior == "denoiser-gray"


def test_the_lasso_finds_what_is_sparse_in_its_basis():
    T = DCT((28, 28))
    coefficients = torch.zeros(28, 28)
    coefficients[0, 0], coefficients[2, 3], coefficients[5, 1] = 4.0, -3.0, 2.0
    truth, A, noise = T.H(coefficients), GaussianMatrix((28, 28), 200, seed=0), Gaussian(1e-3)
    problem = Problem(A, noise.sample(A(truth), 0), noise)
    found = {name: SparseIn(name, 2000)(problem, {}, 0).x for name in ("cosines", "pixels")}
    error = {name: float((x - truth).norm() / truth.norm()) for name, x in found.items()}
    assert error["cosines"] < 0.01
    assert error["pixels"] > 0.3


def test_digits_of_the_folder_are_those_of_the_environment(monkeypatch):
    from invgen.certification.cases import CASES, DIGITS, digits_of

    path = folder() / DIGITS
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    monkeypatch.setenv("INVGEN_DATA", str(folder()))
    of_environment = CASES["digits"].setting(3).prior.mean()
    monkeypatch.delenv("INVGEN_DATA")
    assert torch.equal(digits_of(path).setting(3).prior.mean(), of_environment)

"""What all solvers share, beyond the contract: divergence, counting, progress, data of nothing but zeros."""

import pytest
import torch

import invgen as ig
from invgen import phantoms
from invgen.core.errors import CapabilityError, DivergenceError, FileError, ParameterError, ShapeError
from invgen.noise import Gaussian
from invgen.operators import FunctionOperator, Identity, MatrixOperator, Radon
from invgen.priors import TotalVariation
from invgen.solvers import CG, FBP, FISTA, OSSART, PDHG, SIRT

ALL = [CG(), FBP(), SIRT(), OSSART(), FISTA(TotalVariation()), PDHG(TotalVariation())]
NAMES = [solver.name for solver in ALL]
ITERATIVE = [CG(weight=1.0), SIRT(), FISTA(TotalVariation(1.0)), PDHG(TotalVariation(1.0))]


def problem(std=0.3, n=16):
    A = Radon((n, n), 12)
    noise = Gaussian(std)
    return ig.Problem(A, noise.sample(A(phantoms.disc(n / 3).image((n, n), 1.0)), seed=0), noise)


@pytest.mark.parametrize("solver", ALL, ids=NAMES)
def test_an_empty_batch_gives_an_empty_batch(solver):
    A = Radon((8, 8), 6)
    assert solver(ig.Problem(A, torch.zeros(0, *A.range.shape))).x.shape == (0, 8, 8)


def keep(x):
    return x


def half_of_it_with_the_wrong_sign(y):
    return torch.cat([y[..., :8], -y[..., 8:] / 2], dim=-1)


LINES = TotalVariation(1e-3, axes=(-1,))


@pytest.mark.parametrize("solver", [FISTA(LINES, tolerance=0), PDHG(LINES, tolerance=0)], ids=str)
def test_a_wrong_adjoint_diverges_with_words(solver):
    A = FunctionOperator(keep, half_of_it_with_the_wrong_sign, (16,), (16,))
    y = torch.randn(16, generator=torch.Generator().manual_seed(0))
    with pytest.raises(DivergenceError, match=r"iteration \d+.*check_operator"):
        solver(ig.Problem(A, y))


def test_an_operator_that_gives_nan_is_found():
    A = FunctionOperator(lambda x: x / x, lambda y: y, (4,), (4,))
    with pytest.raises((DivergenceError, ig.errors.DataError)):
        SIRT()(ig.Problem(A, torch.ones(4)))


def test_the_gram_operator_does_the_work():
    """One backprojection of the data; projections only where history asks for them."""
    for solver in (
        CG(weight=0, iterations=30, tolerance=0),
        PDHG(TotalVariation(1.0), iterations=30, tolerance=0),
    ):
        rec = solver(problem())
        calls = rec.stats["operator_calls"]
        assert calls["gram"] >= 30
        assert calls["adjoint"] == 1
        assert calls["forward"] <= len(rec.history["iteration"]) + 2


def test_sirt_projects_there_and_back_in_each_iteration():
    rec = SIRT(iterations=20, tolerance=0)(ig.Problem(Radon((8, 8), 6, method="joseph"), torch.ones(6, 12)))
    calls = rec.stats["operator_calls"]
    assert 20 <= calls["adjoint"] <= 22
    assert 20 <= calls["forward"] <= 24 + len(rec.history["iteration"])


def test_counts_belong_to_one_run():
    given = problem()
    first, second = (CG(weight=0, iterations=5)(given).stats["operator_calls"] for _ in range(2))
    assert second["gram"] <= first["gram"]
    given.operator(given.zeros())
    assert CG(weight=0, iterations=5)(given).stats["operator_calls"] == second


@pytest.mark.parametrize("solver", ALL, ids=NAMES)
def test_data_of_nothing_but_zeros_give_zeros(solver):
    """Also beside an element that has something to see."""
    given = problem()
    y = torch.stack([given.measurement, torch.zeros_like(given.measurement)])
    for noise in (given.noise, None):
        x = solver(ig.Problem(given.operator, y, noise)).x
        assert not x[1].any()
        assert x[0].any()


@pytest.mark.parametrize("solver", ITERATIVE, ids=lambda solver: solver.name)
def test_a_start_far_from_data_of_zeros_is_no_divergence(solver):
    given = problem()
    zero = ig.Problem(given.operator, torch.zeros_like(given.measurement), given.noise)
    x0 = 100 * phantoms.disc(5.0).image((16, 16), 1.0)
    assert solver(zero, x0=x0).x.norm() < 0.1 * x0.norm()


@pytest.mark.parametrize("solver", ITERATIVE, ids=lambda solver: solver.name)
def test_starting_at_the_solution_ends_there_soon(solver):
    given = problem()
    first = solver(given)
    again = solver(given, x0=first.x)
    assert again.stats["iterations"] <= max(1, first.stats["iterations"] // 2)
    assert (again.x - first.x).norm() < 0.02 * first.x.norm()


def test_the_objective_of_history_is_the_one_that_is_minimised():
    given = problem()
    prior = TotalVariation(2.0)
    rec = PDHG(prior, iterations=50)(given)
    expected = given.negative_log_likelihood(rec.x) + prior.value(rec.x)
    torch.testing.assert_close(rec.history["objective"][-1], expected)
    rec = CG(weight=3.0)(given)
    expected = given.negative_log_likelihood(rec.x) + 1.5 * rec.x.norm() ** 2
    torch.testing.assert_close(rec.history["objective"][-1], expected)


def test_progress_shows_a_bar_and_changes_nothing(capsys):
    given = problem()
    shown = CG()(given, progress=True).x
    assert "CG" in "".join(capsys.readouterr())
    assert torch.equal(shown, CG()(given).x)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    def interrupt(iteration, state):
        raise KeyboardInterrupt

    path = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        CG()(problem(), callback=interrupt, checkpoint=path)
    others = (SIRT(), problem()), (CG(weight=1.0), problem()), (CG(), problem(0.4)), (CG(), problem(n=20))
    for solver, given in others:
        with pytest.raises(FileError, match="checkpoint"):
            solver(given, checkpoint=path)
    for content in (b"", b"no checkpoint", path.read_bytes()[:100]):
        path.write_bytes(content)
        with pytest.raises(FileError, match="checkpoint"):
            CG()(problem(), checkpoint=path)


def test_a_checkpoint_cannot_execute_code(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (tmp_path / "executed").touch, ()

    path = tmp_path / "checkpoint"
    torch.save({"solver": Hostile()}, path)
    with pytest.raises(FileError):
        CG()(problem(), checkpoint=path)
    assert not (tmp_path / "executed").exists()


def test_reconstructions_are_saved_whole(tmp_path):
    import h5py

    rec = PDHG(TotalVariation(), iterations=20)(problem())
    rec.save(tmp_path / "image.h5")
    with h5py.File(tmp_path / "image.h5") as file:
        assert torch.equal(torch.as_tensor(file["x"][()]), rec.x)
        assert "weight" in file.attrs["stats"]
    assert [path.name for path in tmp_path.iterdir()] == ["image.h5"]


def test_parameters_that_make_no_sense_are_refused():
    for make in (
        lambda: CG(iterations=0),
        lambda: CG(iterations=2.5),
        lambda: CG(tolerance=-1.0),
        lambda: CG(tolerance=float("nan")),
        lambda: CG(weight=-1.0),
        lambda: CG(weight="much"),
        lambda: SIRT(relaxation=2.0),
        lambda: FISTA(TotalVariation(), inner_steps=0),
    ):
        with pytest.raises(ParameterError):
            make()
    with pytest.raises(CapabilityError, match="terms"):
        PDHG(0.5)


def test_a_weight_for_each_of_another_batch_is_refused():
    with pytest.raises(ShapeError, match="batch"):
        PDHG(TotalVariation(torch.ones(3)))(problem())


def test_solve_refuses_gradients_that_it_would_lose():
    A = Radon((8, 8), 4)
    with pytest.raises(CapabilityError, match="detach"):
        A.solve(torch.ones(8, 8), shift=torch.tensor(1.0, requires_grad=True))


def test_vectors_and_volumes_are_images_too():
    line = ig.Problem(MatrixOperator(torch.eye(12) + 0.1), torch.arange(12.0), Gaussian(0.1))
    assert PDHG(TotalVariation(axes=(-1,)))(line).x.shape == (12,)
    volume = ig.Problem(Identity((4, 6, 5)), torch.ones(2, 4, 6, 5), Gaussian(0.1))
    assert PDHG(TotalVariation(axes=(-3, -2, -1)))(volume).x.shape == (2, 4, 6, 5)
    assert FISTA(TotalVariation(1.0))(volume).x.shape == (2, 4, 6, 5)

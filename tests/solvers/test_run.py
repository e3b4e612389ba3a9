"""One run: what identifies a checkpoint, what is prepared once, how a solver is stepped and called."""

import dataclasses
import inspect
from types import SimpleNamespace

import pytest
import torch

import invgen as ig
from invgen.core.counting import count_calls
from invgen.core.errors import CapabilityError, FileError, ParameterError
from invgen.noise import Gaussian
from invgen.operators import Identity, Mask, MatrixOperator
from invgen.priors import Gaussian as GaussianPrior
from invgen.priors import TotalVariation
from invgen.solvers import (
    CG,
    DAPS,
    DDRM,
    DDS,
    FISTA,
    PDHG,
    AnnealedLangevin,
    DiffPIR,
    PiGDM,
    PnPADMM,
    PnPHQS,
    PreconditionedLangevin,
    PredictorCorrector,
    REDdiff,
    SplitGibbs,
    State,
    TwistedSMC,
    data_prox,
)
from invgen.solvers.checkpoint import Checkpoints
from invgen.solvers.diffusion import spectral
from invgen.solvers.run import Run

SHAPE = (4, 4)
LEVELS = {"sigma_range": (0.1, 2.0)}


def prior(std=0.5):
    return GaussianPrior(torch.zeros(SHAPE, dtype=torch.float64), std)


def matrix(seed=0, rows=10):
    generator = torch.Generator().manual_seed(seed)
    return MatrixOperator(torch.randn(rows, 16, generator=generator, dtype=torch.float64), SHAPE)


def measured(operator, noise=0.1):
    y = torch.linspace(-1, 1, operator.range.size, dtype=torch.float64).reshape(operator.range.shape)
    return ig.Problem(operator, y, None if noise is None else Gaussian(noise))


def interrupted(solver, problem, path, **arguments):
    def interrupt(k, state):
        if k == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solver(problem, checkpoint=path, callback=interrupt, **arguments)


OTHERS = {
    "prior": (
        DDS(prior(), iterations=4, **LEVELS),
        DDS(prior(0.6), iterations=4, **LEVELS),
        measured(matrix()),
    ),
    "hyper-parameter": (CG(tolerance=0), CG(tolerance=0, weight=0.1), measured(matrix())),
    "operator": (CG(tolerance=0), CG(tolerance=0), measured(matrix(seed=1))),
    "noise": (CG(tolerance=0), CG(tolerance=0), measured(matrix(), noise=0.2)),
    "unknown noise": (CG(tolerance=0), CG(tolerance=0), measured(matrix(), noise=None)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_checkpoint_belongs_to_solver_prior_operator_and_noise(name, tmp_path):
    """The data are the same in all of them."""
    solver, other, problem = OTHERS[name]
    path, arguments = tmp_path / "checkpoint", {"seed": 0} if solver.draws_samples else {}
    interrupted(solver, measured(matrix()), path, **arguments)
    with pytest.raises(FileError, match="another solver, prior or problem"):
        other(problem, checkpoint=path, **arguments)


def test_a_checkpoint_belongs_to_a_networks_weights(tmp_path):
    """Two networks that ship have one representation."""
    priors = [ig.priors.load(name) for name in ("ct-phantoms", "denoiser-gray")]
    A = Mask(torch.arange(256).reshape(16, 16) % 2 == 0)
    problem = ig.Problem(A, A(torch.rand(16, 16, generator=torch.Generator().manual_seed(0))), Gaussian(0.1))
    first, second = (DDS(p, iterations=3, sigma_range=(0.05, 1.0), scale=1.0) for p in priors)
    interrupted(first, problem, tmp_path / "checkpoint", seed=0)
    with pytest.raises(FileError, match="another"):
        second(problem, seed=0, checkpoint=tmp_path / "checkpoint")
    whole = first(problem, seed=0).samples
    assert torch.equal(first(problem, seed=0, checkpoint=tmp_path / "checkpoint").samples, whole)


PREPARED = [
    DDRM(prior(), iterations=6, **LEVELS),
    DiffPIR(prior(), iterations=6, **LEVELS),
    DAPS(prior(), iterations=6, **LEVELS),
    PiGDM(prior(), iterations=6, **LEVELS),
    REDdiff(prior(), iterations=6, **LEVELS),
    SplitGibbs(prior(), iterations=6, rho_range=(0.1, 2.0)),
    AnnealedLangevin(prior(), iterations=6, **LEVELS),
    PreconditionedLangevin(prior(), iterations=6, **LEVELS),
    PreconditionedLangevin(prior(), iterations=6, adjusted_steps=1, **LEVELS),
    PredictorCorrector(prior(), iterations=6, **LEVELS),
    TwistedSMC(prior(), iterations=6, particles=8, **LEVELS),
    PnPHQS(prior(), iterations=6, tolerance=0, scale=1.0),
    PnPADMM(prior(), iterations=6, tolerance=0, scale=1.0),
]


@pytest.mark.filterwarnings("ignore::invgen.core.errors.SamplingWarning")  # of few particles
@pytest.mark.parametrize("solver", PREPARED, ids=lambda solver: solver.name)
def test_a_data_step_is_set_up_once_for_each_run(solver, monkeypatch):
    """Also where noise is not white, so that the step iterates: singular vectors and proximal maps alike."""
    made = []
    for module, name in ((data_prox, "DataProx"), (spectral, "MeasuredSpectrum")):
        kind = getattr(module, name)
        monkeypatch.setattr(kind, "__init__", counting(kind.__init__, made))
    for problem in (measured(matrix()), *([] if isinstance(solver, DDRM) else [unequal()])):
        made.clear()
        solver(problem, **({"samples": 2, "seed": 0} if solver.draws_samples else {}))
        assert len(made) <= 1


def counting(function, made):
    def counted(self, *args, **kwargs):
        made.append(self)
        function(self, *args, **kwargs)

    return counted


def unequal():
    A = matrix()
    return ig.Problem(A, measured(A).measurement, Gaussian(torch.linspace(0.1, 0.2, 10, dtype=torch.float64)))


def test_resuming_computes_no_initial_value():
    """The first residual of conjugate gradients costs a gram, the first misfit a projection."""
    problem, solver = measured(matrix()), CG(weight=0.0, tolerance=0, iterations=3)
    state = next(solver.iterate(problem))
    with count_calls(problem.operator) as calls:
        next(solver.iterate(problem, state))
    assert calls["forward"] == 0
    assert calls["gram"] == 1


@pytest.mark.parametrize("solver", [CG(tolerance=0), PDHG(TotalVariation(0.1)), FISTA(TotalVariation(0.1))])
def test_a_solver_is_stepped_from_nothing_from_an_image_and_from_a_state(solver):
    problem = measured(matrix())
    states = [state for state, _ in zip(solver.iterate(problem), range(4), strict=False)]
    again = next(solver.iterate(problem, torch.zeros(SHAPE, dtype=torch.float64)))
    assert torch.equal(again.x, states[0].x)
    assert torch.equal(next(solver.iterate(problem, states[2])).x, states[3].x)
    result = dataclasses.replace(solver, iterations=4, tolerance=0)(problem)
    assert torch.equal(result.x, states[3].x)


def test_a_sampler_is_stepped_with_seeds():
    solver, problem = DDS(prior(), iterations=5, **LEVELS), measured(matrix())
    states = list(solver.iterate(problem, samples=3, seed=7))
    assert len(states) == 5
    assert torch.equal(states[-1].x, solver(problem, samples=3, seed=7).samples)
    rest = list(solver.iterate(problem, states[1], samples=3, seed=7))
    assert torch.equal(rest[-1].x, states[-1].x)
    assert isinstance(next(solver.iterate(problem)), State)


def test_a_wrong_step_is_refused():
    with pytest.raises(CapabilityError, match="one estimate"):
        next(CG().iterate(measured(matrix()), samples=2))
    with pytest.raises(ParameterError, match="samples"):
        next(DDS(prior(), **LEVELS).iterate(measured(matrix()), samples=0))
    with pytest.raises(ig.errors.ShapeError, match="x0"):
        next(CG().iterate(measured(matrix()), torch.zeros(3, dtype=torch.float64)))


@pytest.mark.parametrize("name", [n for n in ig.solvers.__all__ if n != "State"])
def test_hyperparameters_are_given_by_name(name):
    """``CG(50)`` would be a weight, ``OSSART(20)`` subsets, ``SIRT(50)`` a relaxation."""
    parameters = inspect.signature(getattr(ig.solvers, name)).parameters.values()
    positional = [p.name for p in parameters if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)]
    assert positional in ([], ["prior"])


def test_work_along_singular_vectors_is_counted():
    A = Mask(torch.arange(16).reshape(SHAPE) % 2 == 0)
    problem = ig.Problem(A, A(torch.ones(SHAPE)), Gaussian(0.1))
    calls = DiffPIR(prior(), iterations=5, scale=1.0, **LEVELS)(problem, seed=0).stats["operator_calls"]
    assert calls["svd"] > 0


def test_network_evaluations_of_plug_and_play_are_counted():
    x = torch.rand(8, 8, generator=torch.Generator().manual_seed(0))
    stats = PnPHQS(ig.priors.TVDenoiser(), iterations=3, tolerance=0)(ig.Problem(Identity((8, 8)), x)).stats
    assert stats["network_evaluations"] == 3


#: A solver that does not come to its end before its iterations do.
PENALIZED = FISTA(TotalVariation(weight=0.1), iterations=60, tolerance=0)


def test_an_interrupt_within_an_iteration_saves_nothing(tmp_path, monkeypatch):
    """What is half done would go on to another result."""
    plain = Run._record

    def interrupted(self):
        if self.iteration == 10:
            raise KeyboardInterrupt
        plain(self)

    monkeypatch.setattr(Run, "_record", interrupted)
    with pytest.raises(KeyboardInterrupt):
        PENALIZED(measured(matrix()), checkpoint=tmp_path / "checkpoint")
    assert not list(tmp_path.iterdir())


def test_checkpoints_are_saved_as_often_as_asked_for_and_wanted(tmp_path, monkeypatch):
    clock, saved = iter(range(0, 10_000, 1)), []
    monkeypatch.setattr("invgen.solvers.checkpoint.time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(
        "invgen.solvers.checkpoint.save_state", lambda content, path: saved.append(content["iteration"])
    )
    path, solver = tmp_path / "checkpoint", PENALIZED
    solver(measured(matrix()), checkpoint=Checkpoints(path, seconds=4))
    # a look takes a second of this clock, and so does saving: of that, twenty times as long passes
    assert saved == [5, 26, 47]
    saved.clear()
    solver(measured(matrix()), checkpoint=Checkpoints(path, seconds=4, wanted=lambda: False))
    assert not saved


def test_a_checkpoint_stays_where_another_removes_it(tmp_path):
    path, solver = tmp_path / "checkpoint", PENALIZED
    whole = solver(measured(matrix()))
    for remove in (False, True):
        options = Checkpoints(path, seconds=0, remove=remove)
        assert torch.equal(solver(measured(matrix()), checkpoint=options).x, whole.x)
        assert path.exists() is not remove

"""Every operator, prior and solver computes on the device of its data, and does not wait for it.

On a device whose tensors have values (`fake_device`): results are those of the CPU, constants that are left
there are refused, and values that the host reads are counted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
from collections import Counter
from unittest import mock

import pytest
import torch

import invgen as ig
from invgen.core.errors import CapabilityError
from invgen.core.kernels import Kernels
from invgen.core.launch import Kernel
from invgen.operators import ConeBeam, FanBeam, LinearOperator, ProductSpace
from invgen.operators.nufft import NUFFT
from invgen.priors import format_of
from invgen.priors.base import (
    Composite,
    Denoiser,
    Density,
    Energy,
    Generator,
    Patchwise,
    Prior,
    Sampler,
    Staged,
    Tunable,
    energy_gradient,
    has_closed_form,
)
from invgen.testing.solver import _two_discs

from ..contracts.generative import GENERATIVE
from ..contracts.registry import OPERATORS
from ..contracts.samplers import SAMPLERS
from ..contracts.test_priors import DENOISERS, PRIORS
from ..contracts.test_solvers import SOLVERS
from . import waits
from .fake_device import CUDA, FakeDevice, to_cpu, to_device

#: Results in double precision may differ by what sums in another order differ by. Solvers amplify that: where
#: data change by one part in 1e14, the history of L-BFGS does by 2e-5 after twelve iterations.
ROUNDING, AMPLIFIED = 1e-9, 1e-4


#: Operators whose first case takes Triton's interpreter a minute, smaller.
SMALL = {
    "FanBeam": {"small": lambda: FanBeam((5, 4), 3, 9.0, 15.0)},
    "ConeBeam": {"small": lambda: ConeBeam((2, 4, 3), 2, 9.0, 15.0)},
}


def cases(registry):
    """All cases of a registry; the first of each class is in the default run."""
    return [
        pytest.param(name, case, id=f"{name}-{case}", marks=[pytest.mark.slow] if number else [])
        for name, of_class in registry.items()
        for number, case in enumerate(of_class)
    ]


WITH_SMALL = {name: {**SMALL.get(name, {}), **of_class} for name, of_class in OPERATORS.items()}


def parts(x):
    return x if isinstance(x, tuple) else (x,)


def assert_same(found, expected, tolerance=ROUNDING):
    for got, want in zip(parts(found), parts(expected), strict=True):
        assert got.device == CUDA
        assert got.dtype == want.dtype
        values = to_cpu(got)
        size = torch.linalg.vector_norm(want.flatten())
        assert torch.linalg.vector_norm((values - want).flatten()) <= tolerance * size


class OnInner:
    """Kernels of the CPU, on the values of the device's tensors: in place of those that a GPU has."""

    def __init__(self, kernels):
        self._kernels = kernels

    def __getattr__(self, name):
        return self._on_inner(getattr(self._kernels, name))

    def __call__(self, *arguments):
        return self._on_inner(self._kernels)(*arguments)

    def _on_inner(self, function):
        return lambda *arguments: to_device(function(*to_cpu(arguments)))


@pytest.fixture
def kernels_of_the_cpu(monkeypatch):
    """Stand for those of a GPU, which Triton's interpreter is too slow for in iterations."""
    serving, make = Kernels.serving, NUFFT._make

    def on_inner(self, x):
        serves = serving(self, to_cpu(x))
        return OnInner(serves) if x.is_cuda and serves is not None else serves

    def nufft_on_inner(self, like):
        made = make(self, to_cpu(like))
        return OnInner(made) if like.is_cuda else made

    monkeypatch.setattr(Kernels, "serving", on_inner)
    monkeypatch.setattr(NUFFT, "_make", nufft_on_inner)


@pytest.fixture
def kernels_interpreted(monkeypatch):
    """Triton's interpreter runs kernels on the values of the device's tensors."""
    launch = Kernel.launch
    monkeypatch.setattr(Kernel, "launch", lambda self, grid, arguments: launch(self, grid, to_cpu(arguments)))


def quietly(device, allowed, function, *arguments):
    """The result of a second call, which waits for nothing: constants are on the device by then."""
    function(*arguments)
    device.forget()
    result = function(*arguments)
    assert not waits.beyond(device.reads + device.uploads, allowed)
    return result


@pytest.mark.usefixtures("kernels_interpreted")
@pytest.mark.parametrize(("name", "case"), cases(WITH_SMALL))
def test_operator_computes_on_the_device_and_does_not_wait(name, case):
    A = WITH_SMALL[name][case]()
    x = A.domain.random((2,), seed=1, dtype=torch.float64)
    y = A.range.random((2,), seed=2, dtype=torch.float64)
    on_cpu = [A(x), A.vjp(x, y)]
    linear = isinstance(A, LinearOperator)
    single = not isinstance(A.domain, ProductSpace)
    if linear and single:
        on_cpu += [A.gram(x), A.solve(x, 0.5)]
    with FakeDevice() as device:
        x, y = to_device(x), to_device(y)
        found = [
            quietly(device, waits.OPERATORS, A, x),
            quietly(device, waits.OPERATORS, A.vjp, x, y),
        ]
        if linear and single:
            found.append(quietly(device, waits.OPERATORS, A.gram, x))
            found.append(A.solve(x, 0.5))
        if single:
            at = x.clone().requires_grad_()
            values = sum((part.abs().square()).sum() for part in parts(A(at)))
            assert torch.autograd.grad(values, at)[0].device == CUDA
        for got, want in zip(found, on_cpu, strict=True):
            assert_same(got, want)


def resolved(prior, x, space):
    """The prior with a number for its weight, as solvers take it."""
    if not isinstance(prior, Prior):
        return prior
    A = ig.operators.Identity(space.shape, space.field)
    return prior.resolve(ig.Problem(A, x, ig.noise.Gaussian(0.3)))


def methods_of(prior, space):
    """What a prior can do, by the names of its methods: functions of an image."""
    found = {}
    if isinstance(prior, Prior):
        found["value"] = prior.value
        if has_closed_form(prior, space):
            found["prox"] = lambda x: prior.prox(x, 0.3)
        if isinstance(prior, Composite):
            for i, (K, g) in enumerate(prior.terms(space)):
                found[f"term {i}"] = lambda x, K=K, g=g: g.conjugate_prox(K(x), 0.3)
    if isinstance(prior, Denoiser):
        found["denoise"] = lambda x: prior.denoise(x, 0.1)
        found["denoise each"] = lambda x: prior.denoise(x, x.real.new_full(x.shape[:1], 0.1))
        if hasattr(prior, "score"):
            found["score"] = lambda x: prior.score(x, 0.1)
    if isinstance(prior, Density) and not (
        isinstance(prior, ig.priors.Diffusion) and space.field == "complex"
    ):
        found["log_prob"] = prior.log_prob
    if isinstance(prior, Energy):
        found["energy"] = prior.energy
        found["energy_gradient"] = lambda x: energy_gradient(prior, x)
    if isinstance(prior, Patchwise):
        found["restore"] = lambda x: prior.restore(x, 0.1)
    return found


def latent_methods_of(prior, z):
    """The same of a generator, functions of latent variables."""
    found = {"decode": prior.decode, "latent_log_prob": prior.latent_log_prob}
    if isinstance(prior, Staged) and isinstance(prior, Tunable):
        with contextlib.suppress(CapabilityError):  # not all have one network whose layers are known
            prior.stages(z)
            found["stages"] = lambda z: functools.reduce(lambda x, stage: stage(x), prior.stages(z), z)
            found["decode_with"] = lambda z: prior.decode_with(prior.weights(z), z)
    return found


def prior_cases():
    # each registry with the shape of the images that its checks take by default
    registered = [
        (name, case, prior, {"image_shape": shape, **options})
        for registry, shape in ((PRIORS, (6, 7)), (DENOISERS, (12, 13)), (GENERATIVE, (12, 13)))
        for name, of_class in registry.items()
        for case, (prior, options) in of_class.items()
    ]
    names = [name for name, *_ in registered]
    return [
        pytest.param(
            *(name, prior, options),
            id=f"{name}-{case}",
            marks=[pytest.mark.slow] if name in names[:i] else [],
        )
        for i, (name, case, prior, options) in enumerate(registered)
    ]


@pytest.mark.usefixtures("kernels_of_the_cpu")
@pytest.mark.parametrize(("name", "prior", "options"), prior_cases())
def test_prior_computes_on_the_device_and_does_not_wait(name, prior, options):
    prior = prior() if inspect.isfunction(prior) else prior
    own = format_of(prior)
    shape = own.shape or options["image_shape"]
    field = options.get("field") or own.field or "real"
    space = ig.operators.Space(shape, field)
    x = prior.sample(2, 0, **options.get("sampling", {})).double() if only_samples(prior) else noisy(space)
    kinds = [(lambda x: methods_of(resolved(prior, x, space), space), x)]
    if isinstance(prior, Generator):
        generator = torch.Generator().manual_seed(0)
        z = torch.randn(2, *prior.latent_shape, generator=generator, dtype=torch.float64)
        kinds.append((lambda z: latent_methods_of(prior, z), z))
    compared = 0
    for methods, x in kinds:
        expected = {method: function(x) for method, function in methods(x).items()}
        with FakeDevice() as device:
            x = to_device(x)
            for method, function in methods(x).items():
                assert_same(quietly(device, waits.PRIORS, function, x), expected[method])
                compared += 1
    assert compared
    parameters = inspect.signature(prior.sample).parameters if isinstance(prior, Sampler) else {}
    if "device" in parameters:
        wanted = options.get("sampling", {}) | ({"image_shape": shape} if "image_shape" in parameters else {})
        with FakeDevice():
            assert prior.sample(2, 0, device=CUDA, **wanted).device == CUDA


def only_samples(prior):
    return isinstance(prior, Sampler) and isinstance(prior, Density) and not isinstance(prior, Denoiser)


def noisy(space):
    """Images in about the range that most priors take."""
    x = space.random((2,), seed=1, dtype=torch.float64)
    return 0.5 + 0.1 * x


@dataclasses.dataclass
class Followed:
    """What a device saw at the end of each iteration."""

    device: FakeDevice
    reads: list[Counter] = dataclasses.field(default_factory=list)
    uploads: list[Counter] = dataclasses.field(default_factory=list)

    def __call__(self, iteration, state):
        self.reads.append(self.device.reads.copy())
        self.uploads.append(self.device.uploads.copy())


SHORT = 12


@pytest.mark.filterwarnings("ignore::invgen.core.errors.SamplingWarning")  # of few particles
@pytest.mark.usefixtures("kernels_of_the_cpu")
@pytest.mark.parametrize(("name", "case"), cases({**SOLVERS, **SAMPLERS}))
def test_solver_gives_the_cpu_s_result_and_no_iteration_waits(name, case):
    solver, problem, _ = {**SOLVERS, **SAMPLERS}[name][case]
    if solver.iterations > SHORT:
        solver = dataclasses.replace(solver, iterations=SHORT)
    problem = _two_discs(0) if problem is None else problem()
    samples = {"samples": 2} if solver.draws_samples else {}
    expected = solver(problem, seed=3, **samples)
    with FakeDevice() as device, mock.patch("torch.cuda.max_memory_allocated", return_value=0):
        there = ig.Problem(problem.operator, to_device(problem.measurement), problem.noise)
        followed = Followed(device)
        result = solver(there, seed=3, callback=followed, **samples)
        # a fake generator draws what the CPU's draws
        assert_same(result.x, expected.x, AMPLIFIED)
        for key, values in expected.history.items():
            torch.testing.assert_close(to_cpu(result.history[key]), values, rtol=AMPLIFIED, atol=AMPLIFIED)
        for key in ("iterations", "converged"):
            torch.testing.assert_close(to_cpu(result.stats[key]), expected.stats[key])
        end = device.reads
        assert not waits.beyond(followed.reads[0], waits.FIRST + waits.LATER)
        for before, after in zip(followed.reads, followed.reads[1:], strict=False):
            assert not waits.beyond(after - before, waits.LATER)
        later = followed.uploads[len(followed.uploads) // 2 :]
        assert not waits.beyond(later[-1] - later[0], waits.LATER)
        assert not waits.beyond(end - followed.reads[-1], waits.LAST)

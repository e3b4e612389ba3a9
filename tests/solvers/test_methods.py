"""The table of methods: it is complete, and what it says of needs is what the solvers do."""

import math
from dataclasses import fields

import numpy as np
import pytest
import torch

import invgen as ig
from invgen.certification import GeneratorView
from invgen.core.errors import CapabilityError, ParameterError
from invgen.noise import Gaussian, Poisson, Transmission
from invgen.operators import (
    MRI,
    ConeBeam,
    FanBeam,
    MatrixOperator,
    NonCartesianMRI,
    Radon,
    Saturation,
)
from invgen.priors import ImageFormat, ModuleGenerator
from invgen.priors.base import (
    Composite,
    Denoiser,
    Density,
    Generator,
    Patchwise,
    Proximable,
    Staged,
    Tunable,
)
from invgen.solvers import LatentSolver
from invgen.solvers.methods import BEAMS, KSPACE, METHODS, find, used_for

#: Few particles and levels, so that tests are short: that they are too few is said, rightly.
pytestmark = pytest.mark.filterwarnings("ignore::invgen.core.errors.SamplingWarning")

SHAPE = (8, 8)

#: Methods of many particles.
PARTICLES = ("twisted-smc", "mcgdiff", "fps")


def random(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


#: Operators, with the needs that each meets.
OPERATORS = {
    "parallel": (
        Radon(SHAPE, 5),
        {"differentiable", "linear", "real", "projections", "parallel or fan beam"},
    ),
    "fan": (
        FanBeam(SHAPE, 8, source_origin=20, source_detector=30),
        {"differentiable", "linear", "real", "projections", "parallel or fan beam", "non-negative"},
    ),
    "cone": (
        ConeBeam((4, *SHAPE), 4, source_origin=20, source_detector=30),
        {"differentiable", "linear", "real", "projections", "cone beam", "non-negative"},
    ),
    "matrix": (
        MatrixOperator(random(20, 64), SHAPE),
        {"differentiable", "linear", "real", "singular vectors", "non-negative"},
    ),
    "grid": (
        MRI(SHAPE, random(*SHAPE) > 0.3),
        {"differentiable", "linear", "singular vectors", "Cartesian MRI"},
    ),
    "half": (
        MRI(SHAPE, torch.arange(8)[:, None] > 2),
        {"differentiable", "linear", "singular vectors", "Cartesian MRI", "partial Fourier MRI"},
    ),
    "trajectory": (
        NonCartesianMRI(SHAPE, random(40, 2) - 0.5),
        {"differentiable", "linear", "non-Cartesian MRI"},
    ),
    "saturated": (Saturation(MatrixOperator(random(20, 64), SHAPE), 1.0), {"differentiable"}),
}
#: Noise models, with the needs that each meets.
NOISES = {
    "white": (Gaussian(0.1), {"ignored", "any", "smooth", "Gaussian", "white"}),
    "unequal": (Gaussian(random(20) + 0.1), {"ignored", "any", "smooth", "Gaussian"}),
    "transmission": (Transmission(100.0), {"ignored", "any", "smooth"}),
    "Poisson": (Poisson(0.1), {"ignored", "any", "Poisson"}),
}


def solver_of(method, A):
    """The method, as briefly as it goes, with a prior that fits the images of an operator."""
    given = {"iterations": 2} if "iterations" in method.hyperparameters else {}
    images = torch.full(A.domain.shape, 0.7, dtype=torch.complex64 if A.domain.field == "complex" else None)
    if issubclass(method.solver, LatentSolver) or method.prior is Density:
        return method.solver(generator_of(A.domain), **given, **LATENT.get(method.name, {}))
    given |= {"ula": {"sigma": 0.1}, **{name: {"particles": 2} for name in PARTICLES}}.get(method.name, {})
    if method.prior is None:
        return method.solver(**given)
    if method.prior in (Denoiser, Generator):
        return method.solver(GeneratorView(ig.priors.Gaussian(images, 0.3), 0.3), **given)
    if method.prior is Patchwise:
        return method.solver(ig.priors.PatchMixture(0.1 * torch.eye(16)[None], [1.0]), **given)
    return method.solver(ig.priors.TotalVariation(0.1), **given)


#: Of the solvers in latent variables.
LATENT = {
    "ilo": {"layers": 1},
    "image-adaptive": {"first": 2, "restarts": 2},
}


class AnyGenerator(ModuleGenerator):
    """With whatever a latent solver needs, also a density."""

    def log_prob(self, x):
        return -x.abs().square().sum(tuple(range(-self.image_format.axes, 0)))


def generator_of(space):
    """Positive images of three latent variables, by two layers."""
    size = math.prod(space.shape) * (2 if space.field == "complex" else 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = torch.nn.Linear(3, 3), torch.nn.Tanh(), torch.nn.Linear(3, size), torch.nn.Softplus()
    channels = torch.nn.Unflatten(1, (size // math.prod(space.shape), *space.shape))
    images = ImageFormat(tuple(space.shape), field=space.field, value_range=(0.0, 1.0))
    return AnyGenerator(torch.nn.Sequential(*layers, channels), (3,), images)


def takes(method, A, noise):
    """Whether a solver runs, rather than being refused."""
    x = random(*A.domain.shape) + 0.3
    y = A(x.to(torch.complex64) if A.domain.field == "complex" else x)
    if isinstance(noise, Poisson):
        y = y.clamp(min=0)
    elif isinstance(noise, Transmission):
        y = 100 * torch.exp(-y)
    try:
        solver_of(method, A)(ig.Problem(A, y, noise))
    except CapabilityError:
        return False
    return True


def label(method):
    return f"{method.name}-{method.solver.__name__}"


class TestNeeds:
    @pytest.mark.parametrize("method", METHODS, ids=label)
    def test_a_method_takes_the_operators_that_meet_its_need_and_no_others(self, method):
        for name, (A, met) in OPERATORS.items():
            noise = Poisson(0.1) if method.noise == "Poisson" else Gaussian(0.1)
            if A.domain.field == "complex" and method.noise == "Poisson":
                continue
            assert takes(method, A, noise) == (method.operator in met), name

    @pytest.mark.parametrize("method", METHODS, ids=label)
    def test_a_method_takes_the_noise_that_meets_its_need_and_no_other(self, method):
        own = {"parallel or fan beam": "fan", "cone beam": "cone", "projections": "fan"}
        own |= {"Cartesian MRI": "grid", "partial Fourier MRI": "half", "non-negative": "fan"}
        own |= {"non-Cartesian MRI": "trajectory"}
        A, _ = OPERATORS[own.get(method.operator, "matrix")]
        for name, (noise, met) in NOISES.items():
            if A.domain.field == "complex" and name in ("Poisson", "transmission"):
                continue  # such noise is that of counts
            if name == "unequal":
                noise = Gaussian(random(*A.range.shape) + 0.1)
            assert takes(method, A, noise) == (method.noise in met), name

    @pytest.mark.parametrize("method", METHODS, ids=label)
    def test_a_method_has_a_prior_where_the_table_says_so(self, method):
        assert ("prior" in {field.name for field in fields(method.solver)}) == (method.prior is not None)
        if method.prior is not None:
            with pytest.raises(CapabilityError, match="needs a prior"):
                method.solver(object())
        kinds = (Composite, Denoiser, Density, Generator, Patchwise, Proximable, Staged, Tunable)
        assert method.prior in (None, *kinds)


class TestTable:
    def test_every_solver_is_in_it(self):
        bases = {"Solver", "State", "PosteriorSampler", "DiffusionSolver", "LatentSolver"}
        assert {method.solver.__name__ for method in METHODS} == set(ig.solvers.__all__) - bases

    def test_a_name_is_one_method_wherever_it_is_used(self):
        seen = [(method.name, use) for method in METHODS for use in method.uses]
        assert len(seen) == len(set(seen))

    def test_methods_are_found_by_name_and_geometry(self):
        assert find("fbp", "fan").solver is ig.solvers.FBP
        assert find("fbp", "cone").solver is ig.solvers.FDK
        assert find("tv", "parallel").solver is ig.solvers.PDHG
        assert find("rss", "non-cartesian").solver is ig.solvers.Gridding
        with pytest.raises(ParameterError, match="no method 'fbp' for cartesian; there are rss"):
            find("fbp", "cartesian")
        assert list(used_for(*BEAMS))[:5] == ["fbp", "tv", "cg", "sirt", "ossart"]
        assert list(used_for(*KSPACE))[:4] == ["rss", "zero-filled", "cg-sense", "tv"]

    def test_samplers_are_those_that_are_certified(self):
        assert [method for method in METHODS if method.samples] == list(used_for("certify").values())


class TestHyperparameters:
    DDS = next(method for method in METHODS if method.name == "dds")

    def test_names_and_types_are_those_of_the_class(self):
        found = self.DDS.hyperparameters
        assert {"gamma", "cg_steps", "eta", "iterations", "sigma_range", "scale"} <= set(found)
        assert "prior" not in found
        assert (found["gamma"], found["cg_steps"]) == ((float,), (int,))

    @pytest.mark.parametrize(
        "settings",
        [
            {"gamma": 2},
            {"gamma": 0.5, "cg_steps": 3},
            {"cg_steps": np.int64(3)},
            {"scale": "auto"},
            {"scale": 0.2},
            {"sigma_range": (0.1, 2)},
            {"sigma_range": None},
        ],
    )
    def test_values_of_the_right_type(self, settings):
        self.DDS.check(settings)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"gama": 2}, r"dds \(DDS\) has no hyper-parameter gama; there are .*gamma, cg_steps, eta"),
            ({"prior": 2}, "has no hyper-parameter prior"),
            ({"gamma": "much"}, "gamma of dds is a number; got 'much'"),
            ({"gamma": True}, "gamma of dds is a number; got True"),
            ({"cg_steps": 2.0}, "cg_steps of dds is a whole number; got 2.0"),
            ({"cg_steps": True}, "cg_steps of dds is a whole number; got True"),
            ({"sigma_range": (1, 2, 3)}, "sigma_range of dds is numbers with commas"),
            ({"sigma_range": 3}, "sigma_range of dds is numbers with commas"),
        ],
    )
    def test_others_are_refused(self, settings, message):
        with pytest.raises(ParameterError, match=message):
            self.DDS.check(settings)

    def test_a_method_without_any_says_so(self):
        with pytest.raises(ParameterError, match="no hyper-parameter gamma; it has none"):
            find("rss", "cartesian").check({"gamma": 2})

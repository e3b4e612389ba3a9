"""The other solvers in latent variables, against what each should reach."""

import math

import pytest
import torch
from scipy.optimize import minimize

import invgen as ig
from invgen.core.errors import CapabilityError, ParameterError
from invgen.noise import Gaussian
from invgen.operators import DCT, Identity, MatrixOperator
from invgen.priors import GAN, VAE, Flow, HierarchicalVAE, from_module
from invgen.solvers import (
    PULSE,
    FlowMAP,
    ImageAdaptive,
    IntermediateLayerOptimization,
    Lasso,
    LatentOptimization,
    SparseDeviation,
)
from invgen.solvers.latent.intermediate import l1_ball

from .toys import LATENTS, SHAPE, Affine, generator, measured, normal, posterior_mean


def network(seed=0, width=10, size=12):
    """Three layers with weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(
            torch.nn.Linear(LATENTS, width),
            torch.nn.Tanh(),
            torch.nn.Linear(width, width),
            torch.nn.Tanh(),
            torch.nn.Linear(width, size),
            torch.nn.Unflatten(1, (size // 4, 4)),
        ).double()


def layered(**settings):
    return from_module(network(**settings), (LATENTS,), value_range=(-1.0, 1.0))


class TestPULSE:
    def test_the_minimum_on_the_sphere(self):
        """Of a linear generator: the slope of the data term has no part along the sphere."""
        affine = Affine()
        prior = generator(affine)
        problem = measured(prior, std=0.3, batch=())
        found = PULSE(prior, restarts=2, scale=3.0, iterations=400, learning_rate=0.05)(problem, seed=0)
        z = found.stats["latents"]
        assert abs(float(z.norm()) - math.sqrt(LATENTS)) < 1e-9
        A = problem.operator
        M = A(affine.W.T.reshape(-1, *SHAPE)).T
        slope = M.T @ (M @ z - (problem.measurement - A(affine.b.reshape(SHAPE)))) / 0.3**2
        along = z / z.norm()
        tangent = slope - along * (along @ slope)
        scale = (M.T @ M / 0.3**2).norm()
        assert float(tangent.norm() / scale) < 1e-3

    def test_the_geodesic_loss_is_that_of_the_angles(self):
        class Rows(Affine):
            def forward(self, z):
                return super().forward(z.flatten(1))

        prior = from_module(Rows(), (2, 2), image_shape=SHAPE, value_range=(-3.0, 3.0))
        solver = PULSE(prior, weight=1.0)
        theta = torch.tensor([0.3, 1.7, 3.0], dtype=torch.float64)
        first = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(3, 2)
        z = math.sqrt(2) * torch.stack([first, torch.stack([theta.cos(), theta.sin()], -1)], 1)
        # two of the four pairs of rows are different ones
        torch.testing.assert_close(solver.regularizer(z, z), 2 / 8 * 2 * theta**2 / 4, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(solver.projected(5 * z.flatten(1)), z.flatten(1))

    def test_the_origin_is_projected_too(self):
        solver = PULSE(generator())
        z = solver.projected(torch.zeros(2, LATENTS, dtype=torch.float64))
        torch.testing.assert_close(z.norm(dim=-1), torch.full((2,), math.sqrt(LATENTS), dtype=torch.float64))


class TestIntermediateLayers:
    def test_a_ball_of_no_radius_is_the_generator(self):
        prior = layered()
        problem = measured(generator(network()), batch=(2,))
        found = IntermediateLayerOptimization(prior, radius=0.0, restarts=3, scale=1.0)(problem, seed=0)
        torch.testing.assert_close(found.x, prior.decode(found.stats["latents"]))

    def test_what_the_generator_cannot_make_is_fitted_from_within(self):
        """Each layer more, and a larger ball, fits the data better."""
        prior = layered()
        problem = measured(generator(), std=0.1, batch=(2,))
        fits = [LatentOptimization(prior, restarts=3, scale=1.0)(problem, seed=0)]
        for layers, radius in ((1, 0.3), (2, 0.3), (2, 1.0)):
            solver = IntermediateLayerOptimization(
                prior, layers=layers, radius=radius, restarts=3, scale=1.0, iterations=300
            )
            fits.append(solver(problem, seed=0))
        misfits = torch.stack([problem.misfit(fit.x) for fit in fits])
        assert bool((misfits.diff(dim=0) < 0).all())

    def test_the_closest_point_of_the_l1_ball(self):
        x = normal(20, 7)
        radius = torch.linspace(0.1, 12, 20, dtype=torch.float64)[:, None]
        found = l1_ball(x, radius)
        assert bool((found.abs().sum(-1, keepdim=True) <= radius + 1e-12).all())
        inside = x.abs().sum(-1) <= radius[:, 0]
        assert 0 < int(inside.sum()) < 20
        assert torch.equal(found[inside], x[inside])
        # no point of the ball is at an obtuse angle: <x - p, q - p> <= 0, for the corners q
        corners = torch.cat([torch.eye(7), -torch.eye(7)]).double()
        for row, point, size in zip(x, found, radius, strict=True):
            assert float(((size * corners - point) @ (row - point)).max()) < 1e-10

    def test_too_many_layers(self):
        problem = measured(generator(network()))
        with pytest.raises(ParameterError, match="has 3 stages, so that the inputs of up to 2 layers"):
            IntermediateLayerOptimization(layered(), layers=3, scale=1.0)(problem)

    def test_a_generator_without_stages(self):
        solver = IntermediateLayerOptimization(from_module(lambda z: z[..., None, :], (4,)), layers=1)
        problem = ig.Problem(Identity((1, 4)), torch.zeros(1, 4), Gaussian(1.0))
        with pytest.raises(CapabilityError, match=r"torch\.nn\.Module to priors\.from_module"):
            solver(problem)
        with pytest.raises(CapabilityError, match="Staged"):
            IntermediateLayerOptimization(Flow.untrained((4, 4), scales=1, steps=1))


class TestStages:
    @pytest.mark.parametrize(
        ("prior", "count"),
        [
            (layered(), 3),
            (GAN.untrained((8, 8), latent=5, widths=(8, 4)), 3),
            (VAE.untrained((8, 8), latent=5, widths=(32, 32), blocks=1), 4),
            (HierarchicalVAE.untrained((8, 8), latent=(2, 1, 1), widths=(8, 8)), 6),
        ],
        ids=["sequential", "gan", "vae", "hierarchical-vae"],
    )
    def test_the_composition_of_the_stages_decodes(self, prior, count):
        z = torch.randn(3, *prior.latent_shape, generator=torch.Generator().manual_seed(0))
        x, stages = z, prior.stages(z)
        for stage in stages:
            x = stage(x)
        assert len(stages) == count
        torch.testing.assert_close(x, prior.decode(z))
        torch.testing.assert_close(prior.decode_with(prior.weights(z), z), prior.decode(z))

    def test_other_weights_make_other_images_and_have_derivatives(self):
        prior, z = layered(), normal(2, LATENTS)
        weights = {name: w.clone().requires_grad_() for name, w in prior.weights(z).items()}
        before = prior.decode(z)
        changed = {name: 1.1 * w for name, w in weights.items()}
        images = prior.decode_with(changed, z)
        images.sum().backward()
        assert all(bool((w.grad != 0).any()) for w in weights.values())
        assert float((images - before).abs().max()) > 0.01
        torch.testing.assert_close(prior.decode(z), before)


class TestSparseDeviation:
    def problem(self, std=0.01, rows=30, transform=None):
        """An affine generator on 48 pixels, two of which are off by much."""
        shape = (6, 8)
        affine = Affine(shape=shape)
        prior = from_module(affine, (LATENTS,), image_shape=shape, value_range=(-3.0, 3.0))
        v = torch.zeros(shape, dtype=torch.float64)
        v[1, 2], v[4, 5] = 3.0, -2.0
        if transform is not None:
            v = transform.H(v)
        A, noise = MatrixOperator(normal(rows, 48, seed=1) / rows**0.5, shape), Gaussian(std)
        x = prior.decode(normal(LATENTS, seed=2)) + v
        return affine, prior, ig.Problem(A, noise.sample(A(x), seed=3), noise), x, v

    def test_a_spike_is_found_where_it_is(self):
        _, prior, problem, x, v = self.problem()
        solver = SparseDeviation(prior, restarts=1, scale=3.0, iterations=400, sparsity=300.0)
        found = solver(problem, seed=0)
        deviation = found.x - prior.decode(found.stats["latents"])
        assert torch.equal(deviation.abs() > 0.1, v != 0)
        assert float((found.x - x).norm() / x.norm()) < 0.02
        plain = LatentOptimization(prior, restarts=1, scale=3.0)(problem, seed=0)
        assert float((plain.x - x).norm() / x.norm()) > 0.1

    def test_the_optimality_conditions_hold(self):
        """Of the convex problem of a linear generator: the gradient is zero for z, and in the band for v."""
        affine, prior, problem, _, _ = self.problem(std=0.05)
        solver = SparseDeviation(prior, restarts=1, scale=3.0, iterations=1000, sparsity=30.0, tolerance=1e-9)
        found = solver(problem, seed=0)
        z = found.stats["latents"]
        v, slope = found.x - prior.decode(z), problem.gradient(found.x)
        assert float(((affine.W.T @ slope.flatten()) + z).abs().max()) < 0.05
        assert float(slope.abs().max()) < 30.0 + 0.05
        on = v.abs() > 1e-6
        assert 0 < int(on.sum()) < 48
        torch.testing.assert_close(slope[on], -30.0 * v[on].sign(), rtol=0, atol=0.05)

    def test_sparse_in_a_basis(self):
        transform = DCT((6, 8))
        _, prior, problem, x, _ = self.problem(transform=transform)
        solver = SparseDeviation(
            prior, restarts=1, scale=3.0, iterations=400, sparsity=300.0, transform=transform
        )
        assert float((solver(problem, seed=0).x - x).norm() / x.norm()) < 0.02

    def test_the_weight_follows_from_the_noise(self):
        _, prior, problem, _, _ = self.problem()
        solver = SparseDeviation(prior, restarts=1, scale=3.0)
        prepared = solver.prepare(problem.repeated(1))
        torch.testing.assert_close(
            prepared.weight[0], torch.as_tensor(Lasso().resolved(problem).weight).double()
        )


class TestFlowMAP:
    FLOW = Flow.untrained((4, 4), scales=1, steps=2, coupling="affine", levels=None, seed=1)

    def problem(self, batch=(2,)):
        A, noise = MatrixOperator(normal(8, 16, seed=1), (4, 4)), Gaussian(0.1)
        x = 0.5 + 0.2 * normal(*batch, 4, 4, seed=2)
        return ig.Problem(A, noise.sample(A(x), seed=3), noise)

    @pytest.mark.parametrize("start", ["zero", "encoder"])
    def test_the_most_probable_image_is_that_of_a_search_among_images(self, start):
        problem = self.problem(batch=())
        found = FlowMAP(self.FLOW, start=start, scale=1.0, tolerance=1e-8)(problem, seed=0)

        def objective(x):
            at = torch.tensor(x).reshape(4, 4).requires_grad_()
            value = problem.negative_log_likelihood(at) - self.FLOW.log_prob(at)
            (slope,) = torch.autograd.grad(value, at)
            return float(value), slope.flatten().numpy()

        peer = minimize(objective, 0.5 * torch.ones(16).double().numpy(), jac=True, method="BFGS")
        torch.testing.assert_close(
            found.x, torch.tensor(peer.x).reshape(4, 4), rtol=0, atol=1e-4 * float(found.x.abs().max())
        )
        assert abs(float(found.history["objective"][-1]) - peer.fun) < 1e-5

    def test_with_the_density_of_latents_it_is_latent_optimization_from_zero(self):
        problem = self.problem()
        found = FlowMAP(self.FLOW, density="latent")(problem, seed=0)
        start = torch.zeros(2, 16, dtype=torch.float64)
        peer = LatentOptimization(self.FLOW, restarts=1, tolerance=1e-4)(problem, x0=start, seed=0)
        torch.testing.assert_close(found.x, peer.x)

    def test_a_generator_without_a_density_is_refused(self):
        with pytest.raises(CapabilityError, match="Density"):
            FlowMAP(generator())


class TestImageAdaptive:
    def problem(self, batch=()):
        """Of an image that the generator does not make: that of other weights."""
        other = from_module(network(seed=0, size=64), (LATENTS,))
        with torch.no_grad():
            weights = {n: w + 0.1 * normal(*w.shape, seed=4) for n, w in other.weights(normal(1)).items()}
        x = other.decode_with(weights, normal(*batch, LATENTS, seed=2))
        noise = Gaussian(0.1)
        A = MatrixOperator(normal(56, 64, seed=1) / 8, (16, 4))
        return other, x, ig.Problem(A, noise.sample(A(x), seed=3), noise)

    def test_it_stops_before_it_fits_the_noise(self):
        prior, x, problem = self.problem()
        plain = LatentOptimization(prior, restarts=3, scale=1.0)(problem, seed=0)
        solver = ImageAdaptive(prior, restarts=3, scale=1.0, learning_rate=0.02, patience=40, first=100)
        found = solver(problem, seed=0)
        # far beyond the stop the noise is fitted
        beyond = ImageAdaptive(
            prior, restarts=3, scale=1.0, learning_rate=0.02, patience=10**6, withheld=0.02, iterations=400
        )
        states = beyond.iterate(problem, seed=0)
        for _ in range(400):
            last = next(states)
        overfitted = last["at"]["point"]["image"][0]
        errors = [float((each - x).norm() / x.norm()) for each in (plain.x, found.x, overfitted)]
        assert errors[1] < errors[0]
        assert errors[1] < errors[2]
        assert bool(found.stats["converged"])
        assert float(problem.misfit(overfitted)) < 0.5 * float(problem.count())
        assert float(problem.misfit(found.x)) > 0.5 * float(problem.count())

    def test_the_prior_stays_as_it_is(self):
        prior, _, problem = self.problem()
        before = {name: w.clone() for name, w in prior.weights(normal(1)).items()}
        ImageAdaptive(prior, restarts=2, scale=1.0, iterations=10, first=10)(problem, seed=0)
        for name, weight in prior.weights(normal(1)).items():
            assert torch.equal(weight, before[name])

    def test_each_measurement_has_its_own_weights(self):
        prior, _, problem = self.problem(batch=(3,))
        solver = ImageAdaptive(prior, restarts=2, scale=1.0, iterations=20, first=20)
        together = solver(problem, seed=0).x
        for i in range(3):
            alone = solver(problem.element(i), seed=0).x
            assert float((together[i] - alone).norm() / alone.norm()) < 1e-6

    def test_what_is_withheld_is_not_fitted(self):
        """Other values there leave the fit as it is, up to which iteration is kept."""
        prior, _, problem = self.problem()
        solver = ImageAdaptive(prior, restarts=2, scale=1.0, iterations=5, first=20, withheld=0.3)
        _, withheld = solver.prepare(problem)
        y = torch.where(withheld.observed, problem.measurement + 7.0, problem.measurement)
        other = ig.Problem(problem.operator, y, problem.noise)
        first, second = (next(solver.iterate(each, seed=0)) for each in (problem, other))
        torch.testing.assert_close(first["at"]["point"]["image"], second["at"]["point"]["image"])

    def test_a_generator_without_weights(self):
        with pytest.raises(CapabilityError, match="Tunable"):
            ImageAdaptive(Flow.untrained((4, 4), scales=1, steps=1))


def test_weights_and_posterior_means_agree_for_all_that_minimize_the_same():
    """Without deviations, or on the generator alone, all are the posterior mean of a linear generator."""
    affine = Affine()
    prior = generator(affine)
    problem = measured(prior, std=0.2)
    exact = prior.decode(posterior_mean(problem, affine, 0.2))
    sparse = SparseDeviation(prior, restarts=1, scale=3.0, sparsity=1e6, iterations=400)
    assert float((sparse(problem, seed=0).x - exact).norm() / exact.norm()) < 0.02

"""Optimization of latent variables, against linear algebra and its own restarts."""

import pytest
import torch

import invgen as ig
from invgen.core.errors import CapabilityError, DivergenceError, DtypeError, ParameterError, ShapeError
from invgen.noise import Gaussian, Poisson
from invgen.operators import Identity, MatrixOperator, Saturation
from invgen.priors import VAE, Flow, from_module
from invgen.solvers import LatentOptimization

from .toys import LATENTS, ROWS, SHAPE, Affine, Curved, generator, measured, normal, posterior_mean


class TestLinearGenerator:
    @pytest.mark.parametrize("weight", [1.0, 30.0, 0.0])
    def test_the_optimum_is_the_posterior_mean(self, weight):
        network = Affine()
        prior = generator(network)
        problem = measured(prior, std=0.2)
        solver = LatentOptimization(prior, weight=weight, restarts=2, scale=3.0, tolerance=1e-8)
        found = solver(problem, seed=0)
        exact = posterior_mean(problem, network, 0.2, weight)
        assert bool(found.stats["converged"].all())
        assert float((found.stats["latents"] - exact).norm() / exact.norm()) < 1e-6
        image = prior.decode(exact)
        assert float((found.x - image).norm() / image.norm()) < 1e-6

    def test_adam_comes_there_too(self):
        network = Affine()
        prior = generator(network)
        problem = measured(prior, std=0.2)
        solver = LatentOptimization(
            prior, optimizer="adam", learning_rate=0.05, restarts=1, scale=3.0, iterations=1000
        )
        exact = prior.decode(posterior_mean(problem, network, 0.2))
        assert float((solver(problem, seed=0).x - exact).norm() / exact.norm()) < 1e-3

    def test_the_objective_is_minus_the_log_posterior(self):
        prior = generator()
        problem = measured(prior, std=0.2)
        found = LatentOptimization(prior, weight=2.5, restarts=2, scale=3.0)(problem, seed=0)
        z, residual = found.stats["latents"], problem.operator(found.x) - problem.measurement
        value = residual.square().sum(-1) / (2 * 0.2**2) + 2.5 * z.square().sum(-1) / 2
        torch.testing.assert_close(found.history["objective"][-1], value)
        torch.testing.assert_close(found.stats["restart_objectives"].amin(0), value)

    def test_the_unit_of_the_image_is_free(self):
        """Twice the measurement and its noise, with white at twice the value, is twice the image."""
        prior = generator()
        problem = measured(prior)
        one = LatentOptimization(prior, restarts=2, scale=3.0)(problem, seed=0).x
        two = LatentOptimization(prior, restarts=2, scale=6.0)(problem.scaled(2.0), seed=0).x
        torch.testing.assert_close(two, 2 * one)

    def test_noise_of_unknown_level_is_estimated(self):
        """Of white noise on a picture, whose level can be seen."""
        network = Affine(shape=(32, 32))
        prior = from_module(network, (LATENTS,), image_shape=(32, 32), value_range=(-3.0, 3.0))
        noise, A = Gaussian(0.5), Identity((32, 32))
        x = prior.decode(normal(LATENTS, seed=2))
        known = ig.Problem(A, noise.sample(x, 0), noise)
        unknown = ig.Problem(A, known.measurement)
        solver = LatentOptimization(prior, restarts=1, scale=3.0)
        torch.testing.assert_close(solver(unknown, seed=0).x, solver(known, seed=0).x, rtol=0, atol=0.05)


class TestRestarts:
    def test_each_element_keeps_its_best(self):
        prior = generator(Curved())
        problem = measured(prior, batch=(3,))
        solver = LatentOptimization(prior, restarts=6, scale=3.0, iterations=8)
        found = solver(problem, seed=5)
        objectives, kept = found.stats["restart_objectives"], found.stats["restart_kept"]
        assert objectives.shape == (6, 3)
        assert len(objectives.unique()) == 18  # stopped so early, all are different
        torch.testing.assert_close(objectives.gather(0, kept[None])[0], objectives.amin(0))
        assert found.stats["restarts_finite"].tolist() == [6, 6, 6]
        for i in range(6):
            alone = LatentOptimization(prior, restarts=1, scale=3.0, iterations=8)(problem, seed=5 + i)
            torch.testing.assert_close(alone.stats["restart_objectives"][0], objectives[i])
            mine = kept == i
            torch.testing.assert_close(alone.x[mine], found.x[mine])

    @pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
    def test_a_batch_is_its_elements(self, optimizer):
        prior = generator(Curved())
        problem = measured(prior, batch=(2, 2))
        single = ig.Problem(problem.operator, problem.measurement.float(), problem.noise)
        solver = LatentOptimization(
            prior, optimizer=optimizer, learning_rate=0.05, restarts=4, scale=3.0, iterations=200
        )
        together = solver(single, seed=0)
        assert together.stats["restart_objectives"].shape == (4, 2, 2)
        for i in range(2):
            for j in range(2):
                alone = solver(single.element(i).element(j), seed=0)
                assert float((alone.x - together.x[i, j]).norm() / alone.x.norm()) < 1e-4
                assert alone.stats["restart_objectives"].shape == (4,)

    def test_parts_of_the_restarts_are_all_of_them(self, monkeypatch):
        prior = generator(Curved())
        problem = measured(prior, batch=(3,))
        solver = LatentOptimization(prior, restarts=5, scale=3.0, iterations=20)
        whole = solver(problem, seed=0)
        monkeypatch.setattr("invgen.solvers.latent.density._NUMBERS", 2 * 3 * 12)
        parts = solver(problem, seed=0)
        torch.testing.assert_close(parts.x, whole.x, rtol=1e-9, atol=1e-9)
        assert parts.stats["network_evaluations"] == whole.stats["network_evaluations"]

    def test_those_that_diverge_are_dropped_and_counted(self):
        """Latent variables above some value have no image."""

        class Broken(Affine):
            def forward(self, z):
                return super().forward(z) + torch.where(z[:, :1, None] > 0.5, torch.inf, 0.0)

        prior = generator(Broken())
        starts = torch.stack(
            [torch.randn(LATENTS, generator=torch.Generator().manual_seed(i)) for i in range(6)]
        )
        good = int((starts[:, 0] <= 0.5).sum())
        assert 0 < good < 6
        problem = measured(generator())
        found = LatentOptimization(prior, restarts=6, scale=3.0, weight=100.0)(problem, seed=0)
        assert found.stats["restarts_finite"].tolist() == [good, good]
        assert int(found.stats["restart_objectives"].isinf().sum()) == 2 * (6 - good)
        assert bool(found.x.isfinite().all())

    def test_all_diverged_is_an_error(self):
        class Nothing(Affine):
            def forward(self, z):
                return super().forward(z) * torch.inf

        prior, problem = generator(Nothing()), measured(generator())
        with pytest.raises(DivergenceError, match="All 3 restarts of LatentOptimization diverged"):
            LatentOptimization(prior, restarts=3, scale=3.0)(problem, seed=0)

    def test_x0_is_where_the_first_restart_starts(self):
        network = Affine()
        prior = generator(network)
        problem = measured(prior)
        exact = posterior_mean(problem, network, 0.1)
        found = LatentOptimization(prior, restarts=3, scale=3.0, iterations=1)(problem, x0=exact, seed=0)
        assert found.stats["restart_kept"].tolist() == [0, 0]
        torch.testing.assert_close(found.stats["latents"], exact)
        with pytest.raises(ShapeError, match=r"x0 expects the shape \(\.\.\., 4\)"):
            LatentOptimization(prior)(problem, x0=exact[:, 1:])


class TestNoiseAndOperators:
    def test_counts(self):
        """At the optimum the gradient of the log posterior vanishes, by finite differences."""

        class Positive(Affine):
            def forward(self, z):
                return torch.exp(0.3 * super().forward(z))

        prior = generator(Positive())
        A = MatrixOperator(normal(ROWS, 12, seed=1).abs(), SHAPE)
        noise = Poisson(0.1)
        problem = ig.Problem(A, noise.sample(A(prior.decode(normal(2, LATENTS))), 0), noise)
        z = LatentOptimization(prior, restarts=2, tolerance=1e-9)(problem, seed=0).stats["latents"]

        def objective(z):
            return problem.negative_log_likelihood(prior.decode(z)) + z.square().sum(-1) / 2

        for axis in torch.eye(LATENTS, dtype=torch.float64) * 1e-5:
            assert float((objective(z + axis) - objective(z - axis)).abs().amax() / 2e-5) < 1e-3

    def test_an_operator_that_is_not_linear(self):
        prior = generator(Curved())
        A, noise = Saturation(SHAPE, high=0.8), Gaussian(0.05)
        z = normal(LATENTS, seed=2)
        problem = ig.Problem(A, noise.sample(A(prior.decode(z)), 0), noise)
        solver = LatentOptimization(prior, restarts=10)
        assert float(problem.misfit(solver(problem, seed=0).x)) < 2 * problem.count()
        with pytest.raises(CapabilityError, match="needs the noise level"):
            solver(ig.Problem(A, problem.measurement))
        with pytest.raises(CapabilityError, match="keep their unit"):
            LatentOptimization(prior, scale=1.0)(problem)

    def test_data_that_are_infinitely_uncertain_do_not_count(self):
        network = Affine()
        prior = generator(network)
        problem = measured(prior)
        std = torch.full((ROWS,), 0.1, dtype=torch.float64)
        std[2:] = torch.inf
        y = problem.measurement.clone()
        y[:, 2:] = 1e3
        solver = LatentOptimization(prior, restarts=1, scale=3.0, tolerance=1e-9)
        found = solver(ig.Problem(problem.operator, y, Gaussian(std)), seed=0).x
        few = ig.Problem(
            MatrixOperator(normal(ROWS, 12, seed=1)[:2], SHAPE), y[:, :2].contiguous(), Gaussian(0.1)
        )
        torch.testing.assert_close(found, solver(few, seed=0).x)


class TestEncoder:
    def test_a_vae_starts_the_first_restart_at_what_it_encodes(self):
        prior = VAE.untrained((8, 8), latent=3, widths=(32,), blocks=1, observation="gaussian")
        problem = ig.Problem(Identity((8, 8)), 0.5 + 0.1 * torch.zeros(8, 8), Gaussian(0.1))
        solver = LatentOptimization(prior, start="encoder", restarts=2, scale=1.0).resolved(problem)
        state = solver.begin(problem, solver.initial(problem), range(2), 0)[1]
        torch.testing.assert_close(state["z"][0], prior.encode(torch.full((8, 8), 0.5)).mean)
        assert bool((state["z"][1] != 0).all())

    def test_a_flow_that_is_encoded_starts_at_the_image(self):
        prior = Flow.untrained((4, 4), scales=1, steps=1, coupling="affine", levels=None)
        x = 0.2 + 0.05 * torch.rand(4, 4, generator=torch.Generator().manual_seed(0))
        problem = ig.Problem(Identity((4, 4)), x, Gaussian(1e-3))
        solver = LatentOptimization(prior, start="encoder", restarts=1, scale=1.0).resolved(problem)
        _, state = solver.begin(problem, solver.initial(problem), range(1), 0)
        assert float((state.x[0] - x).abs().max()) < 0.02

    def test_a_prior_without_one_is_refused(self):
        with pytest.raises(CapabilityError, match=r"encode\(x\).*start='random'"):
            LatentOptimization(generator(), start="encoder")


class TestBadInput:
    def test_images_of_another_shape_or_field(self):
        prior = generator()
        with pytest.raises(ShapeError, match=r"makes images of the shape \(3, 4\); those of Identity have"):
            LatentOptimization(prior)(ig.Problem(Identity((4, 3)), torch.zeros(4, 3), Gaussian(1.0)))
        y = torch.zeros(3, 4, dtype=torch.complex64)
        with pytest.raises(DtypeError, match="makes real images; those of Identity are complex"):
            LatentOptimization(prior, scale=1.0)(ig.Problem(Identity((3, 4), "complex"), y, Gaussian(1.0)))

    def test_a_generator_without_a_derivative(self):
        network = Affine()

        @torch.no_grad()
        def decode(z):
            return network.to(z.dtype)(z)

        prior = from_module(decode, (LATENTS,), image_shape=SHAPE)
        with pytest.raises(CapabilityError, match=r"needs the derivative of decode.*torch\.no_grad"):
            LatentOptimization(prior, scale=1.0)(measured(generator()))

    @pytest.mark.parametrize("layer", [torch.nn.BatchNorm1d(12), torch.nn.Dropout(0.5)])
    def test_a_network_in_training_mode(self, layer):
        network = torch.nn.Sequential(torch.nn.Linear(LATENTS, 12), layer, torch.nn.Unflatten(1, SHAPE))
        bound = from_module(network.double().forward, (LATENTS,), image_shape=SHAPE)
        with pytest.raises(CapabilityError, match=r"network\.eval\(\)"):
            LatentOptimization(bound, scale=1.0)(measured(generator()))
        copied = from_module(network, (LATENTS,), image_shape=SHAPE)  # in evaluation mode
        LatentOptimization(copied, scale=1.0, iterations=1)(measured(generator()))

    @pytest.mark.parametrize(
        "settings",
        [
            {"restarts": 0},
            {"weight": -1.0},
            {"optimizer": "sgd"},
            {"learning_rate": 0.0},
            {"start": "middle"},
            {"scale": -1.0},
        ],
    )
    def test_parameters_out_of_range(self, settings):
        with pytest.raises(ParameterError):
            LatentOptimization(generator(), **settings)

    def test_what_is_no_generator(self):
        with pytest.raises(CapabilityError, match="Generator"):
            LatentOptimization(ig.priors.TotalVariation())

    def test_one_estimate_only(self):
        with pytest.raises(CapabilityError, match="gives one estimate"):
            LatentOptimization(generator())(measured(generator()), samples=2)

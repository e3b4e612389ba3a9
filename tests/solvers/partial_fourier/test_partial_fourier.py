"""Homodyne detection and projections onto convex sets, of k-space whose other half follows from symmetry."""

import itertools
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from invgen.core.errors import CapabilityError, ParameterError
from invgen.noise import Gaussian
from invgen.operators import MRI, Fourier, Radon
from invgen.problem import Problem
from invgen.solvers import CG, POCS, Homodyne, ZeroFilled

DATA = Path(os.environ.get("INVGEN_DATA", Path(__file__).parents[4] / "shared" / "data"))

#: Whatever the sampled half lacks has a mirror image in it: of an even size the lowest frequency has none.
WHOLE = [
    ((15, 12), -2, "positive"),
    ((16, 11), -2, "negative"),
    ((12, 17), -1, "positive"),
    ((5, 4, 9), -1, "positive"),
]
BOTH = [Homodyne(), Homodyne(weighting="step"), POCS(iterations=60, tolerance=0)]


def name_of(solver):
    return f"{solver.name}-{getattr(solver, 'weighting', '')}"


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def frequencies(shape, axis):
    return (torch.arange(shape[axis]) - shape[axis] // 2).reshape(-1, *(1,) * (-1 - axis))


def half(shape, axis=-2, side="positive", reach=2):
    """All of one side of the origin, and `reach` entries of the other."""
    k = frequencies(shape, axis)
    return (k if side == "positive" else -k) >= -reach


def smooth_phase(shape, size=1.0):
    """A phase that varies along all axes by less than a cycle, with `size` radians."""
    places = [2 * math.pi * torch.arange(n, dtype=torch.float64) / n for n in shape]
    grids = torch.meshgrid(*places, indexing="ij")
    return size * sum(grid.sin() + (grid + i).cos() for i, grid in enumerate(grids)) / len(shape)


def error(x, truth):
    return float((x - truth).norm() / truth.norm())


class TestExact:
    """Images that the phase of the middle of k-space determines, to rounding."""

    @pytest.mark.parametrize("solver", BOTH, ids=name_of)
    @pytest.mark.parametrize(("shape", "axis", "side"), WHOLE)
    def test_a_constant_phase(self, solver, shape, axis, side):
        x = (1 + uniform(*shape)) * torch.exp(torch.tensor(2.3j))
        A = MRI(shape, half(shape, axis, side))
        torch.testing.assert_close(solver(Problem(A, A(x))).x, x, atol=1e-8, rtol=0)

    @pytest.mark.parametrize("solver", BOTH, ids=name_of)
    @pytest.mark.parametrize(("shape", "axis", "side"), WHOLE)
    def test_any_phase_along_the_other_axes(self, solver, shape, axis, side):
        """However rough: along them k-space is all there."""
        phase = 6 * uniform(*shape, seed=1).narrow(axis, 0, 1)
        x = (1 + uniform(*shape)) * torch.exp(1j * phase)
        A = MRI(shape, half(shape, axis, side))
        torch.testing.assert_close(solver(Problem(A, A(x))).x, x, atol=1e-8, rtol=0)

    @pytest.mark.parametrize("solver", BOTH, ids=name_of)
    def test_coils_whose_phases_are_along_the_other_axis(self, solver):
        shape = (15, 12)
        maps = (0.2 + uniform(3, *shape, seed=2)) * torch.exp(6j * uniform(3, 1, 12, seed=3))
        x = (1 + uniform(*shape)) * torch.exp(6j * uniform(1, 12, seed=1))
        A = MRI(shape, half(shape), maps)
        torch.testing.assert_close(solver(Problem(A, A(x))).x, x, atol=1e-6, rtol=0)

    @pytest.mark.parametrize("weighting", ["ramp", "step"])
    def test_homodyne_of_real_images_that_have_both_signs(self, weighting):
        """Where the image of low resolution has the other sign, its phase is off by pi, which cancels."""
        x = uniform(15, 12) - 0.5 + 0j
        A = MRI((15, 12), half((15, 12)))
        torch.testing.assert_close(Homodyne(weighting=weighting)(Problem(A, A(x))).x, x)

    def test_the_lowest_frequency_of_an_even_size_has_no_mirror_image(self):
        shape = (16, 11)
        x = 1 + uniform(*shape) + 0j
        y = Fourier(shape)(x)
        A, whole = MRI(shape, half(shape)), MRI(shape, torch.arange(16)[:, None] > 0)
        expected = Fourier(shape).H(whole.mask * y)
        torch.testing.assert_close(Homodyne()(Problem(A, A(x))).x, expected)

    def test_samples_that_were_weighted(self):
        shape = (15, 12)
        x = 1 + uniform(*shape) + 0j
        A = MRI(shape, half(shape) * (0.5 + uniform(15, 1)))
        for solver in (Homodyne(), POCS(iterations=60, tolerance=0)):
            torch.testing.assert_close(solver(Problem(A, A(x))).x, x, atol=1e-8, rtol=0)


class TestProjections:
    @pytest.mark.parametrize("coils", [None, 4])
    def test_the_first_is_zero_filled_and_none_is_further_from_the_truth(self, coils):
        """The truth has the phase and the samples, and no step leads away from it."""
        shape = (33, 20)
        maps = None if coils is None else 0.2 + uniform(coils, *shape, seed=2) + 0j
        if maps is not None:
            maps = maps / maps.square().sum(0).sqrt()
        x = (1 + uniform(*shape)) * torch.exp(6j * uniform(1, 20, seed=1))
        A = MRI(shape, half(shape, reach=4), maps)
        problem = Problem(A, A(x))
        states = POCS().iterate(problem)
        images = [next(states).x for _ in range(12)]
        torch.testing.assert_close(images[0], ZeroFilled()(problem).x)
        errors = [error(image, x) for image in images]
        assert all(after <= before for before, after in itertools.pairwise(errors))

    def test_each_halves_what_is_missing_of_a_real_image(self):
        """A missing sample is the mean of itself, as it was, and of the mirror image."""
        shape = (33, 20)
        x = 10 + uniform(*shape) + 0j  # what is imaginary of the iterates is then small beside it
        A = MRI(shape, half(shape, reach=4))
        states = POCS().iterate(Problem(A, A(x)))
        errors = [error(next(states).x, x) for _ in range(12)]
        np.testing.assert_allclose(errors, errors[0] * 0.5 ** np.arange(12), rtol=0.05)

    def test_it_stops_when_the_change_is_small(self):
        shape = (33, 20)
        x = 1 + uniform(*shape) + 0j
        A = MRI(shape, half(shape, reach=4))
        result = POCS(iterations=50)(Problem(A, A(x)))
        assert result.stats["converged"]
        change = result.history["change"]
        assert float(change[-1]) <= 1e-3 < float(change[-2])

    def test_two_axes(self):
        """A quarter of the corner that no side has: the rest follows as of one axis."""
        shape = (33, 31)
        x = 1 + uniform(*shape) + 0j
        low = (frequencies(shape, -2).abs() <= 4) | (frequencies(shape, -1).abs() <= 4)
        x = Fourier(shape).H(low * Fourier(shape)(x))  # whose k-space has nothing in the corners
        A = MRI(shape, half(shape, -2, reach=4) & half(shape, -1, "negative", reach=4))
        result = POCS(iterations=80, tolerance=0)(Problem(A, A(x)))
        assert [extent.side for extent in result.stats["partial_fourier"]] == ["positive", "negative"]
        kspace = Fourier(shape)(result.x - x)
        assert float((low * kspace).norm()) < 1e-3 * float(x.norm())


class TestSmoothPhase:
    """Along the axis that is partial the phase is that of the middle, nearly."""

    @pytest.mark.parametrize("coils", [None, 6])
    @pytest.mark.parametrize(("shape", "axis"), [((64, 48), -2), ((48, 65), -1)])
    def test_both_are_nearer_than_zero_filling_and_the_smoother_the_nearer(self, coils, shape, axis):
        A = MRI(
            shape, half(shape, axis, reach=shape[axis] // 8), None if coils is None else ring(coils, shape)
        )
        disc = torch.stack(torch.meshgrid(*(torch.linspace(-1, 1, n) for n in shape), indexing="ij"))
        disc = (disc.square().sum(0) < 0.6).double() * (1 + uniform(*shape))

        def errors(size):
            x = disc * torch.exp(1j * smooth_phase(shape, size))
            problem = Problem(A, A(x))
            return [error(solver(problem).x, x) for solver in (ZeroFilled(), Homodyne(), POCS(tolerance=0))]

        (zero, homodyne, pocs), (_, smoother, smoothest) = errors(1.0), errors(0.25)
        assert pocs < homodyne < zero
        assert smoother < homodyne
        assert smoothest < pocs

    def test_a_brain_of_five_eighths(self):
        """A measured magnitude with a smooth phase: both have its resolution, in noise too."""
        path = DATA / "mri" / "pysap_example_mri_ref_image_2d.npy"
        if not path.is_file():
            pytest.skip(f"no measured image: {path} is not there")
        image = torch.from_numpy(np.load(path))
        image = torch.nn.functional.avg_pool2d(image[None, None] / image.max(), 4)[0, 0]
        x = image * torch.exp(1j * smooth_phase(image.shape))
        A, noise = MRI(image.shape, half(image.shape, reach=16)), Gaussian(0.005)
        problem = Problem(A, noise.sample(A(x), seed=0), noise)
        zero, homodyne, pocs, cg = (
            error(solver(problem).x.abs(), x.abs()) for solver in (ZeroFilled(), Homodyne(), POCS(), CG())
        )
        assert max(homodyne, pocs) < min(zero, cg)


class TestMissingLines:
    def problem(self, every=2, noise=0.0):
        shape = (48, 40)
        k = frequencies(shape, -2)
        mask = half(shape, reach=12) & ((k % every == 0) | (k.abs() <= 6))
        A = MRI(shape, mask, ring(6, shape))
        disc = torch.stack(torch.meshgrid(*(torch.linspace(-1, 1, n) for n in shape), indexing="ij"))
        x = (disc.square().sum(0) < 0.6) * (1 + uniform(*shape)) * torch.exp(1j * smooth_phase(shape, 0.5))
        return Problem(A, A(x)), x

    def test_coils_fill_them(self):
        problem, x = self.problem()
        pocs, cg, zero = (error(s(problem).x, x) for s in (POCS(), CG(weight=0), ZeroFilled()))
        assert pocs < cg < zero

    def test_the_samples_are_those_of_the_image_in_the_end(self):
        problem, _ = self.problem()
        residuals = POCS(iterations=40, tolerance=0, cg_steps=10)(problem).history["residual"]
        assert float(residuals[-1]) < 1e-3 * float(problem.measurement.norm())

    def test_homodyne_refuses_with_what_to_use(self):
        problem, _ = self.problem()
        with pytest.raises(CapabilityError, match=r"needs every sample .* Use POCS"):
            Homodyne()(problem)

    def test_a_single_coil_cannot_fill_them(self):
        problem, _ = self.problem()
        A = MRI(problem.operator.domain.shape, problem.operator.mask)
        with pytest.raises(CapabilityError, match=r"a single coil cannot fill them: use PDHG"):
            POCS()(Problem(A, problem.measurement[0]))


def ring(coils, shape):
    """Smooth maps of coils around the object, of unit root sum of squares."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n, dtype=torch.float64) for n in shape), indexing="ij")
    angles = 2 * math.pi * torch.arange(coils, dtype=torch.float64).reshape(-1, 1, 1) / coils
    maps = torch.exp(-((y - 1.3 * angles.sin()) ** 2 + (x - 1.3 * angles.cos()) ** 2) + 1j * angles)
    return maps / maps.abs().square().sum(0).sqrt()


class TestNoise:
    @pytest.mark.parametrize("weighting", ["ramp", "step"])
    def test_its_gain_is_the_mean_of_the_squared_weights(self, weighting):
        """In the phase of the image. Across it there is the noise of the phase, that of the window."""
        n, reach = 129, 16
        A = MRI((n, 100), half((n, 100), reach=reach))
        x = torch.full((20, n, 100), 100.0, dtype=torch.complex128)
        y = Gaussian(1.0).sample(A(x), seed=0)
        noise = Homodyne(weighting=weighting)(Problem(A, y)).x - x
        k = np.arange(n) - n // 2
        ramp = 1 + np.clip(k / (reach + 1), -1, 1)
        weights = ramp if weighting == "ramp" else 1 + np.sign(k) * (abs(k) > reach)
        window = np.where(abs(k) <= reach, np.cos(np.pi / 2 * k / (reach + 1)) ** 2, 0)
        for part, gains in ((noise.real, weights), (noise.imag, window)):
            # the estimate of a variance from noise of this spectrum has no larger deviation
            deviation = math.sqrt(2 * (gains**4).mean() / part.numel())
            assert float(part.square().mean()) == pytest.approx((gains**2).mean(), abs=6 * deviation)


class TestWhatIsFound:
    @pytest.mark.parametrize("solver", [Homodyne(), POCS()], ids=name_of)
    @pytest.mark.parametrize("side", ["positive", "negative"])
    def test_side_and_fraction_are_stated(self, solver, side):
        shape, reach = (64, 32), 16
        A = MRI(shape, half(shape, -2, side, reach=reach - (side == "negative")))
        (found,) = solver(Problem(A, A(1 + uniform(*shape) + 0j))).stats["partial_fourier"]
        assert (found.axis, found.side, found.fraction) == (-2, side, 0.75)
        assert str(found).startswith("partial Fourier along y: 48 of 64 entries (0.75), ")

    def test_k_space_that_is_padded_is_partial_as_far_as_it_reaches(self):
        k = frequencies((64, 32), -2)
        A = MRI((64, 32), (k >= -4) & (k < 16))
        (found,) = Homodyne()(Problem(A, A(1 + uniform(64, 32) + 0j))).stats["partial_fourier"]
        assert found.fraction == 20 / 32

    @pytest.mark.parametrize("solver", [Homodyne(), POCS()], ids=name_of)
    @pytest.mark.parametrize(
        "mask",
        [
            torch.ones(16, 1),
            torch.ones(15, 1),
            (torch.arange(16)[:, None] - 8).abs() < 5,
            torch.arange(16)[:, None] > 0,  # the lowest frequency has no mirror image
            torch.arange(16)[:, None] % 3 == 2,  # undersampled, from -6 to 6
            torch.arange(16)[:, None] % 4 == 0,  # undersampled, from -8 to 4
        ],
    )
    def test_symmetric_k_space_is_refused(self, solver, mask):
        A = MRI((len(mask), 6), mask)
        with pytest.raises(CapabilityError, match=r"nothing to fill\. Use ZeroFilled"):
            solver(Problem(A, torch.zeros(len(mask), 6, dtype=torch.complex64)))

    @pytest.mark.parametrize("solver", [Homodyne(), POCS()], ids=name_of)
    @pytest.mark.parametrize("first", [8, 9, 12])
    def test_a_half_without_a_middle_is_refused(self, solver, first):
        A = MRI((16, 6), torch.arange(16)[:, None] >= first)
        with pytest.raises(CapabilityError, match=r"sampled on both sides of its origin; it has .* Use CG"):
            solver(Problem(A, torch.zeros(16, 6, dtype=torch.complex64)))

    def test_homodyne_takes_one_axis(self):
        A = MRI((16, 16), half((16, 16), -2) & half((16, 16), -1))
        with pytest.raises(CapabilityError, match=r"partial along y and x\. Use POCS"):
            Homodyne()(Problem(A, torch.zeros(16, 16, dtype=torch.complex64)))

    def test_what_is_no_cartesian_k_space_is_refused(self):
        A = Radon((8, 8), angles=6)
        for solver in (Homodyne(), POCS()):
            with pytest.raises(CapabilityError, match="needs Cartesian k-space"):
                solver(Problem(A, torch.zeros(A.range.shape)))

    def test_parameters(self):
        with pytest.raises(ParameterError, match="weighting is one of ramp, step; got 'hann'"):
            Homodyne(weighting="hann")
        with pytest.raises(ParameterError, match="cg_steps"):
            POCS(cg_steps=0)

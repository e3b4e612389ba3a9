"""Training on incomplete measurements: what is predicted was not seen."""

import pytest
import torch

import invgen as ig
from invgen.core.errors import ParameterError, ShapeError
from invgen.priors.training import Splitting, Training, train_completion

NOISE, MEASURED, JUDGED = 0.2, 0.7, 0.4


def inpainting(gaussian, count):
    """Gaussian images of which some pixels were measured, with noise."""
    clean = gaussian.draw(count, seed=0)[:, 0]
    masks = torch.rand(clean.shape, generator=torch.Generator().manual_seed(1)) < MEASURED
    noisy = gaussian.noise(clean, NOISE, seed=2)
    pairs = zip(masks, noisy, strict=True)
    return [ig.Problem(ig.operators.Mask(m), m * y, ig.noise.Gaussian(NOISE)) for m, y in pairs], list(masks)


def multicoil():
    g = torch.Generator().manual_seed(0)
    mask = torch.rand(8, 6, generator=g) < 0.6
    coils = torch.randn(3, 8, 6, dtype=torch.complex64, generator=g)
    A = ig.operators.MRI((8, 6), mask, coils)
    return ig.Problem(A, A(torch.randn(8, 6, dtype=torch.complex64, generator=g))), mask


def test_a_filter_becomes_the_best_prediction_of_lost_pixels(gaussian, tmp_path):
    """Within 3 percent of the least error; no clean or complete image is ever seen.

    Pixels are seen with the chance p: their covariance with the image is p C, that among them p^2 (C + s^2),
    but p (C + s^2) of each with itself; the one that is predicted is not seen.
    """
    problems, masks = inpainting(gaussian, 400)
    loss = Splitting(problems, masks, level=1.0, batch_size=16, fraction=JUDGED)
    training = Training(steps=100, learning_rate=0.05, warmup=5, average=0.1)
    found = training(gaussian.Filter(), loss, tmp_path)

    impulse = torch.zeros(8, 8)
    impulse[0, 0] = 1
    with torch.no_grad():
        # a filter is its response to one pixel; none is symmetric but by what it learns
        kernel = found(impulse, None).roll((-1, -1), (0, 1)).flip((0, 1)).flatten().double()
    row = torch.fft.ifft2(gaussian.SPECTRUM.double()).real
    C = torch.stack([row.roll((i, j), (0, 1)).flatten() for i in range(8) for j in range(8)])
    p, D = MEASURED * (1 - JUDGED), C + NOISE**2 * torch.eye(64)
    among = p**2 * D + (p - p**2) * torch.diag(D.diag())
    others = slice(1, None)  # all but the first pixel, which is predicted
    among, across, kernel = among[others, others], p * C[0, others], kernel[others]
    least = C[0, 0] - across @ torch.linalg.solve(among, across)
    risk = C[0, 0] - 2 * kernel @ across + kernel @ among @ kernel
    assert float(least) < 0.7 * float(C[0, 0])
    assert float(risk) == pytest.approx(float(least), rel=0.03)


def test_predicted_samples_are_not_seen():
    problem, mask = multicoil()
    y = problem.measurement.clone().requires_grad_()
    loss = Splitting([ig.Problem(problem.operator, y)], [mask], level=1.0, batch_size=1)
    inputs = []

    class Watched(torch.nn.Module):
        def forward(self, x, sigma, label, extra):
            inputs.append(x)
            return x.detach().requires_grad_()

    value = loss(Watched(), torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    torch.randint(1, (1,), generator=generator)  # which problem
    seen, predicted = loss.split(mask, generator)
    assert bool((seen ^ predicted)[mask].all())
    assert not bool((seen | predicted)[~mask].any())
    (slope,) = torch.autograd.grad(inputs[0].square().sum(), y, retain_graph=True)
    assert torch.equal(slope.abs().amax(0) > 0, seen)
    (slope,) = torch.autograd.grad(value, y)
    assert torch.equal(slope.abs().amax(0) > 0, predicted)


def test_parts_are_of_the_fraction_and_the_middle_is_always_seen():
    problem, _ = multicoil()
    mask, middle = torch.ones(8, 6, dtype=torch.bool), torch.zeros(8, 6, dtype=torch.bool)
    middle[3:5, 2:4] = True
    loss = Splitting([problem], [mask], level=1.0, fraction=0.3, always_seen=middle)
    generator = torch.Generator().manual_seed(0)
    shares = torch.stack([loss.split(mask, generator)[1].float() for _ in range(500)]).mean(0)
    assert bool((shares[middle] == 0).all())
    # four standard errors
    assert torch.allclose(shares[~middle], torch.tensor(0.3), atol=4 * (0.3 * 0.7 / 500) ** 0.5)


def test_scans_of_several_coils_make_a_prior(tmp_path):
    problem, mask = multicoil()
    architecture = {"widths": (8,), "blocks": 1}
    given = {"folder": tmp_path, "architecture": architecture, "training": Training(steps=4)}
    prior = train_completion([problem], [mask], **given)
    prior.save(tmp_path / "prior.safetensors")
    prior = ig.priors.load(tmp_path / "prior.safetensors")
    back = problem.operator.H(problem.measurement)
    assert prior.image_format.value_range[1] == pytest.approx(float(back.abs().max()))
    image = prior.denoise(back, prior.sigma_range[0] * prior.image_format.value_range[1])
    assert image.shape == (8, 6)
    assert image.is_complex()


@pytest.mark.parametrize("unit", [1.0, 1e4])
def test_lost_pixels_are_filled_in_whatever_the_unit(unit, gaussian, tmp_path):
    """What a network fills in errs less than zero does, by half of what is possible at least."""
    problems, masks = inpainting(gaussian, 200)
    prior = train_completion(
        [problem.scaled(unit) for problem in problems],
        masks,
        folder=tmp_path,
        architecture={"widths": (16,), "blocks": 1},
        batch_size=16,
        training=Training(60, 1e-2, warmup=5),
    )
    truth = unit * gaussian.draw(200, seed=0)[:, 0]
    lost = ~torch.stack(masks)
    backs = torch.stack([unit * problem.measurement for problem in problems])
    filled = prior.denoise(backs, prior.sigma_range[0] * prior.image_format.value_range[1])
    error, nothing = (float((x - truth)[lost].square().mean()) for x in (filled, torch.zeros(())))
    # the best linear filter leaves 0.43 of it, by the formulas of the first test
    assert error < (1 + 0.43) / 2 * nothing


def test_what_cannot_be_split():
    problem, mask = multicoil()
    for error, given in [
        (ParameterError, {"problems": [], "masks": []}),
        (ShapeError, {"problems": [problem], "masks": []}),
        (ShapeError, {"problems": [problem], "masks": [mask[:4]]}),
        (ParameterError, {"problems": [problem], "masks": [mask.float()]}),
        (ParameterError, {"problems": [problem], "masks": [mask & False]}),
        (ParameterError, {"problems": [problem], "masks": [mask], "fraction": 1.0}),
        (ParameterError, {"problems": [problem], "masks": [mask], "level": 0.0}),
    ]:
        with pytest.raises(error):
            Splitting(**{"level": 1.0, **given})

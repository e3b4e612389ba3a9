"""What is learned of Gaussian images is Wiener's filter, of clean images and of noisy ones alike."""

import math

import pytest
import torch
from torch import nn

from invgen.core.errors import ParameterError, ShapeError
from invgen.priors.nets import EDM, UNet
from invgen.priors.training import SURE, Noise2Self, ScoreMatching, Training

MEASURED = 0.4  # level of the noise in images that were measured
QUICK = Training(steps=150, learning_rate=0.05, warmup=5, average=0.1)


def objective(kind, gaussian, sigma, **more):
    clean = gaussian.draw(500, seed=0)
    level = {"mean": math.log(sigma), "std": 0.0, "batch_size": 64, **more}
    if kind is ScoreMatching:
        return ScoreMatching(list(clean), **level)
    return kind(list(gaussian.noise(clean, MEASURED, seed=1)), noise_std=MEASURED, **level)


@pytest.mark.parametrize("std", [MEASURED, 0.8])
@pytest.mark.parametrize("kind", [ScoreMatching, SURE])
def test_a_filter_becomes_wieners(kind, std, gaussian, tmp_path):
    """Within 3 percent of the least error, at the level of the data and, with noise added, at twice that."""
    found = QUICK(gaussian.Filter(), objective(kind, gaussian, std), tmp_path)
    assert found.risk(std) < 1.03 * gaussian.least_risk(std)


def test_a_network_learns_as_well_from_noisy_images_as_from_clean_ones(gaussian, tmp_path):
    test = gaussian.draw(1000, seed=5)
    noisy, level = gaussian.noise(test, MEASURED, seed=6), torch.full((1000,), MEASURED)
    errors = []
    for kind in (ScoreMatching, SURE):
        torch.manual_seed(0)
        network = EDM(UNet(widths=(16,), blocks=1), sigma_data=1.0)
        given = objective(kind, gaussian, MEASURED, batch_size=16)
        found = Training(100, 5e-3, warmup=10)(network, given, tmp_path / kind.__name__)
        with torch.no_grad():
            errors.append(float((found(noisy, level) - test).square().mean()))
    least = gaussian.least_risk(MEASURED)
    # without a network, EDM(0) is the best filter that sees no neighbors
    alone = MEASURED**2 / (1 + MEASURED**2)
    assert errors[0] < least + 0.25 * (alone - least)
    assert errors[1] == pytest.approx(errors[0], rel=0.02)


@pytest.mark.parametrize("std", [MEASURED, 0.8])
def test_steins_loss_is_the_error_without_the_clean_image(std, gaussian):
    """Equal in the mean, within four standard errors, of a denoiser that is not linear."""

    class Shrinks(gaussian.Filter):
        def forward(self, x, sigma, label=None, extra=None):
            return super().forward(torch.tanh(x), sigma)

    found = {}
    for kind in (ScoreMatching, SURE):
        loss = objective(kind, gaussian, std)
        losses = [loss(Shrinks(), torch.Generator().manual_seed(i)) for i in range(60)]
        found[kind] = torch.stack(losses).detach()
    supervised, stein = found.values()
    error = math.sqrt((float(supervised.var()) + float(stein.var())) / 60)
    assert float(supervised.mean()) == pytest.approx(float(stein.mean()), abs=4 * error)
    assert error < 0.02 * float(supervised.mean())


def test_pixels_from_their_neighbors_alone(gaussian, tmp_path):
    """The filter that sees no pixel itself and errs least is known, and found.

    Of images z with the spectrum P = S + s^2, the best prediction of a pixel from all others has the filter
    ``1 - c / P`` and the error c, the harmonic mean of P: that of the image itself is ``c - s^2``.
    """
    total = gaussian.SPECTRUM + MEASURED**2
    least = float(1 / (1 / total).mean()) - MEASURED**2

    class Blind(gaussian.Filter):
        def forward(self, x, sigma, label=None, extra=None):
            own = torch.fft.irfft2(self.gain, s=x.shape[-2:])[0, 0]
            return super().forward(x, sigma) - own * x

    loss = objective(Noise2Self, gaussian, MEASURED, grid=8)
    found = QUICK(Blind(), loss, tmp_path)
    risk = float(((1 - gains(found)) ** 2 * gaussian.SPECTRUM + gains(found) ** 2 * MEASURED**2).mean())
    assert least > 1.1 * gaussian.least_risk(MEASURED)
    assert risk == pytest.approx(least, rel=0.05)


def gains(module):
    impulse = torch.zeros(8, 8)
    impulse[0, 0] = 1
    with torch.no_grad():
        return torch.fft.fft2(module(impulse, None)).real


def test_predicted_pixels_are_not_seen(gaussian):
    """The output at the predicted pixels of Noise2Self does not change with what was measured there."""
    seen = []

    class Watched(gaussian.Filter):
        def forward(self, x, sigma, label=None, extra=None):
            seen.append(x)
            return super().forward(x, sigma)

    measured = gaussian.draw(1, seed=0)[0].requires_grad_()
    loss = Noise2Self([measured], batch_size=3, noise_std=0.1, grid=3)
    generator = torch.Generator().manual_seed(0)
    predicted = loss._predicted(loss._noisier(generator).measured, generator)
    loss(Watched(), torch.Generator().manual_seed(0))
    (slope,) = torch.autograd.grad((seen[0] * predicted).sum(), measured, retain_graph=True)
    for k in range(3):
        (slope,) = torch.autograd.grad(seen[0][k].sum(), measured, retain_graph=True)
        # a predicted pixel changes nothing that is seen: its neighbors themselves and their means
        assert bool((slope[0][predicted[k, 0]] == 0).all())
        assert bool((slope[0][~predicted[k, 0]] != 0).all())


def test_levels_are_those_of_the_data_and_above(gaussian):
    loss = objective(SURE, gaussian, MEASURED, mean=-1.2, std=1.2)
    found = loss._noisier(torch.Generator().manual_seed(0))
    assert float(found.sigma.min()) == pytest.approx(MEASURED)
    assert float(found.sigma.max()) > 1
    added = (found.noisier - found.measured).square().flatten(1).mean(1).sqrt()
    assert torch.allclose(added, (found.sigma**2 - MEASURED**2).clamp(min=0).sqrt(), rtol=0.4, atol=1e-3)


def test_noise_without_a_level():
    images = [torch.zeros(1, 4, 4)]
    with pytest.raises(ParameterError, match="noise_std"):
        SURE(images)
    with pytest.raises(ShapeError, match="grid"):
        Noise2Self(images, noise_std=0.1, grid=5)


class Watched(nn.Module):
    """Returns what it gets, and keeps the noise levels."""

    def forward(self, x, sigma, label=None, extra=None):
        self.seen = sigma
        return x

    def weight(self, sigma):
        return torch.ones_like(sigma)


def test_levels_stay_in_their_range(gaussian):
    """Those within are the same as without; the error of what gets no denoising is the noise."""
    free, bounded = Watched(), Watched()
    for module, more in ((free, {}), (bounded, {"sigma_range": (0.3, 0.6)})):
        loss = objective(ScoreMatching, gaussian, 0.5, std=1.0, **more)(
            module, torch.Generator().manual_seed(0)
        )
    assert torch.equal(bounded.seen, free.seen.clamp(0.3, 0.6))
    assert bounded.seen.unique().numel() > 3
    assert float(loss) == pytest.approx(float(bounded.seen.square().mean()), rel=0.1)
    for pair in ((0.6, 0.3), (-0.1, 0.3), (math.nan, 1.0)):
        with pytest.raises(ParameterError, match="sigma_range is a pair"):
            objective(ScoreMatching, gaussian, 0.5, sigma_range=pair)


def test_a_network_may_get_a_level_that_is_wrong(gaussian):
    """Within the stated error, whatever the level: the noise itself stays that of the level."""

    certain, misled = Watched(), Watched()
    losses = [
        objective(ScoreMatching, gaussian, 0.5, uncertainty=u)(module, torch.Generator().manual_seed(0))
        for module, u in ((certain, 0.0), (misled, 0.3))
    ]
    assert torch.equal(*losses)  # of what does not depend on the level
    errors = (misled.seen / certain.seen).log()
    assert 0.2 < float(errors.abs().max()) <= 0.3 + 1e-6
    assert abs(float(errors.mean())) < 4 * 0.3 / (3 * len(errors)) ** 0.5

"""What batches are drawn from images, and which Gaussian denoiser they teach."""

import math

import pytest
import torch

from invgen.core.errors import DtypeError, ParameterError, ShapeError
from invgen.priors.nets.positions import positions
from invgen.priors.training import Batches, random_phases


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_patches_lie_anywhere_in_any_image_as_often_as_it_has_pixels():
    small, large = torch.arange(16.0).reshape(1, 4, 4), 100 + torch.arange(48.0).reshape(1, 6, 8)
    found = Batches([small, large], batch_size=4000, patch=4).draw(generator()).images
    corners = found[:, 0, 0, 0]
    assert set(corners.tolist()) == {0.0} | {100.0 + 8 * i + j for i in range(3) for j in range(5)}
    # of 64 pixels 48 are the large image's; four standard errors
    assert float((corners >= 100).float().mean()) == pytest.approx(
        0.75, abs=4 * math.sqrt(0.75 * 0.25 / 4000)
    )


@pytest.mark.parametrize("shape", [(5, 5), (4, 6)])
def test_positions_turn_with_their_images(shape):
    """An image that is its own positions, as content and as place: both are rotated alike."""
    x = positions(*shape, torch.empty(0))
    patch = 3 if shape[0] == shape[1] else None
    batch = Batches([x], batch_size=64, patch=patch, positioned=True, flips=True).draw(generator())
    turned = set()
    for image, place in zip(batch.images, batch.extra, strict=True):
        # where a pixel was, by where it is: one of the eight symmetries of the square
        fits = [
            (s, t, swap)
            for s in (-1, 1) for t in (-1, 1) for swap in (False, True)
            if torch.allclose(torch.stack([s * place[int(swap)], t * place[1 - int(swap)]]), image, atol=1e-6)
        ]  # fmt: skip
        assert fits
        turned.update(fits if len(fits) == 1 else [])
        # rows grow downwards and columns to the right, however the image was turned
        assert bool((place[0].diff(dim=0) > 0).all() and (place[1].diff(dim=1) > 0).all())
    assert len(turned) == (8 if patch else 4)


def test_each_of_the_eight_turns_comes_as_often():
    x = torch.rand(1, 3, 3, generator=generator())
    found = Batches([x], batch_size=4000, flips=True).draw(generator()).images
    _, counts = found.flatten(1).unique(dim=0, return_counts=True)
    assert len(counts) == 8
    assert bool(((counts - 500).abs() < 4 * math.sqrt(4000 / 8 * 7 / 8)).all())


def test_images_keep_their_labels_but_one_in_ten():
    images = [torch.full((1, 2, 2), float(k)) for k in range(3)]
    batch = Batches(images, batch_size=5000, labels=torch.arange(3)).draw(generator())
    known = batch.label >= 0
    assert torch.equal(batch.label[known].float(), batch.images[known][:, 0, 0, 0])
    assert float((~known).float().mean()) == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / 5000))


@pytest.mark.parametrize("smooth", [False, True])
def test_phases_are_uniform_and_leave_the_modulus(smooth):
    images = torch.randn(2000, 2, 4, 6, generator=generator())
    found = random_phases(images, generator(1), smooth)
    before, after = (torch.complex(*x.chunk(2, dim=1)) for x in (images, found))
    assert torch.allclose(after.abs(), before.abs(), atol=1e-5)
    turn = after / before
    turn = turn / turn.abs()
    assert float(turn[:, 0, 1, 2].mean().abs()) < 4 / math.sqrt(2000)
    across = (turn[..., 1:] * turn[..., :-1].conj()).angle().abs()
    assert float(across.max()) < math.pi
    assert (float(across.median()) > 0.05) == smooth


def test_what_is_no_collection_of_images():
    one = torch.zeros(1, 4, 4)
    for error, given in [
        (ParameterError, {"images": []}),
        (ShapeError, {"images": [torch.zeros(4, 4)]}),
        (ShapeError, {"images": [one, torch.zeros(1, 4, 5)]}),
        (ShapeError, {"images": [one, torch.zeros(2, 4, 4)]}),
        (ShapeError, {"images": [one], "patch": 5}),
        (ShapeError, {"images": [one], "labels": torch.zeros(2, dtype=torch.int64)}),
        (ShapeError, {"images": [one], "labels": torch.tensor([-1])}),
        (DtypeError, {"images": [one], "labels": torch.zeros(1)}),
        (ParameterError, {"images": [one], "batch_size": 0}),
    ]:
        with pytest.raises(error):
            Batches(**given)

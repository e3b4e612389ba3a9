"""Sketches of training data: images are found again in other data, and only these."""

import base64

import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.errors import FileError
from invgen.priors import ImageFormat
from invgen.priors.sketch import TrainingData, image_hash

UNIT = ImageFormat((4, 5), field="real", value_range=(0.0, 1.0))


def images(n, seed=0):
    levels = torch.randint(256, (n, 4, 5), generator=torch.Generator().manual_seed(seed))
    return levels.float() / 255


def test_all_images_of_a_small_set_are_found_and_no_others():
    known = TrainingData.of(images(300), UNIT)
    assert known.count == 300
    both = torch.cat([images(300)[::3], images(50, seed=1)])
    assert known.overlap(both, UNIT) == (100, 150)
    assert known.overlap(images(300)[:4].repeat(5, 1, 1), UNIT) == (4, 4)  # each image once
    assert known.overlap([], UNIT) == (0, 0)


def test_of_a_large_set_a_random_part_is_tested_exactly():
    """6,000 images, of which 2,048 hashes are kept: of others about a third is recognized."""
    learned = images(6000)
    known = TrainingData.of(learned, UNIT)
    assert (known.count, len(known.hashes)) == (6000, 2048)
    found, tested = known.overlap(torch.cat([learned[:900], images(900, seed=1)]), UNIT)
    expected, deviation = 1800 * 2048 / 6000, (1800 * 2048 / 6000 * (1 - 2048 / 6000)) ** 0.5
    assert abs(tested - expected) < 4 * deviation
    assert found == known.overlap(learned[:900], UNIT).tested
    assert known.overlap(images(900, seed=1), UNIT).found == 0


def test_hashes_are_of_the_image_in_8_bits_whatever_holds_it():
    x = images(1)[0]
    same = (x.double(), x.numpy(), x + 1e-4, np.asfortranarray(x.numpy()))
    assert {image_hash(each, UNIT) for each in same} == {image_hash(x, UNIT)}
    others = (x.flip(0), x[:, :4], x.reshape(5, 4), x[None], x + 1 / 255)
    assert len({image_hash(each, UNIT) for each in (x, *others)}) == 6
    wide = ImageFormat((4, 5), field="real", value_range=(-1000.0, 3000.0))
    assert image_hash(4000 * x - 1000, wide) == image_hash(x, UNIT)
    # a training draws phases anew: the modulus counts
    turning = ImageFormat((4, 5), field="complex", value_range=(0.0, 1.0))
    assert image_hash(x * torch.exp(torch.tensor(1.3j)), turning) == image_hash(x, turning)


def test_a_header_holds_it():
    known = TrainingData.of(images(3000), UNIT)
    assert TrainingData.from_header(known.header()) == known
    assert len(known.header()["hashes"]) == 2048 * 8


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entry: None,
        lambda entry: {},
        lambda entry: entry | {"count": -1},
        lambda entry: entry | {"count": 41},
        lambda entry: entry | {"hashes": "no base64!"},
        lambda entry: entry | {"hashes": 3},
        lambda entry: entry | {"hashes": base64.b64encode(bytes(240)).decode()},
    ],
)
def test_other_entries_are_refused(spoil):
    entry = TrainingData.of(images(40), UNIT).header()
    with pytest.raises(FileError, match="training_data"):
        TrainingData.from_header(spoil(entry))


def test_a_table_of_contexts_knows_what_it_has_counted(tmp_path):
    prior = ig.priors.ContextTable.fit(images(40))
    prior.save(tmp_path / "prior.safetensors")
    card = ig.priors.load(tmp_path / "prior.safetensors").card
    assert TrainingData.from_header(card["training_data"]).overlap(images(40)[:7], UNIT) == (7, 7)

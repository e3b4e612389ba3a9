"""The codebook: closest vectors, moving averages, and codes that come back to life."""

import torch

from invgen.priors.nets.vector_quantization import VectorQuantizedAutoencoder, VectorQuantizer

from ...contracts.numbers import normal


def quantizer(codebook):
    made = VectorQuantizer(*codebook.shape).to(codebook)
    made.codebook.copy_(codebook)
    return made


def test_codes_are_those_of_the_closest_vectors():
    book, features = normal(7, 3), normal(2, 3, 4, 5, seed=1)
    rows = features.permute(0, 2, 3, 1)
    expected = torch.cdist(rows.reshape(-1, 3), book).argmin(1).reshape(2, 4, 5)
    made = quantizer(book)
    assert torch.equal(made.nearest(features), expected)
    assert torch.equal(made.lookup(expected).permute(0, 2, 3, 1), book[expected])
    assert torch.equal(made.nearest(made.lookup(expected)), expected)


#: Two clusters of three and of one feature, each ``(1, 2, 1, 4)``, around the vectors (0, 0) and (10, 0).
FEATURES = torch.tensor([[0.0, 1.0, 2.0, 9.0], [0.0, 3.0, 0.0, 1.0]]).double()[None, :, None]
BOOK = torch.tensor([[0.0, 0.0], [10.0, 0.0]]).double()


def test_the_first_step_is_that_of_k_means():
    """Averages begin at zero: their quotient is the mean of the features closest to each vector."""
    made = quantizer(BOOK)
    made.learn(FEATURES, made.nearest(FEATURES), torch.zeros(2))
    torch.testing.assert_close(made.codebook, torch.tensor([[1.0, 1.0], [9.0, 1.0]]).double())


def test_later_steps_are_moving_averages_of_counts_and_sums():
    """Appendix A.1, eq. 6 to 8, by hand."""
    made = quantizer(BOOK)
    made.counts.copy_(torch.tensor([5.0, 2.0]))
    made.sums.copy_(torch.tensor([[1.0, 0.0], [20.0, 4.0]]))
    made.learn(FEATURES, made.nearest(FEATURES), torch.zeros(2))
    counts = torch.tensor([0.99 * 5 + 0.01 * 3, 0.99 * 2 + 0.01 * 1], dtype=torch.float64)
    sums = torch.tensor([[0.99 + 0.03, 0.03], [0.99 * 20 + 0.09, 0.99 * 4 + 0.01]], dtype=torch.float64)
    torch.testing.assert_close(made.counts, counts)
    torch.testing.assert_close(made.codebook, sums / counts[:, None])


def test_dead_codes_start_again_from_features_and_then_live():
    """Of three vectors one is far from everything: it becomes the feature that its uniform number chooses."""
    made = quantizer(torch.cat([BOOK, torch.tensor([[0.0, 1000.0]]).double()]))
    made.learn(FEATURES, made.nearest(FEATURES), torch.tensor([0.0, 0.0, 0.6]))
    torch.testing.assert_close(made.codebook[2], torch.tensor([2.0, 0.0]).double())
    torch.testing.assert_close(made.counts[2], torch.tensor(0.04 / 3).double())
    codes = made.nearest(FEATURES)
    assert bool((codes == 2).any())
    made.learn(FEATURES, codes, torch.tensor([0.9, 0.9, 0.9]))
    assert (made.codebook[2] - torch.tensor([2.0, 0.0]).double()).norm() < 1


def test_all_codes_of_a_new_codebook_come_to_be_used():
    """Features in 16 clusters, of which the random codebook is far."""
    centers = 30 + 5 * normal(16, 2, dtype=torch.float32)
    features = (centers.repeat(20, 1) + 0.1 * normal(320, 2, seed=1, dtype=torch.float32)).mT[None, :, None]
    made, generator = VectorQuantizer(16, 2), torch.Generator().manual_seed(0)
    for _ in range(300):
        made.learn(features, made.nearest(features), torch.rand(16, generator=generator))
    error = (made.lookup(made.nearest(features)) - features).square().sum(1).mean().sqrt()
    assert len(made.nearest(features).unique()) == 16
    # some clusters may share a vector, and others have two
    assert error < 3


def network():
    return VectorQuantizedAutoencoder((1, 4, 4), 1, codes=5, code_width=3, widths=(8,), blocks=1).double()


def test_the_gradient_of_the_features_is_that_of_the_vectors():
    """Straight through: what the decoder's loss asks of its input is what the encoder's output gets."""
    made, images = network(), normal(2, 1, 4, 4)
    features, vectors, _, outputs = made(images)
    (through,) = torch.autograd.grad(outputs.square().sum(), features)
    at = vectors.detach().requires_grad_()
    (expected,) = torch.autograd.grad(made.decoder(at).square().sum(), at)
    torch.testing.assert_close(through, expected)


def test_the_codebook_moves_in_training_and_with_random_numbers_only():
    images, uniform = normal(2, 1, 4, 4), torch.rand(5)
    for training, numbers, moves in ((True, uniform, True), (True, None, False), (False, uniform, False)):
        made = network().train(training)
        before = made.quantizer.codebook.clone()
        made(images, numbers)
        assert torch.equal(before, made.quantizer.codebook) is not moves


def test_in_half_precision_codes_and_averages_stay_exact():
    """Distances of bfloat16 products would confuse vectors that are a percent apart."""
    book = 100 + 0.5 * normal(8, 4, dtype=torch.float32)
    made, features = quantizer(book), book.mT[None, :, None]
    with torch.autocast("cpu", torch.bfloat16):
        codes = made.nearest(features)
        made.learn(features, codes, torch.zeros(8))
    assert torch.equal(codes.flatten(), torch.arange(8))
    torch.testing.assert_close(made.codebook, book)

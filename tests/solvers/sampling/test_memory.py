"""Samples are drawn as many at a time as memory allows, and fewer where it runs out."""

from dataclasses import replace

import pytest
import torch

import invgen as ig
from invgen.core.errors import FileError, MemoryLimitError
from invgen.priors import Gaussian
from invgen.priors.base import Denoising
from invgen.priors.nets import following
from invgen.solvers import DDS, TwistedSMC

SHAPE = (3, 4)


class Limited(Denoising):
    """A Gaussian whose denoiser has memory for some images only."""

    incidental = ("most", "counts")

    def __init__(self, most):
        self.most, self.counts = most, []
        self.exact = Gaussian(torch.full(SHAPE, 0.5, dtype=torch.float64), 0.2)

    def _denoise(self, x, sigma):
        self.counts.append(x[..., 0, 0].numel())
        if self.counts[-1] > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.exact.denoise(x, sigma.reshape(sigma.shape[:-2]).expand(x.shape[:-2]))


def problem():
    y = torch.linspace(0, 1, 12, dtype=torch.float64).reshape(SHAPE)
    return ig.Problem(ig.operators.Identity(SHAPE), y, noise=ig.noise.Gaussian(0.1))


def dds(most, **settings):
    return DDS(Limited(most), iterations=5, sigma_range=(0.02, 2.0), **settings)


def test_where_memory_runs_out_a_chunk_is_halved_and_the_samples_are_the_same():
    solver, whole = dds(3), dds(99)(problem(), samples=8, seed=4)
    found = solver(problem(), samples=8, seed=4)
    torch.testing.assert_close(found.samples, whole.samples, rtol=1e-12, atol=1e-12)
    # eight fail, then four, then two at a time
    assert solver.prior.counts == [8, 4] + [2] * 5 * 4
    assert found.history["residual"].shape == whole.history["residual"].shape


def test_what_was_drawn_before_is_kept():
    prior = Limited(4)
    solver = DDS(prior, iterations=5, sigma_range=(0.02, 2.0), chunk_size=4)

    def shrink(iteration, state):  # another program takes memory, after the first chunk
        prior.most = 4 if len(prior.counts) < 5 else 2

    found = solver(problem(), samples=8, seed=0, callback=shrink)
    whole = dds(99)(problem(), samples=8, seed=0)
    torch.testing.assert_close(found.samples, whole.samples, rtol=1e-12, atol=1e-12)
    assert prior.counts == [4] * 6 + [2] * 5 * 2


def test_without_memory_for_one_sample_that_is_said():
    with pytest.raises(MemoryLimitError, match=r"out of memory.*half precision"):
        dds(0)(problem(), samples=3, seed=0)


def test_particles_that_are_drawn_together_are_not_split():
    solver = TwistedSMC(Limited(2), iterations=5, particles=4, sigma_range=(0.02, 2.0))
    with pytest.raises(MemoryLimitError, match="fewer particles"):
        solver(problem(), samples=4, seed=0)
    assert len(solver.prior.counts) == 1


def test_a_run_goes_on_in_the_chunks_that_it_began_with(tmp_path):
    """However much memory there is now: chunks follow from what is free."""
    path, whole = tmp_path / "state", dds(99)(problem(), samples=7, seed=0)

    def interrupt(iteration, state):
        if len(state.x) == 1:  # the third chunk, of 3 + 3 + 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dds(99, chunk_size=3)(problem(), samples=7, seed=0, checkpoint=path, callback=interrupt)
    assert len(list(tmp_path.iterdir())) == 3
    solver = dds(99)
    larger = replace(solver, chunk_size=3)  # the setting is the same, what is planned differs
    object.__setattr__(larger, "chunks", lambda x, samples, seed: [range(seed, seed + samples)])
    found = larger(problem(), samples=7, seed=0, checkpoint=path)
    torch.testing.assert_close(found.samples, whole.samples, rtol=1e-12, atol=1e-12)
    assert not list(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        dds(99, chunk_size=3)(problem(), samples=7, seed=0, checkpoint=path, callback=interrupt)
    with pytest.raises(FileError, match="another solver, prior or problem"):
        dds(99, chunk_size=3)(problem(), samples=7, seed=1, checkpoint=path)


def test_a_checkpoint_of_a_chunk_that_memory_was_too_small_for_is_replaced(tmp_path):
    path, whole = tmp_path / "state", dds(99)(problem(), samples=4, seed=0)

    def interrupt(iteration, state):
        if iteration == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dds(99)(problem(), samples=4, seed=0, checkpoint=path, callback=interrupt)
    solver = dds(99)
    solver.prior.most = 2
    found = solver(problem(), samples=4, seed=0, checkpoint=path)
    torch.testing.assert_close(found.samples, whole.samples, rtol=1e-12, atol=1e-12)


def test_networks_see_fewer_images_where_memory_runs_out():
    counts = []

    def network(x, levels):
        counts.append(len(x))
        if len(x) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return x * levels[:, None]

    x, levels = torch.rand(10, 5), torch.rand(10)
    assert torch.equal(following.in_parts(network, x, levels), x * levels[:, None])
    assert counts == [10, 5, 2, 2, 2, 2, 2]
    with pytest.raises(torch.OutOfMemoryError):
        following.in_parts(lambda x: network(torch.cat([x] * 4), levels[:4]), x)


def test_a_gpu_s_memory_is_shared_among_samples(monkeypatch):
    """By what one sample takes, measured, and 60 % of what is free; no fewer than elsewhere."""

    class Small(DDS):
        memory = 12  # one sample at a time

    solver = Small(Limited(99), iterations=5, sigma_range=(0.02, 2.0))
    one = 12 * 8 * 16  # images that a data step takes
    monkeypatch.setattr("invgen.solvers.sampling.base.peak_of", lambda call, device: call() or 1000 - one)
    monkeypatch.setattr("invgen.core.memory.free_device_memory", lambda device: 5000)
    x = OnGPU(torch.zeros(SHAPE, dtype=torch.float64))
    assert [len(seeds) for seeds in solver.chunks(x, 7, seed=0)] == [3, 3, 1]
    assert solver.prior.counts == [1]
    assert [len(seeds) for seeds in solver.chunks(x, 1, seed=0)] == [1]
    assert len(solver.prior.counts) == 1  # nothing to plan
    assert len(replace(solver, chunk_size=7).chunks(x, 7, seed=0)) == 1


class OnGPU(torch.Tensor):
    """A tensor that says it is on a GPU."""

    @staticmethod
    def __new__(cls, x):
        return x.as_subclass(cls)

    @property
    def device(self):
        return torch.device("cuda")

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), options=None):
        with torch._C.DisableTorchFunctionSubclass():
            return function(*arguments, **(options or {}))

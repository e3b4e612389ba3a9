"""How networks are evaluated: options that leave results what they are, or change them by a precision."""

import copy
import pickle

import pytest
import torch
from torch import nn

import invgen as ig
from invgen import priors
from invgen.core.errors import CapabilityError, ParameterError
from invgen.core.fingerprint import fingerprint
from invgen.priors.nets import EDM, Pyramid, UNet
from invgen.priors.nets.evaluation import Evaluated, Evaluation, Graphs

HALVES = ["bfloat16", "float16"]
CPU = torch.device("cpu")


def unet(inputs=1, outputs=1):
    """A small network whose last layers are not zero, as they are before training."""
    torch.manual_seed(0)
    network = UNet(inputs, outputs, widths=(8, 16), blocks=1, attention=(1,))
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    return network


def diffusion():
    return priors.Diffusion(EDM(unet(), 0.5), sigma_range=(0.01, 10.0))


def noisy(sigma, *shape, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return 0.5 + sigma * torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


class Spy(nn.Module):
    """A network that notes the precision and the layout of what its layers take."""

    def __init__(self):
        super().__init__()
        self.embedding, self.convolution = nn.Linear(1, 4), nn.Conv2d(1, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 1, 1)
        self.seen = {}

    def forward(self, x, sigma):
        shift = self.embedding(sigma[:, None])
        self.seen["embedding"] = shift.dtype
        found = self.convolution(x)
        self.seen["convolution"] = found.dtype
        self.seen["layout"] = x.is_contiguous(memory_format=torch.channels_last)
        return self.last(found + shift[..., None, None])


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_convolutions_are_in_half_precision_and_the_noise_level_is_not(half, dtype):
    prior = priors.NetworkDenoiser(Spy(), (0.0, 1.0), channels=1).evaluated(half)
    x = noisy(0.1, 2, 1, 8, 8, dtype=dtype)
    assert prior.denoise(x, 0.1).dtype == dtype
    seen = prior._network.evaluating(x).network.seen
    assert seen["convolution"] == getattr(torch, half)
    assert seen["embedding"] == torch.float32


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("sigma", [0.01, 0.3, 10.0])
def test_around_the_network_nothing_is_rounded(half, sigma):
    """D = c_skip x + c_out F(c_in x), Karras et al. (2022), eq. 7: the error of F counts by c_out alone."""
    prior, x = diffusion(), noisy(sigma, 2, 16, 16)
    seen, level = (2 * x - 1)[:, None], torch.full((2, 1, 1, 1), 2 * sigma)
    total = level.square() + 0.25
    network = Evaluated(copy.deepcopy(prior._network.module.network), Evaluation(half), CPU)
    with torch.no_grad():
        F = network(total.rsqrt() * seen, level.flatten().log() / 4, None)
    expected = 0.25 / total * seen + level * 0.5 * total.rsqrt() * F
    torch.testing.assert_close(prior.evaluated(half).denoise(x, sigma), (expected[:, 0] + 1) / 2)
    assert not torch.equal(prior.evaluated(half).denoise(x, sigma), prior.denoise(x, sigma))


@pytest.mark.parametrize("half", HALVES)
def test_a_trained_prior_is_more_precise_than_a_rounded_image(half):
    prior, x = priors.load("ct-phantoms"), 0.25 + noisy(0.002, 1, 48, 48)
    error = prior.evaluated(half).denoise(x, 0.002) - prior.denoise(x, 0.002)
    rounding = x.to(getattr(torch, half)).float() - x
    assert 0 < error.square().mean() < rounding.square().mean() / 4


@pytest.mark.parametrize("options", [{"precision": half} for half in HALVES] + [{"channels_last": True}])
def test_derivatives_go_through(options):
    """``v -> J.H v`` against that of full precision, to the digits of the half."""
    prior, x = diffusion(), noisy(0.3, 2, 16, 16)
    v, gradients = noisy(1.0, 2, 16, 16), []
    for each in (prior, prior.evaluated(**options)):
        at = x.clone().requires_grad_()
        gradients.append(torch.autograd.grad(each.denoise(at, 0.3), at, v)[0])
    assert gradients[1].dtype == torch.float32
    error = (gradients[1] - gradients[0]).norm() / gradients[0].norm()
    digits = getattr(torch, options.get("precision") or "float32")
    assert error < 16 * torch.finfo(digits).eps  # layers, one after another


class Posterior(nn.Module):
    """The posterior mean of independent pixels of mean 0 and variance 0.04, by a convolution."""

    def __init__(self):
        super().__init__()
        self.same = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.ones_(self.same.weight)

    def forward(self, x, sigma, label=None, extra=None):
        lost = sigma.square() / (0.04 + sigma.square())
        return x - lost[:, None, None, None] * self.same(x)


@pytest.mark.parametrize("solver", [ig.solvers.DPS, ig.solvers.PiGDM, ig.solvers.DDS])
def test_samplers_take_such_priors(solver):
    """Samples of one seed differ by rounding, which a Gaussian does not amplify."""
    problem = ig.Problem(ig.operators.Identity((8, 8)), noisy(0.1, 8, 8), noise=ig.noise.Gaussian(0.1))
    prior = priors.Diffusion(Posterior(), sigma_data=0.2, sigma_range=(0.01, 5.0))
    exact, half = (
        solver(each, iterations=20)(problem, samples=2, seed=0).samples
        for each in (prior, prior.evaluated("bfloat16", channels_last=True))
    )
    deviation = (0.1**-2 + 0.1**-2) ** -0.5  # of the posterior: likelihood and prior weigh the same
    assert 0 < (half - exact).square().mean().sqrt() < deviation / 10


def test_channels_are_innermost():
    prior = priors.NetworkDenoiser(Spy(), (0.0, 1.0), channels=1)
    three = nn.Conv2d(3, 3, 3, padding=1)
    x = noisy(0.1, 2, 3, 8, 8)
    plain = priors.NetworkDenoiser(three, (0.0, 1.0), noise="none", channels=3)
    torch.testing.assert_close(plain.evaluated(channels_last=True).denoise(x, 0.1), plain.denoise(x, 0.1))
    weight = plain.evaluated(channels_last=True)._network.evaluating(x).network.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert prior.evaluated(channels_last=True).denoise(x[:, :1], 0.1).shape == (2, 1, 8, 8)


@pytest.mark.parametrize("name", ["digits-gan", "digits-vae"])
def test_generators_decode_in_half_precision(name):
    prior = priors.load(name)
    z = noisy(1.0, 2, *prior.latent_shape)
    plain, half = prior.decode(z), prior.evaluated("bfloat16").decode(z)
    assert half.dtype == plain.dtype
    assert 0 < (half - plain).abs().max() < 16 * torch.finfo(torch.bfloat16).eps
    # layers that solvers move, or tune, stay as they are
    weights = prior.evaluated("bfloat16").weights(z)
    assert all(torch.equal(value, weights[key]) for key, value in prior.weights(z).items())


def test_one_network_serves_all_grids_of_a_pyramid():
    network = Pyramid(unet(), 0.5, ((2, 0.4), (4, 1.2)))
    prior = priors.Diffusion(network, sigma_range=(0.01, 10.0)).evaluated("bfloat16")
    sigma = torch.tensor([0.1, 1.0, 5.0])
    x = noisy(1.0, 3, 16, 16)
    prior.denoise(x, sigma)
    inside = prior._network.evaluating(x)
    assert len({id(each.network) for each in inside.denoisers}) == 1
    assert isinstance(inside.network, Evaluated)


def test_a_prior_is_another_one_by_its_precision_alone(tmp_path):
    prior = diffusion()
    fast = prior.evaluated(channels_last=True, compile=True, graphs=True)
    half = prior.evaluated("bfloat16")
    assert fingerprint(fast) == fingerprint(prior)
    assert len({fingerprint(each) for each in (prior, half, prior.evaluated("float16"))}) == 3
    assert fingerprint(pickle.loads(pickle.dumps(half))) == fingerprint(half)
    assert fast._network.module is prior._network.module
    x = noisy(0.3, 2, 16, 16)
    assert torch.equal(half.evaluated().denoise(x, 0.3), prior.denoise(x, 0.3))
    for name, each in {"plain": prior, "half": half}.items():
        each.save(tmp_path / name)
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "half").read_bytes()


def test_what_cannot_be_is_refused():
    prior, x = diffusion(), noisy(0.3, 2, 16, 16)
    with pytest.raises(ParameterError, match="bfloat16, float16"):
        prior.evaluated("float8")
    with pytest.raises(ParameterError, match="compile is True or False"):
        prior.evaluated(compile="max")
    with pytest.raises(CapabilityError, match="CUDA devices, and this is the cpu"):
        prior.evaluated(graphs=True).denoise(x, 0.3)
    function = priors.from_module(lambda z: z.reshape(-1, 4, 4), (16,), image_shape=(4, 4))
    with pytest.raises(CapabilityError, match="by a function"):
        function.evaluated("bfloat16")
    assert not hasattr(priors.load("digits-flow"), "evaluated")  # a density


class Recorder:
    """In place of CUDA: the call is evaluated again on the tensors that were recorded."""

    def __init__(self):
        self.count = 0

    def __call__(self, call, inputs):
        self.count += 1
        found = call(*inputs)
        return lambda: found.copy_(call(*inputs)), found


def test_a_graph_is_recorded_once_for_each_shape_and_replayed_on_new_values():
    recorder = Recorder()
    graphs = Graphs(lambda x, scale, label: x * scale[:, None], recorder)
    cases = [(torch.rand(n, 3), torch.rand(n), None) for n in (2, 3, 2, 3, 2)]
    found = [graphs(*case) for case in cases]
    for (x, scale, _), each in zip(cases, found, strict=True):
        assert torch.equal(each, x * scale[:, None])  # no later replay has changed it
    assert recorder.count == 2
    assert torch.equal(graphs(cases[0][0].t().contiguous().t(), cases[0][1], None), found[0])


def test_few_graphs_are_kept_and_the_last_ones_used():
    recorder = Recorder()
    graphs = Graphs(torch.neg, recorder)
    for n in (*range(1, 9), 1, 9, 1):  # nine shapes, of which eight are kept
        graphs(torch.zeros(n))
    assert recorder.count == 9
    graphs(torch.zeros(2))
    assert recorder.count == 10


def test_derivatives_are_taken_without_graphs(monkeypatch):
    network = Evaluated(nn.Conv2d(1, 1, 3, padding=1), Evaluation(), CPU)
    recorder = Recorder()
    network._graphs = Graphs(network._call, recorder)
    x = noisy(1.0, 2, 1, 8, 8).requires_grad_()
    torch.autograd.grad(network(x).sum(), x)
    assert recorder.count == 0
    with torch.no_grad():
        assert torch.equal(network(x), network.network(x))
    assert recorder.count == 1


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x, sigma):
        return x - sigma[:, None, None, None] * torch.tanh(self.convolution(x))


@pytest.mark.slow
def test_a_compiled_network_is_the_network_to_rounding():
    prior = priors.NetworkDenoiser(Tiny(), (0.0, 1.0))
    compiled = prior.evaluated(compile=True)
    for count in (3, 2, 5, 1):
        x = noisy(0.3, count, 16, 16)
        torch.testing.assert_close(compiled.denoise(x, 0.3), prior.denoise(x, 0.3))
    gradients = []
    for each in (prior, compiled):
        at = x.clone().requires_grad_()
        found = each.denoise(at, 0.3)
        # twice, as methods that solve with the Jacobian do
        pulled = [torch.autograd.grad(found, at, v, retain_graph=True)[0] for v in (x, x.square())]
        gradients.append(torch.stack(pulled))
    torch.testing.assert_close(*gradients)


@pytest.mark.slow
def test_without_a_compiler_that_is_said(monkeypatch):
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("/nonexistent/compiler",))
    torch.compiler.reset()
    prior = priors.NetworkDenoiser(Tiny(), (0.0, 1.0)).evaluated(compile=True)
    with pytest.raises(CapabilityError, match=r"C\+\+ compiler"):
        prior.denoise(noisy(0.3, 4, 16, 16), 0.3)


class BackendError(Exception):
    __module__ = "torch._inductor.exc"


@pytest.mark.parametrize("error", [BackendError("no g++"), ValueError("of the network")])
def test_errors_of_the_compiler_are_told_from_those_of_the_network(monkeypatch, error):
    def failing(*inputs):
        raise error

    monkeypatch.setattr(torch, "compile", lambda call: failing)
    prior = priors.NetworkDenoiser(Tiny(), (0.0, 1.0)).evaluated(compile=True)
    expected = CapabilityError if isinstance(error, BackendError) else ValueError
    with pytest.raises(expected, match=str(error).replace("+", r"\+")):
        prior.denoise(noisy(0.3, 4, 16, 16), 0.3)

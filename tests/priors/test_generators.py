"""Generators of any network: shapes, checks, latent variables, files, and published weights."""

import copy
import math

import pytest
import torch
from torch import nn

import invgen as ig
from invgen.core.errors import (
    CapabilityError,
    DataError,
    DtypeError,
    FileError,
    ParameterError,
    ShapeError,
)
from invgen.priors import Density, Generator, ImageFormat, ModuleGenerator, Sampler, from_module
from invgen.priors.base import require
from invgen.priors.files import checkpoints
from invgen.priors.nets import MLP
from invgen.priors.trainable import seeded

from ..contracts.numbers import normal


def mlp(*widths, **options):
    return seeded(MLP, 0, widths, **options)


class Picture(nn.Module):
    """Latent variables as images of a given shape."""

    def __init__(self, *shape, latent=5):
        super().__init__()
        self.shape, self.rows = shape, mlp(latent, 16, math.prod(shape), activation="tanh")

    def forward(self, z):
        return self.rows(z).reshape(len(z), *self.shape)


@pytest.mark.parametrize(
    ("returned", "image"),
    [((1, 6, 7), (6, 7)), ((6, 7), (6, 7)), ((3, 6, 7), (3, 6, 7))],
    ids=["one channel", "no channel", "color"],
)
def test_the_shape_of_images_is_found(returned, image):
    network = Picture(*returned)
    prior = from_module(network, (5,), value_range=(0.0, 2.0))
    assert prior.image_format == ImageFormat(image, 3 if len(image) == 3 else None, "real", (0.0, 2.0))
    assert isinstance(prior, Generator)
    assert isinstance(prior, Sampler)
    z = normal(2, 4, 5, dtype=torch.float32)
    with torch.no_grad():
        expected = network(z.reshape(8, 5)).reshape(2, 4, *image)
    torch.testing.assert_close(prior.decode(z), expected)
    assert prior.decode(z[0, 0]).shape == image
    assert prior.decode(z[:0]).shape == (0, 4, *image)


def test_rows_are_images_of_the_shape_that_is_given():
    network = mlp(5, 8, 42)
    prior = from_module(network, (5,), image_shape=(6, 7))
    z = normal(3, 5, dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(prior.decode(z), network(z).reshape(3, 6, 7))
    color = from_module(mlp(5, 8, 42), (5,), image_shape=(3, 2, 7))
    assert (color.image_format.channels, color.decode(z).shape) == (3, (3, 3, 2, 7))


def test_latent_variables_of_several_axes():
    prior = from_module(nn.Upsample(scale_factor=2), (1, 3, 4))
    z = normal(2, 1, 3, 4)
    torch.testing.assert_close(
        prior.decode(z), z[:, 0].repeat_interleave(2, -1).repeat_interleave(2, -2), rtol=0, atol=0
    )
    assert prior.latent_log_prob(z).shape == (2,)
    assert prior.sample(3, seed=0).shape == (3, 6, 8)


def test_what_the_network_returns_is_brought_into_the_unit_of_images():
    prior = from_module(
        mlp(5, 8, 42, output="tanh"), (5,), image_shape=(6, 7), value_range=(10.0, 30.0), output_range=(-1, 1)
    )
    network, z = mlp(5, 8, 42, output="tanh"), normal(3, 5, dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(prior.decode(z), 20 + 10 * network(z).reshape(3, 6, 7))


@pytest.mark.parametrize("channels", [True, False], ids=["two channels", "complex numbers"])
def test_complex_images(channels):
    network = Picture(2, 6, 7)

    def numbers(z):
        return torch.complex(*network(z).chunk(2, dim=1))

    prior = from_module(network if channels else numbers, (5,), field="complex", value_range=(-1, 1))
    assert prior.image_format.shape == (6, 7)
    z = normal(3, 5, dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(prior.decode(z), numbers(z)[:, 0])


def test_the_network_is_a_copy_in_evaluation_mode_that_follows_the_precision():
    network = nn.Sequential(mlp(5, 8, 42, batch_norm=True), nn.Dropout(0.5), nn.Unflatten(1, (6, 7)))
    prior, z = from_module(network, (5,)), normal(3, 5)
    before = prior.decode(z)
    assert before.dtype == torch.float64
    assert network.training
    network.train()(z.float())
    with torch.no_grad():
        network[0][0].weight.zero_()
    torch.testing.assert_close(prior.decode(z), before, rtol=0, atol=0)
    torch.testing.assert_close(prior.decode(z.float()), before.float())
    assert not prior.decode(z).requires_grad


def test_a_function_is_called_as_it_is():
    scale = torch.tensor(2.0)
    prior = from_module(lambda z: scale * z[:, None], (3, 4))
    z = normal(2, 3, 4)
    torch.testing.assert_close(prior.decode(z), 2 * z)
    scale.fill_(3.0)
    torch.testing.assert_close(prior.decode(z), 3 * z)
    with pytest.raises(CapabilityError, match="a function"):
        prior.save("nowhere.safetensors")


def test_decoding_is_differentiable_and_a_batch_is_its_elements():
    prior = from_module(Picture(6, 7), (5,), output_range=(-1, 1))
    z = normal(2, 3, 5).requires_grad_()
    assert torch.autograd.gradcheck(prior.decode, (z,))
    alone = torch.stack([prior.decode(one) for one in z.reshape(6, 5)])
    torch.testing.assert_close(prior.decode(z).reshape(6, 6, 7), alone)


def test_large_batches_are_decoded_in_parts():
    seen = []

    def decode(z):
        seen.append(len(z))
        return z[:, :1, None].expand(-1, 1024, 512)

    prior = from_module(decode, (2,), image_shape=(1024, 512))
    z = normal(5, 2)
    with torch.no_grad():
        assert torch.equal(prior.decode(z)[:, 0, 0], z[:, 0])
    assert seen == [2, 2, 1]


def test_latent_variables_are_standard_normal():
    prior, z = from_module(Picture(6, 7), (5,)), normal(2, 3, 5)
    exact = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(prior.latent_log_prob(z), exact)
    x = from_module(lambda z: z[:, None], (2, 2)).sample(20_000, seed=0)
    covariance = torch.cov(x.flatten(1).T)
    # four standard errors, of variances sqrt(2 / n)
    assert float((covariance - torch.eye(4)).abs().max()) < 4 * math.sqrt(2 / 20_000)
    assert float(x.mean(0).abs().max()) < 4 / math.sqrt(20_000)


def test_sample_i_follows_from_the_seed_and_i():
    prior = from_module(Picture(6, 7), (5,))
    samples = prior.sample(4, seed=7)
    assert torch.equal(prior.sample(4, seed=7), samples)
    torch.testing.assert_close(prior.sample(1, seed=9)[0], samples[2])
    with pytest.raises(ParameterError, match="number of images"):
        prior.sample(0, seed=0)


def test_a_density_of_latent_variables_of_ones_own():
    exact = torch.distributions.Laplace(0.0, 1.0)
    prior = from_module(Picture(6, 7), (5,), latent_log_prob=lambda z: exact.log_prob(z).sum(-1))
    z = normal(2, 3, 5)
    torch.testing.assert_close(prior.latent_log_prob(z), exact.log_prob(z).sum(-1))
    assert isinstance(prior, Generator)
    assert not isinstance(prior, Sampler)
    torch.testing.assert_close(prior.decode(z), from_module(Picture(6, 7), (5,)).decode(z))
    wrong = from_module(Picture(6, 7), (5,), latent_log_prob=exact.log_prob)
    with pytest.raises(ShapeError, match=r"each element of a batch, \(2, 3\); it returned \(2, 3, 5\)"):
        wrong.latent_log_prob(z)


@pytest.mark.parametrize(
    ("z", "error", "message"),
    [
        (torch.zeros(3, 4), ShapeError, r"latent variables \(\*batch, 5\); got \(3, 4\)"),
        (torch.zeros(()), ShapeError, r"got \(\)"),
        (torch.zeros(3, 5, dtype=torch.complex64), DtypeError, "float32 or float64"),
        (torch.zeros(3, 5, dtype=torch.int64), DtypeError, "float32 or float64"),
        ([0.0] * 5, DtypeError, "list"),
        (torch.full((3, 5), math.nan), DataError, "NaN"),
    ],
)
def test_what_are_no_latent_variables(z, error, message):
    prior = from_module(Picture(6, 7), (5,))
    for method in ("decode", "latent_log_prob"):
        with pytest.raises(error, match=rf"ModuleGenerator\.{method}.*{message}"):
            getattr(prior, method)(z)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((3, (5,)), {}, DtypeError, "Module or a function of z; got int"),
        ((mlp(5, 42), (5,)), {}, ShapeError, r"returns \(1, 42\).*Give image_shape"),
        ((mlp(5, 42), (4,)), {}, ShapeError, r"MLP does not take latent variables \(1, 4\)"),
        ((mlp(5, 42), 5), {}, ParameterError, r"a tuple such as \(64,\); got 5"),
        ((mlp(5, 42), (5,)), {"image_shape": (42,)}, ShapeError, r"\(H, W\) or \(C, H, W\)"),
        ((mlp(5, 42), (5,)), {"field": "quaternion"}, ParameterError, "quaternion"),
        ((mlp(5, 42), (5,)), {"value_range": (1.0, 0.0)}, ParameterError, "value_range"),
        ((lambda z: None, (5,)), {}, DtypeError, "NoneType"),
    ],
)
def test_what_makes_no_generator(arguments, options, error, message):
    with pytest.raises(error, match=message):
        from_module(*arguments, **options)


def test_a_network_that_returns_other_images_than_it_is_said_to():
    prior = from_module(mlp(5, 40), (5,), image_shape=(6, 7))
    with pytest.raises(ShapeError, match=r"returns \(2, 40\).*are not images \(6, 7\)"):
        prior.decode(torch.zeros(2, 5))


def test_a_generator_has_no_density_and_says_who_has():
    prior = from_module(Picture(6, 7), (5,))
    assert not isinstance(prior, Density)
    assert not hasattr(prior, "log_prob")
    for ask in (lambda: prior.log_prob(torch.zeros(6, 7)), lambda: require(prior, "Solver", Density)):
        with pytest.raises(CapabilityError, match=r"log_prob.*GaussianMixture"):
            ask()
    with pytest.raises(AttributeError, match="'ModuleGenerator' object has no attribute 'encode'"):
        prior.encode(torch.zeros(6, 7))
    assert torch.equal(copy.deepcopy(prior).sample(1, seed=0), prior.sample(1, seed=0))


def test_the_priors_with_a_density_are_all_named():
    public = (getattr(ig.priors, name) for name in ig.priors.__all__)
    having = {c.__name__ for c in public if isinstance(c, type) and hasattr(c, "log_prob")} - {
        "Density",
        "Sequential",
    }
    with pytest.raises(CapabilityError) as caught:
        require(3, "Solver", Density)
    assert set(str(caught.value).rpartition("(log_prob): ")[2].rstrip(".").split(", ")) == having


def test_a_file_states_the_architecture(tmp_path):
    path = tmp_path / "generator.safetensors"
    network = mlp(5, 8, 42, activation="leaky-relu", output="tanh", batch_norm=True)
    prior = from_module(network, (5,), image_shape=(6, 7), output_range=(-1, 1))
    prior.save(path, data="none")
    again = ig.priors.load(path)
    assert isinstance(again, ModuleGenerator)
    assert torch.equal(again.sample(3, seed=0), prior.sample(3, seed=0))
    assert (again.image_format, again.latent_shape) == (prior.image_format, (5,))
    assert dict(again.card) == {"data": "none"}
    header = ig.priors.about(path)
    assert header["family"] == "generator"
    assert header["architecture"] == {
        "name": "MLP",
        "widths": [5, 8, 42],
        "activation": "leaky-relu",
        "output": "tanh",
        "batch_norm": True,
    }
    with pytest.raises(CapabilityError, match="this one is Picture"):
        from_module(Picture(6, 7), (5,)).save(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"latent_shape": 5},
        {"latent_shape": [-5]},
        {"output_range": [1]},
        {"architecture": {"name": "MLP", "widths": [5, 9, 42]}},
        {"architecture": {"name": "MLP", "widths": [5, 8, 42], "activation": "sine"}},
    ],
)
def test_headers_that_do_not_fit_are_refused(changes, tmp_path):
    path = tmp_path / "generator.safetensors"
    from_module(mlp(5, 8, 42), (5,), image_shape=(6, 7)).save(path)
    header, tensors = checkpoints.read(path)
    kept = {name: value for name, value in header.items() if name not in ("format", "family")}
    checkpoints.write(path, "generator", tensors, kept | changes)
    with pytest.raises((FileError, ParameterError)):
        ig.priors.load(path)


def test_an_mlp_has_the_names_of_a_sequence():
    plain = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2), nn.Tanh())
    network = MLP((3, 4, 4, 2), output="tanh")
    network.load_state_dict(plain.state_dict())
    x = normal(5, 3, dtype=torch.float32)
    assert torch.equal(network(x), plain(x))
    assert torch.equal(network(x.reshape(5, 1, 3)), plain(x))
    for widths, options in [((3,), {}), ((3, 0), {}), ((3, 2), {"output": "sine"})]:
        with pytest.raises(ParameterError):
            MLP(widths, **options)


def published(name, measured_file):
    """The generators of github.com/csinva/gan-vae-pretrained-pytorch, as the example converts them."""
    if name == "gan":
        state = torch.load(
            measured_file("weights/mnist_gan_mlp_G.ckpt"), map_location="cpu", weights_only=True
        )
        network, options = MLP((64, 256, 256, 784), "relu", "tanh"), {"output_range": (-1, 1)}
    else:
        found = torch.load(measured_file("weights/mnist_vae.pth"), map_location="cpu", weights_only=True)
        pairs = [(new, old, kind) for new, old in (("0", "fc3"), ("2", "fc4")) for kind in ("weight", "bias")]
        state = {f"{new}.{kind}": found[f"{old}.{kind}"] for new, old, kind in pairs}
        network, options = MLP((20, 400, 784), "relu", "sigmoid"), {}
    network.load_state_dict(state)
    return from_module(network, (network.config["widths"][0],), image_shape=(28, 28), **options)


@pytest.mark.parametrize("name", ["gan", "vae"])
def test_published_generators_make_digits(name, measured_file, tmp_path):
    read = ig.io.read_images(measured_file("digits/mnist8k-images-idx3-ubyte.gz"))
    digits = torch.stack([torch.from_numpy(x) for x in read[:2000]])
    published(name, measured_file).save(tmp_path / "prior.safetensors")
    prior = ig.priors.load(tmp_path / "prior.safetensors")
    made = prior.sample(200, seed=0)
    assert (made >= 0).all()
    assert (made <= 1).all()
    # as much ink as on paper, none at the rim, and most pixels either ink or paper
    assert float(made.mean() / digits.mean()) == pytest.approx(1, abs=0.2)
    assert float(made[:, [0, -1]].mean()) < 0.01
    grey = [float(((x > 0.25) & (x < 0.75)).sum() / (x > 0.25).sum()) for x in (made, digits)]
    assert grey[0] < 2.5 * grey[1]
    # nearer to some digit than digits are to one another
    nearest = torch.cdist(made.flatten(1), digits.flatten(1)).min(1).values
    apart = torch.cdist(digits[:500].flatten(1), digits[500:1000].flatten(1))
    assert float(nearest.median()) < float(apart.quantile(0.05))


@pytest.mark.parametrize("name", ["gan", "vae"])
def test_gradients_through_published_generators_are_right(name, measured_file):
    prior = published(name, measured_file)
    z, direction = normal(4, *prior.latent_shape, seed=1), normal(4, *prior.latent_shape, seed=2)
    target = prior.decode(normal(4, *prior.latent_shape, seed=3))

    def loss(z):
        return (prior.decode(z) - target).square().sum()

    at = z.clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(at), at)
    h = 1e-6
    difference = (loss(z + h * direction) - loss(z - h * direction)) / (2 * h)
    assert float((slope * direction).sum()) == pytest.approx(float(difference), rel=1e-5)

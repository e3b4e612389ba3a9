"""Published generators of digits as priors: a GAN and the decoder of a VAE, converted and used.

python examples/published_generators.py --gan G--300.ckpt --vae vae.pth --digits t10k-images-idx3-ubyte.gz

The weights are those of https://github.com/csinva/gan-vae-pretrained-pytorch, in PyTorch's old format, which
is read without running what else such a file may hold. Once converted, they need neither that nor their code.
"""

import argparse
from pathlib import Path

import torch

import invgen as ig
from invgen.priors.nets import MLP

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--gan", required=True, help="state of a network of 64, 256, 256 and 784 numbers")
parser.add_argument(
    "--vae", required=True, help="state of the VAE of PyTorch's examples, of 784, 400 and 20 numbers"
)
parser.add_argument("--digits", required=True, help="digits of 28x28 pixels, such as MNIST's IDX file")
parser.add_argument("--measurements", type=int, default=100, help="of each digit, which has 784 pixels")
parser.add_argument("--starts", type=int, default=4, help="of the search for latent variables")
parser.add_argument("--output", default="generators.png", help="picture to write; the priors go beside it")
arguments = parser.parse_args()
folder = Path(arguments.output).parent

# its names are those of torch.nn.Sequential already
gan = MLP((64, 256, 256, 784), "relu", "tanh")
gan.load_state_dict(torch.load(arguments.gan, map_location="cpu", weights_only=True))
prior = ig.priors.from_module(gan, (64,), image_shape=(28, 28), output_range=(-1, 1))
prior.save(folder / "published-gan.safetensors", data="MNIST", license="MIT", source="csinva")

# the decoder is fc3 and fc4, with a ReLU between and a logistic function in the end
vae = MLP((20, 400, 784), "relu", "sigmoid")
state, names = torch.load(arguments.vae, map_location="cpu", weights_only=True), {"fc3": "0", "fc4": "2"}
vae.load_state_dict(
    {f"{new}.{kind}": state[f"{old}.{kind}"] for old, new in names.items() for kind in ("weight", "bias")}
)
prior = ig.priors.from_module(vae, (20,), image_shape=(28, 28))
prior.save(folder / "published-vae.safetensors", data="MNIST", license="MIT", source="csinva")

# as any prior: samples, and digits from random projections by the most probable latent variables
truth = torch.stack([torch.from_numpy(x) for x in ig.io.read_images(arguments.digits)[:8]])
A, noise = ig.operators.GaussianMatrix((28, 28), arguments.measurements, seed=0), ig.noise.Gaussian(0.05)
problem = ig.Problem(A, noise.sample(A(truth), seed=0), noise)
rows = {"truth": truth}
for name in ("gan", "vae"):
    prior = ig.priors.load(folder / f"published-{name}.safetensors")
    rows[f"{name}: samples"] = prior.sample(8, seed=0)
    # Bora et al. (2017), eq. 3, from several starts: the problem is not convex
    solver = ig.solvers.FISTA(ig.priors.Tikhonov(1.0), backtracking=True, iterations=150)
    starts = [
        0.3 * torch.randn(8, *prior.latent_shape, generator=torch.Generator().manual_seed(k))
        for k in range(arguments.starts)
    ]
    latent = problem.through(prior)
    found = torch.stack([solver(latent, x0=z).x for z in starts])
    loss = torch.stack([latent.negative_log_likelihood(z) + z.square().sum(-1) / 2 for z in found])
    x = prior.decode(found[loss.argmin(0), torch.arange(8)])
    rows[f"{name}: found"] = x
    psnr = float(ig.metrics.psnr(x, truth, data_range=1.0).mean())
    print(f"{name}: {psnr:.1f} dB from {arguments.measurements} numbers")

figure = ig.figures.montage(
    [x for images in rows.values() for x in images],
    [name if i == 0 else "" for name in rows for i in range(8)],
    window=(0.0, 1.0),
    columns=8,
)
ig.figures.save(figure, arguments.output)

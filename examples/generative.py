"""What a prior of digits can do: draw, code, lead from one digit to another, complete.

python examples/generative.py t10k-images-idx3-ubyte.gz digits-vae [--output generative.png]
"""

import argparse

import torch

import invgen as ig

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("digits", help="digits of 28x28 pixels, such as MNIST's IDX file")
parser.add_argument("prior", help="one that comes with the package, or a file: of digits, by any family")
parser.add_argument("--count", type=int, default=12, help="pictures in each row")
parser.add_argument("--output", default="generative.png", help="picture to write")
arguments = parser.parse_args()

n = arguments.count
truth = torch.stack([torch.from_numpy(x) for x in ig.io.read_images(arguments.digits)[:n]])
prior = ig.priors.load(arguments.prior)
rows = {"samples": prior.sample(2 * n, seed=0)}

if isinstance(prior, ig.priors.Density) and not isinstance(prior, ig.priors.Diffusion):
    bits = ig.metrics.bits_per_dimension(prior, (255 * truth).round().byte())
    print(f"{bits.mean:.2f} bits per pixel of {n} test digits ({bits.kind})")

if hasattr(prior, "reconstruct"):
    rows["test digits"], rows["reconstructed"] = truth, prior.reconstruct(truth)
    error = ig.metrics.psnr(rows["reconstructed"], truth, data_range=1.0).mean()
    print(f"test digits through latent variables: {float(error):.1f} dB")

if isinstance(prior, ig.priors.Generator):
    # between two latent variables, those of two digits where there is an encoder, along an arc
    generator = torch.Generator().manual_seed(0)
    found = torch.randn(2, *prior.latent_shape, generator=generator)
    found = prior.encode(truth[:2]) if hasattr(prior, "encode") else found
    z = found if isinstance(found, torch.Tensor) else found.mean
    rows["from one to another"] = ig.figures.interpolate(prior, z[0], z[1], steps=n)

if hasattr(prior, "complete"):
    # the upper half of a digit is known: all that it may be, exactly
    known = (torch.arange(28) < 14)[:, None].expand(28, 28)
    for x in truth[:2]:
        completed = prior.complete(x, known, samples=n, seed=0)
        rows[f"the lower half of {len(rows)}"] = completed
        error = ig.metrics.psnr(completed.mean(0), x, data_range=1.0)
        print(f"mean of {n} completions: {float(error):.1f} dB")

ig.figures.save_grid(torch.cat(list(rows.values())).clamp(0, 1), arguments.output, columns=n)

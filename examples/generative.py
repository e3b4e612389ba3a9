"""Digits by each family of generative models: samples, a path of latent variables, halves completed.

python examples/generative.py t10k-images-idx3-ubyte.gz [--output generative.png]
"""

import argparse

import torch

import invgen as ig

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("digits", help="digits of 28x28 pixels, such as MNIST's IDX file")
parser.add_argument("--count", type=int, default=12, help="pictures in each row")
parser.add_argument("--output", default="generative.png", help="picture to write")
arguments = parser.parse_args()

n = arguments.count
truth = torch.stack([torch.from_numpy(x) for x in ig.io.read_images(arguments.digits)[:n]])
priors = {family: ig.priors.load(f"digits-{family}") for family in ("gan", "vae", "flow", "autoregressive")}

rows = {"test digits": truth}
for family, prior in priors.items():
    rows[family] = prior.sample(n, seed=0)
    if isinstance(prior, ig.priors.Density):
        bits = ig.metrics.bits_per_dimension(prior, (255 * truth).round().byte())
        print(f"{family:14s} {bits.mean:.2f} bits per pixel of {n} test digits ({bits.kind})")

# from one digit to another: latent variables of the encoder, along an arc
vae = priors["vae"]
z = vae.encode(truth[:2]).mean
rows["from one to another"] = ig.figures.interpolate(vae, z[0], z[1], steps=n)

# the upper half of a digit is known: all that it may be, exactly
known = (torch.arange(28) < 14)[:, None].expand(28, 28)
rows["the lower half"] = priors["autoregressive"].complete(truth[0], known, samples=n, seed=0)
error = ig.metrics.psnr(rows["the lower half"].mean(0), truth[0], data_range=1.0)
print(f"mean of {n} completions: {float(error):.1f} dB")

ig.figures.save_grid(torch.cat(list(rows.values())).clamp(0, 1), arguments.output, columns=n)

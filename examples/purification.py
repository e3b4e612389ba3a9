"""Digits, what an attacker makes of them, and what purification makes of that.

python examples/purification.py t10k-images-idx3-ubyte.gz t10k-labels-idx1-ubyte.gz
"""

import argparse

import torch

import invgen as ig
from invgen.plausibility import PGD, BayesClassifier, DenoisingPurification, GreedyPurification

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("images", help="digits of 28x28 pixels, such as MNIST's IDX file")
parser.add_argument("labels", help="their classes, an IDX file")
parser.add_argument("--count", type=int, default=6, help="digits that are attacked")
parser.add_argument("--first", type=int, default=1000, help="the first of them")
parser.add_argument("--eps", type=float, default=0.3, help="how far each pixel may be changed, of 0 to 1")
parser.add_argument("--output", default="purification.png", help="picture to write")
arguments = parser.parse_args()

images = torch.stack([torch.from_numpy(x) for x in ig.io.read_images(arguments.images)]).float()
labels = torch.from_numpy(ig.io.read_labels(arguments.labels)).long()
chosen = slice(arguments.first, arguments.first + arguments.count)
digits, truth = images[chosen], labels[chosen]

# a network that gets 99 % of test digits right, until someone looks for what it gets wrong
network = ig.metrics.digit_features().classify
attacked = PGD(arguments.eps)(network, digits, truth)

denoising = DenoisingPurification(ig.priors.load("digits"), arguments.eps, sigma=0.2)
greedy = GreedyPurification(ig.priors.load("digits-autoregressive"), arguments.eps)
rows = {
    "digit": digits,
    "attacked": attacked,
    "purified by denoising": denoising(attacked),
    "purified pixel by pixel": greedy(attacked),
}
panels, titles = [], []
for name, pictures in rows.items():
    answers = network(pictures).argmax(1)
    right = int((answers == truth).sum())
    error = float(ig.metrics.psnr(pictures, digits, data_range=1.0).clamp(max=99).mean())
    print(f"{name}: {right} of {len(truth)} right, {error:.1f} dB to the digits")
    panels += list(pictures)
    titles += [f"{name}: {int(answer)}" for answer in answers]

# a classifier that the attacker did not know of: Bayes' rule, with kernels around the other digits of a class
# that are wide along how these may be moved and deformed
others = torch.ones(len(images), dtype=torch.bool)
others[chosen] = False
classes = [images[others & (labels == k)] for k in range(10)]
bayes = BayesClassifier([ig.priors.TangentKernelDensity(x, 0.15) for x in classes])
right = int((bayes.classify(attacked) == truth).sum())
print(f"attacked, by Bayes' rule: {right} of {len(truth)} right")

figure = ig.figures.montage(panels, titles, columns=arguments.count, window=(0, 1), label="ink")
ig.figures.save(figure, arguments.output)

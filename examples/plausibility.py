"""Which digits are like those that a prior has learned from, and which are not.

python examples/plausibility.py t10k-images-idx3-ubyte.gz [--prior digits-autoregressive] [--count 1000]
"""

import argparse

import torch

import invgen as ig
from invgen.plausibility import AnomalyDetector
from invgen.plausibility.anomaly import LogLikelihood

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("digits", help="digits of 28x28 pixels that the prior has not learned from, an IDX file")
parser.add_argument("--prior", default="digits-flow", help="of digits, with a density")
parser.add_argument("--count", type=int, default=1000, help="digits to test")
parser.add_argument("--output", default="plausibility.png", help="picture to write")
arguments = parser.parse_args()

prior = ig.priors.load(arguments.prior)
# the file of the prior has statistics of every eighth digit, so that no calibration data are needed
detector = AnomalyDetector(prior)
digits = torch.stack([torch.from_numpy(x) for x in ig.io.read_images(arguments.digits)])
held_out = digits[torch.arange(len(digits)) % 8 > 0][: arguments.count]

statistic = detector.statistic(held_out)
order, p_value = statistic.argsort(), detector.p_value(held_out)
print(f"smallest p-value of {len(held_out)} digits: {float(p_value.min()):.4f}; discoveries:", end=" ")
print(int(detector.discoveries(p_value).sum()))

turned = held_out[:100].rot90(1, (1, 2)).contiguous()
print(f"p-value at most 0.05: {100 * float((p_value <= 0.05).double().mean()):.0f} % of the digits,", end=" ")
print(f"{100 * float((detector.p_value(turned) <= 0.05).double().mean()):.0f} % of digits on their side")

likely = LogLikelihood().values(prior, held_out).argsort()
# most and least plausible, most and least likely
rows = [held_out[found[:16]] for found in (order, order.flip(0), likely, likely.flip(0))]
ig.figures.save_grid(torch.cat(rows), arguments.output, columns=len(rows[0]))

"""How fast densities approach the truth as data grow: measured rates beside those of the theory.

python examples/density_rates.py [--seeds 5] [--most 30000] [--output rates.png]

The truth is a mixture of two Gaussians on a line. The error of a density is the root of its mean integrated
squared error from -1.5 to 1.5, that of a distribution function its largest distance from the truth. Theory:
histograms 1/3 (Freedman and Diaconis 1981), kernels and the estimate of nearest neighbors 2/5 where the truth
is not small (Parzen 1962; Mack and Rosenblatt 1979), distribution functions 1/2. The estimate of nearest
neighbors is no density; normalized, it has an error of k / n, up to a logarithm, beside ``k^(-1/2)``, which
makes 1/3 at best. Of the derivative of their distribution functions Magdon-Ismail and Atiya (2002) prove
``(log log n / n)^((1 - e) / 2)``, with small e where the truth is smooth: nearly 1/2. Size and training of
the network are the same for all n; beyond some n its own distance from the truth remains.
"""

import argparse
import math

import matplotlib
import torch

import invgen as ig
from invgen.priors.training import Training

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seeds", type=int, default=5, help="repetitions with other data")
parser.add_argument("--least", type=int, default=100, help="smallest number of points")
parser.add_argument("--most", type=int, default=30_000, help="largest number of points")
parser.add_argument("--sizes", type=int, default=6, help="numbers of points, whose ratio is constant")
parser.add_argument("--steps", type=int, default=1000, help="of the training of each network")
parser.add_argument("--output", default="rates.png", help="picture to write")
arguments = parser.parse_args()

TRUTH = ig.priors.GaussianMixture(
    torch.tensor([[-0.7], [0.8]]).double(), torch.tensor([[0.64], [0.25]]).double(), [0.5, 0.5]
)
x = torch.linspace(-1.5, 1.5, 301, dtype=torch.float64)[:, None]
density = TRUTH.log_prob(x).exp()
deviations = TRUTH.covariances.eigenvalues.value[:, 0].sqrt()
distribution = torch.special.ndtr((x - TRUTH.means[:, 0]) / deviations) @ TRUTH.weights
training = Training(steps=arguments.steps, learning_rate=0.02, warmup=50, log_every=arguments.steps)

METHODS = {
    "histogram": ig.priors.Histogram.fit,
    "nearest neighbors": ig.priors.NearestNeighbors,
    "neighbors, estimate": lambda data: ig.priors.NearestNeighbors(data, math.ceil(len(data) ** 0.8 / 2)),
    "kernels": ig.priors.KernelDensity,
    "SIC": lambda data: ig.priors.NeuralCDF.fit(data, "SIC", training=training),
    "SLC": lambda data: ig.priors.NeuralCDF.fit(data, "SLC", training=training),
}
THEORY = {
    "histogram": "1/3",
    "nearest neighbors": "1/3",
    "neighbors, estimate": "2/5",
    "kernels": "2/5",
    "SIC": "1/2",
    "SLC": "1/2",
    "empirical distribution": "1/2",
    "SIC, distribution": "1/2",
    "SLC, distribution": "1/2",
}

sizes = torch.logspace(
    math.log10(arguments.least), math.log10(arguments.most), arguments.sizes, dtype=torch.float64
)
n = sizes.round().long().tolist()
errors = {name: torch.zeros(len(n), arguments.seeds, dtype=torch.float64) for name in THEORY}
for i, count in enumerate(n):
    for seed in range(arguments.seeds):
        data = TRUTH.sample(count, seed=1000 * i + seed)
        empirical = torch.searchsorted(data[:, 0].sort().values, x[:, 0], right=True) / count
        errors["empirical distribution"][i, seed] = (empirical - distribution).abs().max()
        for name, fit in METHODS.items():
            prior = fit(data)
            log_density = prior.log_density_estimate if name == "neighbors, estimate" else prior.log_prob
            apart = (log_density(x).exp() - density).square()
            errors[name][i, seed] = torch.trapezoid(apart, x[:, 0])
            if isinstance(prior, ig.priors.NeuralCDF):
                apart = prior.cdf(x)[:, 0] - distribution
                errors[f"{name}, distribution"][i, seed] = apart.abs().max()


def overall(name: str, values: torch.Tensor) -> torch.Tensor:
    """Over the seeds: the mean of largest distances, the root of the mean of integrated squared errors."""
    return values.mean(1) if "distribution" in name else values.mean(1).sqrt()


def slope(y: torch.Tensor) -> float:
    """Of the line of least squares through the logarithms."""
    u, v = torch.log(torch.tensor(n).double()), torch.log(y)
    return float((u - u.mean()) @ (v - v.mean()) / (u - u.mean()).square().sum())


print(f"{'':24s} {'error at n = ' + str(n[0]):>20s} {'at ' + str(n[-1]):>10s}  measured slope   theory")
measured, typical = {}, {}
for name, values in errors.items():
    # standard error by the jackknife over the seeds
    kept = [torch.arange(arguments.seeds) != seed for seed in range(arguments.seeds)]
    without = torch.tensor([slope(overall(name, values[:, k])) for k in kept])
    deviation = math.sqrt((arguments.seeds - 1) * float(without.var(correction=0)))
    typical[name] = overall(name, values)
    measured[name] = slope(typical[name])
    first, last = float(typical[name][0]), float(typical[name][-1])
    print(
        f"{name:24s} {first:20.4f} {last:10.4f}  {measured[name]:6.3f} +- {deviation:.3f}    -{THEORY[name]}"
    )

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

figure, panels = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
for name, y in typical.items():
    panel = panels[int("distribution" in name)]
    panel.loglog(n, y, "o-", label=f"{name}: {measured[name]:.2f} (theory -{THEORY[name]})")
for panel, powers, title in (
    (panels[0], (1 / 3, 2 / 5, 1 / 2), "density: root mean integrated squared error"),
    (panels[1], (1 / 2,), "distribution function: largest distance"),
):
    top = max(float(line.get_ydata()[0]) for line in panel.lines)
    for power in powers:
        reference = [top * 1.3 * (count / n[0]) ** -power for count in n]
        panel.loglog(n, reference, "k:", linewidth=1)
        panel.annotate(f"$n^{{-{power:.2g}}}$", (n[-1], reference[-1]), fontsize=8)
    panel.set(xlabel="number of points n", title=title)
    panel.legend(fontsize=8)
figure.savefig(arguments.output, dpi=110)

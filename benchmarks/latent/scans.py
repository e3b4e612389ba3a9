"""CT and MRI of random objects by a GAN that is trained here, within a few minutes."""

from __future__ import annotations

import torch
from torch import Tensor

import invgen as ig
from benchmarks.report import Report
from invgen.operators import MRI, LinearOperator, Radon, sampling
from invgen.priors import GAN
from invgen.priors.training import Training, train
from invgen.solvers import PDHG, LatentOptimization, SparseDeviation

SHAPE, OBJECTS, STEPS, TEST = (32, 32), 4000, 3000, 8


def objects(first: int, count: int) -> Tensor:
    """Discs, rings and polygons, (count, 32, 32), from 0 to 1."""
    found = torch.stack(
        [ig.phantoms.random(seed).image(SHAPE, 2 / SHAPE[0]) for seed in range(first, first + count)]
    )
    return found.float().clamp(0, 1)


def scans(report: Report) -> None:
    """12 views, and a quarter of k-space; total variation at the weight that the noise asks for."""
    prior = GAN.untrained(SHAPE, widths=(128, 64), latent=64)
    prior = train(prior, list(objects(0, OBJECTS)), folder="objects-gan", training=Training(STEPS, 2e-4))
    truth = objects(OBJECTS, TEST)
    ig.figures.save_grid(prior.sample(32, seed=0), "objects_samples.png", columns=8)
    # a generator of complex images, for k-space
    magnitudes = ig.priors.from_module(
        lambda z: torch.complex(prior.decode(z), torch.zeros(len(z), *SHAPE).to(z)),
        prior.latent_shape,
        field="complex",
        image_shape=SHAPE,
    )
    mask = sampling.poisson_disc(SHAPE, 4, seed=0)
    problems: dict[str, tuple[LinearOperator, Tensor, object]] = {
        "CT, 12 views": (Radon(SHAPE, torch.arange(12) * torch.pi / 12), truth, prior),
        "MRI, R = 4": (MRI(SHAPE, mask), truth.to(torch.complex64), magnitudes),
    }
    rows = {}
    for name, (A, image, generator) in problems.items():
        clean = A(image)
        noise = ig.noise.Gaussian(0.01 * float(clean.abs().amax()))
        problem = ig.Problem(A, noise.sample(clean, seed=0), noise)
        solvers = {
            "TV": PDHG(ig.priors.TotalVariation("auto")),
            "LatentOptimization": LatentOptimization(generator, scale=1.0),
            "SparseDeviation": SparseDeviation(generator, scale=1.0),
        }
        rows[f"{name}: truth"] = truth
        for title, solver in solvers.items():
            found = solver(problem, seed=0)
            rows[f"{name}: {title}"] = found.x.abs()
            psnr = float(ig.metrics.psnr(found.x.abs(), truth, data_range=1.0).mean())
            report.row(f"{name}: {title}", f"{psnr:.2f} dB, {found.stats['seconds']:.0f} s")
    figure = ig.figures.montage(
        [x for images in rows.values() for x in images],
        [name if i == 0 else "" for name in rows for i in range(TEST)],
        window=(0.0, 1.0),
        columns=TEST,
    )
    ig.figures.save(figure, "latent_scans.png")

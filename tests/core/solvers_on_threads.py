"""Print a digest of what each of several methods computes; see `test_threads`.

python solvers_on_threads.py THREADS [METHOD ...]
"""

import hashlib
import sys

import torch

import invgen as ig

SIZE = 200  # PyTorch divides sums of more than 32768 numbers among threads
COILS = 4


def noisy(operator, x, std):
    y = operator(x)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(y.shape, generator=generator, dtype=y.dtype)
    return ig.Problem(operator, y + std * noise, ig.noise.Gaussian(std))


def image(size=SIZE):
    return ig.phantoms.shepp_logan(size / 2).image((size, size), 1.0, supersample=1).float()


def parallel():
    return noisy(ig.operators.Radon((SIZE, SIZE), angles=200), image(), 0.5)


def fan():
    beam = {"source_origin": 500.0, "source_detector": 900.0}
    return noisy(ig.operators.FanBeam((SIZE, SIZE), angles=90, **beam), image(), 0.5)


def maps():
    return torch.randn(COILS, SIZE, SIZE, dtype=torch.complex64, generator=torch.Generator().manual_seed(2))


def cartesian():
    mask = ig.operators.sampling.equispaced_lines((SIZE, SIZE), 3)
    return noisy(ig.operators.MRI((SIZE, SIZE), mask, maps()), image().to(torch.complex64), 0.01)


def radial():
    k = ig.operators.trajectories.radial(64, SIZE)
    return noisy(ig.operators.NonCartesianMRI((SIZE, SIZE), k, maps()), image().to(torch.complex64), 0.01)


def few_views():
    return noisy(ig.operators.Radon((64, 64), angles=20), image(64), 0.5)


def sampled(solver):
    return solver(ig.priors.load("ct-phantoms"), iterations=3)(few_views(), samples=2, seed=0)


METHODS = {
    "FBP": lambda: ig.solvers.FBP()(parallel()),
    "TV": lambda: ig.solvers.PDHG(ig.priors.TotalVariation(), iterations=4)(parallel()),
    "SIRT": lambda: ig.solvers.SIRT(iterations=4)(parallel()),
    "SIRT, fan": lambda: ig.solvers.SIRT(iterations=4)(fan()),
    "CG-SENSE": lambda: ig.solvers.CG(iterations=4)(cartesian()),
    "CG-SENSE, radial": lambda: ig.solvers.CG(iterations=4)(radial()),
    "DDS": lambda: sampled(ig.solvers.DDS),
    "DPS": lambda: sampled(ig.solvers.DPS),
}


def main():
    torch.set_num_threads(int(sys.argv[1]))
    for name in sys.argv[2:] or METHODS:
        with ig.deterministic():
            x = METHODS[name]().x
        numbers = torch.view_as_real(x) if x.is_complex() else x
        print(name, hashlib.sha256(numbers.contiguous().numpy().tobytes()).hexdigest())


main()

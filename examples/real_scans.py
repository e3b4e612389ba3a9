"""Every kind of baseline on measured scans, of which only every fourth view is used: the others judge.

python examples/real_scans.py --tooth tooth.h5 --basalt sino_basalt.mat [--output real_scans.png]
"""

import argparse
import math

import torch

import invgen as ig
from invgen import priors, solvers

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--tooth", required=True, help="TomoPy's tooth.h5, X-rays")
parser.add_argument("--basalt", required=True, help="the CCPi toolkit's sino_basalt.mat, neutrons")
parser.add_argument("--every", type=int, default=4, help="use every so many views")
parser.add_argument("--bin", type=int, default=1, help="average so many bins of the detector")
parser.add_argument("--output", default="real_scans.png", help="picture to write")
arguments = parser.parse_args()

basalt = {"dataset": "sino_basalt", "axes": "column,angle", "angles_dataset": "angles", "angle_unit": "rad"}
scans = {"tooth": (arguments.tooth, {}), "basalt": (arguments.basalt, basalt)}

# with defaults, whatever the scan: weights, noise levels and scales are found from the data
methods = {
    "FBP": solvers.FBP(window="hann"),
    "SIRT": solvers.SIRT(),
    "TV": solvers.PDHG(priors.TotalVariation()),
    "wavelets": solvers.FISTA(priors.Wavelet()),
    "EPLL": solvers.EPLL(priors.load("patches-gray")),
    "PnP": solvers.PnPHQS(priors.NonLocalMeans()),
}

panels, titles = [], []
for name, (path, options) in scans.items():
    with ig.io.open_scan(path, **options) as scan:
        how = {"center": float(scan.find_center()), "bin": arguments.bin}
        every = scan.problem(0, **how)
        some = scan.problem(0, **how, views=slice(0, None, arguments.every))
    withheld = torch.arange(len(every.operator.angles)) % arguments.every != 0
    measured = every.measurement[withheld]
    peak = None
    for method, solver in methods.items():
        result = solver(some)
        error = float((every.operator(result.x)[withheld] - measured).norm() / measured.norm())
        peak = peak or float(result.x.quantile(0.999))
        panels.append((result.x / peak).clamp(0, 1))
        titles.append(f"{name}, {method}\nmisses {100 * error:.1f} % of other views")
        print(f"{name:7s} {method:9s} {20 * math.log10(error):6.1f} dB, {result.stats['seconds']:6.1f} s")

figure = ig.figures.montage(panels, titles, window=(0.0, 1.0), columns=6)
ig.figures.save(figure, arguments.output)

"""Calibrate the warnings on reconstructions of `ct-phantoms`, and keep them in the header of a new file.

python -m examples.training.calibration --output ct-phantoms.safetensors

Scans of random objects that the prior has not learned from, of 20 to 180 views and 10,000 to a million quanta
a ray, reconstructed by DDS with its defaults. The tensors of the file stay as they are.
"""

import argparse

import invgen as ig
from benchmarks.plausibility.scans import ct_scan
from invgen.priors.files import checkpoints

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--scans", type=int, default=240)
parser.add_argument("--prior", default="ct-phantoms", help="the prior, by name or file")
parser.add_argument("--output", default="ct-phantoms.safetensors")
arguments = parser.parse_args()

solver = ig.solvers.DDS(ig.priors.load(arguments.prior))
about = f"{arguments.scans} parallel-beam scans of invgen.phantoms.random, 128 x 128, 20 to 180 views"
calibration = ig.plausibility.calibrate(solver, map(ct_scan, range(arguments.scans)), about=about)
with checkpoints.located(arguments.prior) as path:
    header, tensors = checkpoints.read(path)
del header["format"]
entry = calibration.header()
del entry["protocol"]["prior"]  # which is the file's own
header["scan_calibrations"] = {"phantoms": entry}
checkpoints.write(arguments.output, header.pop("family"), tensors, header)
print(f"{calibration.scans} scans; statistics: {', '.join(calibration.statistics)}")

"""Calibrate the warnings on reconstructions of `ct-phantoms`, and keep them in the header of a new file.

python -m examples.training.calibration --output ct-phantoms.safetensors

Raw scans of random objects that the prior has not learned from, as of `invgen simulate ct random`, are
reconstructed by DDS with its defaults, as `invgen recon` does: see benchmarks/plausibility/scans.py for how
they are measured. For scans of another kind, `invgen calibrate --plausibility` makes a file of its own. The
tensors of the prior's file stay as they are.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.plausibility.scans import raw_ct, raw_seeds
from invgen.pipeline import Reading, Recipe
from invgen.pipeline.comparing import compare
from invgen.priors.files import checkpoints

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--scans", type=int, default=200)
parser.add_argument("--prior", default="ct-phantoms", help="the prior, by name or file")
parser.add_argument("--output", default="ct-phantoms.safetensors")
arguments = parser.parse_args()

# half precision takes less time; it moves statistics by at most a thirtieth of their standard deviation
recipe = Recipe(solver="dds", prior=arguments.prior, precision="bfloat16")
about = (
    f"{arguments.scans} raw parallel-beam scans of invgen.phantoms.random, 128 x 128, 20 to 180 views, "
    "10,000 to 500,000 quanta"
)
with tempfile.TemporaryDirectory() as folder:
    scans = [raw_ct(Path(folder) / f"{seed}.h5", seed) for seed in raw_seeds(0, arguments.scans)]
    calibration = compare(
        scans,
        Path(folder) / "known.json",
        Reading(),
        recipe,
        print,
        lambda done: print(done, end="\r", flush=True),
        about,
    )

with checkpoints.located(arguments.prior) as path:
    header, tensors = checkpoints.read(path)
del header["format"]
entry = calibration.header()
del entry["protocol"]["prior"]  # which is the file's own
header["scan_calibrations"] = {"random objects": entry}
checkpoints.write(arguments.output, header.pop("family"), tensors, header)
print(f"{calibration.scans} scans; statistics: {', '.join(calibration.statistics)}")

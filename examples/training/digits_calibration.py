"""Add to files of priors of digits which images they have learned from, and statistics of held-out ones.

python examples/training/digits_calibration.py digits-flow digits-gan --held-out t10k-images-idx3-ubyte.gz \
    --learned mnist-train-*-images-idx3-ubyte.gz --folder weights

Headers change alone: the tensors of the files stay the same, byte by byte.
"""

import argparse
from pathlib import Path

import torch

import invgen as ig
from invgen.priors.files.checkpoints import located, read, write
from invgen.priors.sketch import TrainingData

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("priors", nargs="+", help="names of priors that come with the package, or files")
parser.add_argument("--learned", nargs="+", required=True, help="MNIST's training images, IDX files")
parser.add_argument("--held-out", required=True, help="its test images, an IDX file")
parser.add_argument("--every", type=int, default=8, help="calibrate by every n-th of these")
parser.add_argument(
    "--folder", default=".", help="of the files to write, by the names of those that are read"
)
arguments = parser.parse_args()

learned = [torch.from_numpy(x) for path in arguments.learned for x in ig.io.read_images(path)]
# evenly spaced: the later half of MNIST's test digits is by other writers
digits = ig.io.read_images(arguments.held_out)
held_out = torch.stack([torch.from_numpy(x) for x in digits[:: arguments.every]])

for name in arguments.priors:
    prior = ig.priors.load(name)
    sketch = TrainingData.of(learned, prior.image_format)
    # so that images which it has learned from are refused here, too
    detector = ig.plausibility.AnomalyDetector(prior.with_card(training_data=sketch.header()), held_out)
    entry = detector.header(data=f"one in {arguments.every} of {len(digits)} test digits of MNIST")
    with located(name) as path:
        header, tensors = read(path)
    family, _ = header.pop("family"), header.pop("format")
    header["training_data"] = sketch.header()
    header["calibration"] = header.get("calibration", {}) | {detector.kind.name: entry}
    write(Path(arguments.folder) / path.name, family, tensors, header)
    print(f"{path.name}: {sketch.count} images learned from; {detector!r}")

"""Train the features of digits that `invgen.metrics` compares samples by: a classifier, in a few minutes.

python examples/training/digit_features.py --images mnist-train-*-images-idx3-ubyte.gz \
    --labels mnist-train-*-labels-idx1-ubyte.gz --test t10k-images-idx3-ubyte.gz t10k-labels-idx1-ubyte.gz
"""

import argparse

import torch
from torch.nn import functional as F

import invgen as ig
from invgen.metrics import DigitFeatures

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--images", nargs="+", required=True, help="of MNIST's training set: IDX files")
parser.add_argument("--labels", nargs="+", required=True, help="their classes: IDX files, in the same order")
parser.add_argument("--test", nargs=2, required=True, help="images and classes to be tested on: IDX files")
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--batch", type=int, default=128)
parser.add_argument("--output", default="digit-features.safetensors")
arguments = parser.parse_args()


def digits(images, labels):
    """Images (n, 28, 28) from 0 to 1, and their classes."""
    read = [torch.from_numpy(x) for path in images for x in ig.io.read_images(path)]
    return torch.stack(read), torch.cat([torch.from_numpy(ig.io.read_labels(path)) for path in labels])


images, labels = digits(arguments.images, arguments.labels)
network = DigitFeatures.untrained(seed=0)
optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
steps = arguments.epochs * -(-len(images) // arguments.batch)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
torch.manual_seed(0)
for epoch in range(arguments.epochs):
    for batch in torch.randperm(len(images)).split(arguments.batch):
        # where a digit stands does not matter to what it is: each batch is moved by up to two pixels
        down, right = torch.randint(-2, 3, (2,)).tolist()
        x = 2 * images[batch].roll((down, right), (1, 2))[:, None] - 1
        loss = F.cross_entropy(network(x), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    print(f"epoch {epoch + 1}: the last batch has the loss {float(loss.detach()):.3f}", flush=True)

# features of unit standard deviation: their scale moves to the weights behind their rectification
with torch.no_grad():
    last, classes = network[0][-1], network[1][-1]
    std = DigitFeatures(network)(images).std(0)
    last.weight /= std[:, None]
    last.bias /= std
    classes.weight *= std

features = DigitFeatures(network)
test_images, test_labels = digits(arguments.test[:1], arguments.test[1:])
right = float((features.classify(test_images).argmax(1) == test_labels).double().mean())
print(f"test digits that it gets right: {100 * right:.2f} %")
features.save(
    arguments.output,
    data=f"{len(images)} images of MNIST's training set, LeCun and Cortes, CC BY-SA 3.0",
    quality={"test digits that it gets right, in %": round(100 * right, 2)},
    training={"epochs": arguments.epochs, "batch": arguments.batch, "seed": 0},
)

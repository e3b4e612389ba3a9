"""Imaging and sensing operators against SciPy, PIL and DeepInverse, side by side in one process."""

from __future__ import annotations

import numpy as np
import scipy.fft
import torch
from PIL import Image

from benchmarks.deepinverse import import_deepinv
from benchmarks.report import Report, race, relative
from invgen.operators import (
    DCT,
    Blur,
    Downsample,
    GaussianMatrix,
    Hadamard,
    SubsampledTransform,
    kernels,
)


def transforms(report: Report) -> None:
    """1024x1024 float32: cosine and Hadamard transform, and random rows of them."""
    x = torch.randn(1024, 1024, generator=torch.Generator().manual_seed(0))
    A, H = DCT((1024, 1024)), Hadamard((1024, 1024))
    ours, inverse, theirs, hadamard = race(
        lambda: A(x), lambda: A.H(x), lambda: scipy.fft.dctn(x.numpy(), norm="ortho"), lambda: H(x)
    )
    report.row(
        "`DCT`, 1024x1024; its adjoint; `scipy.fft.dctn`",
        f"{ours * 1e3:.1f} ms; {inverse * 1e3:.1f} ms; {theirs * 1e3:.1f} ms",
    )
    report.row(
        "`Hadamard`, 1024x1024; times the cosine transform of SciPy",
        f"{hadamard * 1e3:.1f} ms; {hadamard / theirs:.1f}",
    )
    exact = torch.from_numpy(scipy.fft.dctn(x.double().numpy(), norm="ortho"))
    for name, y in (
        ("`DCT`", A(x)),
        ("`scipy.fft.dctn`", torch.from_numpy(scipy.fft.dctn(x.numpy(), norm="ortho"))),
    ):
        report.row(
            f"{name} in float32 against float64",
            f"{relative(y, exact):.1e}",
            "1e-6",
            relative(y, exact) < 1e-6,
        )


def sensing(report: Report) -> None:
    """A quarter of 256x256 numbers, and a Gaussian matrix, forward and adjoint."""
    physics = import_deepinv().physics

    shape, m = (256, 256), 128 * 128
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    peer = physics.StructuredRandom(img_size=(1, *shape), output_size=(1, 128, 128), n_layers=1)
    image = x[None, None]
    data = peer.A(image)
    for name in ("dct", "hadamard"):
        A = SubsampledTransform(shape, m, name)
        y = A(x)
        ours, theirs = race(lambda: A.H(A(x)), lambda: peer.A_adjoint(peer.A(image)))
        what = f'`SubsampledTransform("{name}")`, 256x256, m = n / 4, forward + adjoint'
        _speed(report, f"{what}; DeepInverse `StructuredRandom`", ours, theirs)
        error = relative(A(A.H(y)), y)
        report.row("the same: A A.H against the identity, float32", f"{error:.1e}", "1e-6", error < 1e-6)
    error = relative(peer.A(peer.A_adjoint(data)), data)
    report.row("DeepInverse `StructuredRandom`: A A.H against the identity", f"{error:.1e}")

    M = GaussianMatrix((64, 64), 1024, seed=0)
    x = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    dense = physics.CompressedSensing(m=1024, img_size=(1, 64, 64), rng=torch.Generator().manual_seed(0))
    ours, theirs = race(lambda: M.H(M(x)), lambda: dense.A_adjoint(dense.A(x[None, None])))
    what = "`GaussianMatrix`, 64x64, m = 1024, forward + adjoint; DeepInverse `CompressedSensing`"
    _speed(report, what, ours, theirs)


def blur(report: Report) -> None:
    """512x512 float32, Gaussian of sigma 2: circular, against DeepInverse `BlurFFT`."""
    BlurFFT = import_deepinv().physics.BlurFFT

    x = torch.rand(512, 512, generator=torch.Generator().manual_seed(0))
    kernel = kernels.gaussian_kernel(2.0)
    A = Blur((512, 512), kernel)
    peer = BlurFFT(img_size=(1, 512, 512), filter=kernel.float()[None, None])
    image = x[None, None]
    report.row("`Blur` against DeepInverse `BlurFFT`", f"{relative(A(x), peer.A(image)[0, 0]):.1e} apart")
    y, b = A(x), A.H(A(x))
    ours, theirs = race(lambda: A.H(A(x)), lambda: peer.A_adjoint(peer.A(image)))
    _speed(report, "`Blur`, forward + adjoint; `BlurFFT`", ours, theirs)
    ours, theirs = race(lambda: A.solve(b, 0.1), lambda: peer.prox_l2(image, y[None, None], 10.0))
    _speed(report, "`Blur.solve`; `BlurFFT.prox_l2`", ours, theirs)


def downsample(report: Report) -> None:
    """Accuracy against PIL, and speed against DeepInverse's strided convolution."""
    Downsampling = import_deepinv().physics.Downsampling

    x = torch.rand(512, 512, generator=torch.Generator().manual_seed(0))
    filters = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
    picture = Image.fromarray(x.numpy())
    for factor in (2, 3, 4, 8):
        for kind, resampling in filters.items():
            A = Downsample((512, 512), factor, kind)
            theirs = np.asarray(picture.resize(A.range.shape[::-1], resampling))
            error = float(np.abs(A(x).numpy() - theirs).max())
            report.row(
                f'`Downsample({factor}, "{kind}")` against PIL, largest error',
                f"{error:.1e}",
                "1e-6",
                error < 1e-6,
            )
        theirs = np.asarray(picture.reduce(factor))
        error = float(np.abs(Downsample((512, 512), factor)(x).numpy() - theirs).max())
        report.row(
            f"`Downsample({factor})` against PIL's reduce, largest error",
            f"{error:.1e}",
            "1e-6",
            error < 1e-6,
        )
    image = x[None, None]
    for kind, window in (("bicubic", "bicubic"), ("block", torch.full((1, 1, 4, 4), 1 / 16))):
        peer = Downsampling(img_size=(1, 512, 512), filter=window, factor=4)
        A = Downsample((512, 512), 4, kind)
        y = peer.A(image)
        ours, theirs = race(lambda: A.H(A(x)), lambda: peer.A_adjoint(peer.A(image)))
        _speed(
            report, f'`Downsample(4, "{kind}")`, forward + adjoint; DeepInverse `Downsampling`', ours, theirs
        )
        b = A.H(A(x))
        ours, theirs = race(lambda: A.solve(b, 0.1), lambda: peer.prox_l2(image, y, 10.0))
        _speed(report, f'`Downsample(4, "{kind}").solve`; `Downsampling.prox_l2`', ours, theirs)


def _speed(report: Report, what: str, ours: float, theirs: float) -> None:
    report.row(what, f"{ours * 1e3:.2f} ms; {theirs * 1e3:.2f} ms: {theirs / ours:.1f} times as fast")

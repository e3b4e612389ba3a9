"""Measures of the error of an image.

The last two axes are the image and every leading axis is batch: each function returns one float64 number
per image, in a tensor of the leading axes' shape (zero-dimensional for a single image). Nothing is
clipped, rescaled or cropped before it is compared.
"""

from __future__ import annotations

import torch
from torch import Tensor

from invgen.core.errors import DtypeError, ParameterError, ShapeError

__all__ = ["nrmse", "psnr", "relative_error", "ssim"]


def psnr(
    image: Tensor, truth: Tensor, *, data_range: float | None = None, mask: Tensor | None = None
) -> Tensor:
    """Peak signal-to-noise ratio, ``10 log10(data_range^2 / mean(|image - truth|^2))``, in dB.

    Parameters
    ----------
    image, truth : Tensor, shape (..., H, W)
        The estimate and what it should be. The error of complex images is the modulus of the difference.
    data_range : float, optional
        The peak; by default, each truth's own largest minus smallest value (of the modulus where complex).
    mask : bool Tensor, shape (H, W), optional
        Pixels that count, for the error and the default range, such as the disc that every view sees.

    Returns
    -------
    Tensor, float64, shape (...)
        Infinite where the image equals the truth.

    Raises
    ------
    ShapeError
        If the shapes differ or the mask is no image of theirs.
    ParameterError
        If the range is not positive (a constant truth has none) or the mask is empty.
    """
    image, truth = _pixels(image, truth, mask)
    peak = _peak(truth, data_range)
    return 10 * torch.log10(peak**2 / _mean_square(image - truth))


def nrmse(
    image: Tensor, truth: Tensor, *, data_range: float | None = None, mask: Tensor | None = None
) -> Tensor:
    """Root mean square error over the data range, ``sqrt(mean(|image - truth|^2)) / data_range``.

    Parameters, shapes and errors are those of `psnr`, which is ``-20 log10(nrmse)``.
    """
    image, truth = _pixels(image, truth, mask)
    return _mean_square(image - truth).sqrt() / _peak(truth, data_range)


def relative_error(image: Tensor, truth: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Relative l2 error, ``|image - truth| / |truth|``; parameters, shapes and errors are those of `psnr`."""
    image, truth = _pixels(image, truth, mask)
    return (_mean_square(image - truth) / _mean_square(truth)).sqrt()


def ssim(image: Tensor, truth: Tensor, *, data_range: float | None = None) -> Tensor:
    """Structural similarity, Wang, Bovik, Sheikh and Simoncelli (2004): 1 for equal images.

    Scikit-image's, with the paper's settings: Gaussian window of sigma 1.5 pixels cut at 3.5 sigma,
    population covariance, K1 = 0.01, K2 = 0.03, mean over the pixels whose window lies in the image.

    Parameters
    ----------
    image, truth : real Tensor, shape (..., H, W)
        The estimate and what it should be, at least 11 pixels on each side.
    data_range : float, optional
        L in the paper; by default, each truth's own largest minus smallest value.

    Returns
    -------
    Tensor, float64, shape (...)

    Raises
    ------
    ShapeError
        If the shapes differ or an image is smaller than the window.
    DtypeError
        If the images are complex.
    ParameterError
        If the range is not positive (a constant truth has none).
    """
    from skimage.metrics import structural_similarity

    if image.is_complex() or truth.is_complex():
        raise DtypeError("ssim compares real images; give it the modulus, image.abs().")
    rows, batch = _pixels(image, truth, None), truth.shape[:-2]
    if min(truth.shape[-2:]) < 11:
        raise ShapeError(f"ssim has a window of 11 x 11 pixels; the images are {tuple(truth.shape[-2:])}.")
    images, truths = (pixels.reshape(-1, *truth.shape[-2:]).cpu().numpy() for pixels in rows)
    peaks = _peak(rows[1], data_range).expand(batch).reshape(-1).tolist()
    values = [
        structural_similarity(
            one, true, data_range=peak, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for one, true, peak in zip(images, truths, peaks, strict=True)
    ]
    return torch.tensor(values, dtype=torch.float64).reshape(batch)


def _pixels(image: Tensor, truth: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Flatten both to (..., pixels that count), in double precision."""
    if image.shape != truth.shape or truth.ndim < 2 or truth.numel() == 0:
        raise ShapeError(
            f"Two images of one shape (..., H, W) can be compared; got {tuple(image.shape)} and a truth of "
            f"{tuple(truth.shape)}."
        )
    wide = torch.complex128 if image.is_complex() or truth.is_complex() else torch.float64
    if mask is None:
        return image.detach().to(wide).flatten(-2), truth.detach().to(wide).flatten(-2)
    if mask.shape != truth.shape[-2:] or mask.dtype != torch.bool:
        raise ShapeError(
            f"A mask is boolean and of the image's shape {tuple(truth.shape[-2:])}; got {mask.dtype} of "
            f"{tuple(mask.shape)}."
        )
    if not bool(mask.any()):
        raise ParameterError("The mask leaves no pixel to compare.")
    return image.detach()[..., mask].to(wide), truth.detach()[..., mask].to(wide)


def _mean_square(pixels: Tensor) -> Tensor:
    return (pixels.abs() ** 2).mean(-1)


def _peak(truth: Tensor, data_range: float | None) -> Tensor:
    if data_range is None:
        size = truth.abs() if truth.is_complex() else truth
        peak = size.amax(-1) - size.amin(-1)
    else:
        peak = torch.tensor(data_range, dtype=torch.float64, device=truth.device)
    if not bool((peak > 0).all()):
        raise ParameterError(
            "The data range is not positive: the truth is constant, or a range <= 0 was given. "
            "Give data_range, the distance between the largest and smallest possible value."
        )
    return peak

"""Samples and their statistics, beside the reconstruction."""

import h5py
import numpy as np
import pytest
import torch

from invgen.core.errors import FileError, ParameterError
from invgen.io import ReconstructionWriter, bytes_per_pixel, read_reconstruction


def about(**more):
    return {
        "slices": 2,
        "image_shape": (8, 6),
        "pixel_size": 0.5,
        "unit": "mm",
        "source": "scan.h5",
        "settings": {"solver": "dds"},
        **more,
    }


def drawn(n, dtype=torch.float32):
    return torch.randn(2, n, 8, 6, dtype=dtype, generator=torch.Generator().manual_seed(0))


def written(path, samples):
    with ReconstructionWriter(
        path, **about(complex=samples.is_complex(), samples=samples.shape[1])
    ) as writer:
        for index in (1, 0):
            writer.write(index, samples[index].mean(0), ("drawn",), samples[index])
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_of_one_density_the_quantiles_are_those_of_its_distribution(tmp_path, dtype):
    """Of a Gaussian, and of the modulus of a complex one, which is Rayleigh's; 4000 samples, 96 pixels.

    The error of a quantile is ``sqrt(q (1 - q) / n) / p(x)``: below 0.034 at the ends, over five pixels'.
    """
    samples = drawn(4000, dtype)
    if samples.is_complex():
        samples = samples * 2**0.5  # each part of variance one
    with read_reconstruction(written(tmp_path / "out.h5", samples)) as file:
        q = torch.tensor(list(file.posterior.quantiles), dtype=torch.float64)
        if samples.is_complex():
            expected, std = (-2 * torch.log(1 - q)).sqrt(), 2**0.5
        else:
            expected, std = torch.distributions.Normal(0, 1).icdf(q), 1.0
        found = np.stack([values[:] for values in file.posterior.quantiles.values()])
        assert np.abs(found - expected.numpy()[:, None, None, None]).max() < 5 * 0.034
        assert np.abs(file.posterior.std[:] - std).max() < 5 * std / (2 * 4000) ** 0.5
        assert file.posterior.estimator == "order statistics"


def test_what_is_written_is_read(tmp_path):
    samples = drawn(3, torch.complex64)
    path = written(tmp_path / "out.h5", samples)
    with read_reconstruction(path) as file:
        assert np.array_equal(file.posterior.samples[:], samples.transpose(0, 1))
        assert np.array_equal(file.posterior.std[:], samples.std(1))
        assert file.posterior.samples.chunks == (1, 1, 8, 6)
        assert file.report(0) == ("drawn",)
    # the layout of files without samples stands, for those who know no others
    with h5py.File(path) as file:
        assert file.attrs["format"] == "invgen reconstruction 2"
        assert np.array_equal(file["reconstruction"][:], samples.mean(1))


@pytest.mark.parametrize("n", [1, 5, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_room_is_counted_for_all_images(tmp_path, n, dtype):
    found = []
    with h5py.File(written(tmp_path / "out.h5", drawn(n, dtype))) as file:
        file.visititems(lambda _, item: found.append(item))  # returning None goes on
        images = [item for item in found if getattr(item, "ndim", 0) >= 3]
        assert sum(item.nbytes for item in images) == bytes_per_pixel(dtype.is_complex, n) * 2 * 8 * 6


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (None, "opened for them"),
        (drawn(2)[0], r"expected samples \(3, 8, 6\)"),
        (drawn(3, torch.complex64)[0], "open it as complex"),
    ],
)
def test_samples_that_do_not_fit_are_refused(tmp_path, samples, message):
    with (
        pytest.raises(ParameterError, match=message),
        ReconstructionWriter(tmp_path / "out.h5", **about(samples=3)) as writer,
    ):
        writer.write(0, torch.zeros(8, 6), (), samples)
    assert not list(tmp_path.iterdir())


CHANGES = {
    "fewer slices": {"samples": np.zeros((3, 1, 8, 6), "f4")},
    "no samples": {"samples": np.zeros((0, 2, 8, 6), "f4")},
    "no array": {"samples": h5py.Empty("f4")},
    "samples of another type": {"samples": np.zeros((3, 2, 8, 6), "c8")},
    "standard deviation that is missing": {"std": None},
    "standard deviation of another size": {"std": np.zeros((2, 8, 7), "f4")},
    "quantiles that are text": {"quantiles/0.5": np.full((2, 8, 6), b"text")},
    "an external link": {"std": h5py.ExternalLink("other.h5", "std")},
}


@pytest.mark.parametrize("name", CHANGES)
def test_files_that_contradict_themselves(tmp_path, name):
    path = written(tmp_path / "out.h5", drawn(3))
    with h5py.File(path, "a") as file:
        for dataset, value in CHANGES[name].items():
            del file[dataset]
            if value is not None:
                file[dataset] = value
    with pytest.raises(FileError, match=r"damaged|no dataset|missing"):
        read_reconstruction(path)

"""Scans reconstructed in the latent variables of a generator: what is found, and what is refused."""

from __future__ import annotations

import math

import h5py
import numpy as np
import pytest
import torch

import invgen as ig
from invgen.io import open_scan, read_reconstruction
from invgen.simulate import simulate_ct
from invgen.solvers.methods import METHODS

SIDE, VIEWS, STD = 16, 6, 1e-3
#: Methods of latent variables that give one estimate.
ESTIMATES = {method.name: method for method in METHODS if method.latent and not method.samples}
BRIEF = ("--set", "restarts=2", "--iterations", 6)


def vae():
    return ig.priors.VAE.untrained((SIDE, SIDE), latent=4, widths=(8,))


@pytest.fixture(scope="module")
def priors(tmp_path_factory):
    """Files of generators, and of a denoiser, none of which is trained."""
    folder = tmp_path_factory.mktemp("priors")
    made = {
        "vae": vae(),
        "gan": ig.priors.GAN.untrained((SIDE, SIDE), latent=4, widths=(8,)),
        "flow": ig.priors.Flow.untrained((SIDE, SIDE), scales=1, steps=1, coupling="affine", levels=None),
        "wide": ig.priors.VAE.untrained((SIDE, 24), latent=4, widths=(8,)),
        "color": ig.priors.GAN.untrained((3, SIDE, SIDE), latent=4, widths=(8,)),
    }
    for name, prior in made.items():
        prior.save(folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in made}


@pytest.fixture(scope="module")
def truth():
    """Three images that the generator makes."""
    z = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return vae().decode(z)


@pytest.fixture(scope="module")
def ct(tmp_path_factory, truth):
    """The line integrals of these as slices, along few views."""
    path = tmp_path_factory.mktemp("ct") / "scan.h5"
    A = ig.operators.Radon((SIDE, SIDE), VIEWS)
    noise = torch.randn(3, *A.range.shape, generator=torch.Generator().manual_seed(0))
    with h5py.File(path, "w") as file:
        file["projections"] = (A(truth) + STD * noise).movedim(0, 1).numpy()
        file["angles"] = np.arange(VIEWS) * math.pi / VIEWS
    return path


@pytest.fixture
def words(ct):
    """What the file does not say."""
    with h5py.File(ct) as file:
        middle = (file["projections"].shape[-1] - 1) / 2
    reading = ("--dataset", "projections", "--axes", "angle,row,column", "--angles", "angles")
    units = ("--angle-unit", "rad", "--quantity", "absorption", "--center", middle)
    return ("recon", ct, *reading, *units, "--size", SIDE)


def found(path):
    with h5py.File(path) as file:
        return torch.from_numpy(file["reconstruction"][:])


def as_in_python(ct, path, row):
    """The problem of a row of the scan, and the scale, as the file of a reconstruction has them."""
    with read_reconstruction(path) as file:
        scale, center = file.settings["scale"], file.settings["center"]
    angles = np.arange(VIEWS) * math.pi / VIEWS
    reading = {"dataset": "projections", "axes": "angle,row,column", "quantity": "absorption"}
    with open_scan(ct, angles=angles, **reading) as scan:
        return scan.problem(row, center=center, image_shape=(SIDE, SIDE)), scale


def test_images_that_the_generator_makes_are_found_from_few_views(invgen, words, priors, truth, tmp_path):
    given = ("--solver", "csgm", "--prior", priors["vae"], "--scale", 1, "--set", "restarts=3")
    for solver in (("--solver", "fbp"), given):
        result = invgen(*words, *solver, "-o", tmp_path / f"{solver[1]}.h5")
        assert result.exit_code == 0, result.output
    away = {name: found(tmp_path / f"{name}.h5") - truth for name in ("fbp", "csgm")}
    error = {name: each.flatten(1).norm(dim=1) for name, each in away.items()}
    apart = (truth - truth.roll(1, 0)).flatten(1).norm(dim=1)
    assert bool((error["csgm"] < 0.05 * apart).all())
    assert bool((error["fbp"] > apart).all())


def test_slices_are_what_python_finds_of_them_as_a_batch(invgen, words, priors, ct, tmp_path):
    result = invgen(*words, *BRIEF, "--solver", "csgm", "--prior", priors["vae"], "-o", tmp_path / "x.h5")
    assert result.exit_code == 0, result.output
    each, (scale, *_) = zip(*(as_in_python(ct, tmp_path / "x.h5", row) for row in range(3)), strict=True)
    together = ig.Problem(each[0].operator, torch.stack([problem.measurement for problem in each]))
    solver = ig.solvers.LatentOptimization(vae(), restarts=2, iterations=6, scale=scale)
    torch.testing.assert_close(found(tmp_path / "x.h5"), solver(together, seed=0).x, rtol=1e-4, atol=1e-5)


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("solver", sorted(ESTIMATES))
def test_every_method_takes_slices_of_ct(invgen, words, priors, solver, tmp_path):
    """The data are fitted better than by an image of zeros."""
    prior = {"flow-map": "flow", "pulse": "gan"}.get(solver, "vae")
    few = BRIEF if solver != "image-adaptive" else (*BRIEF, "--set", "first=4")
    few = (*few, "--set", "layers=1") if solver == "ilo" else few
    given = (*few, "--solver", solver, "--prior", priors[prior], "--slices", 1)
    result = invgen(*words, *given, "-o", tmp_path / "out.h5")
    assert result.exit_code == 0, result.output
    (image,) = found(tmp_path / "out.h5")
    A = ig.operators.Radon((SIDE, SIDE), VIEWS)
    with h5py.File(words[1]) as file:
        y = torch.from_numpy(file["projections"][:, 1])
    assert float((A(image) - y).norm()) < 0.5 * float(y.norm())


def test_the_most_probable_slice_of_a_density_of_pixels(invgen, words, ct, tmp_path):
    prior = ig.priors.Autoregressive.untrained((SIDE, SIDE), levels=4, width=8, layers=1)
    prior.save(tmp_path / "density.safetensors")
    given = ("--solver", "map", "--prior", tmp_path / "density.safetensors", "--slices", 1, "--iterations", 9)
    result = invgen(*words, *given, "-o", tmp_path / "x.h5")
    assert result.exit_code == 0, result.output
    problem, scale = as_in_python(ct, tmp_path / "x.h5", row=1)
    expected = ig.solvers.DensityMAP(prior, scale=scale, iterations=9)(problem).x
    torch.testing.assert_close(found(tmp_path / "x.h5")[0], expected, rtol=1e-4, atol=1e-5)


def test_a_fan_beam_is_one_of_slices_too(invgen, priors, tmp_path):
    simulate_ct(tmp_path / "fan.h5", "shepp-logan", geometry="fan", size=SIDE, views=30, pixel_size=0.1)
    given = ("--solver", "csgm", "--prior", priors["vae"], *BRIEF)
    result = invgen("recon", tmp_path / "fan.h5", *given, "-o", tmp_path / "out.h5")
    assert result.exit_code == 0, result.output
    assert bool(found(tmp_path / "out.h5").isfinite().all())


@pytest.mark.parametrize(
    ("solver", "given", "message"),
    [
        (
            "csgm",
            (),
            "--prior NAME|FILE. With the package come, of real images, digits-flow, digits-g",
        ),
        ("csgm", ("--prior", "ct-phantoms"), "needs a prior that is Generator"),
        ("csgm", ("--prior", "digits-vae"), "of 28 x 28 pixels; these have 16 x 16: choose --size 28,"),
        ("csgm", ("--prior", "wide"), "of 16 x 24 pixels; these have 16 x 16: choose --size 16x24,"),
        ("csgm", ("--prior", "color"), "is of images with 3 channels; those of a scan have one"),
        ("flow-map", ("--prior", "gan"), "FlowMAP needs a prior that is Density"),
        ("csgm", ("--prior", "vae", "--samples", 2), "--samples means nothing to the solver csgm"),
        ("csgm", ("--prior", "vae", "--set", "restarts=0"), "restarts"),
        ("csgm", ("--prior", "absent.safetensors"), "absent.safetensors"),
    ],
)
def test_what_does_not_fit_is_refused(refused, words, priors, solver, given, message, tmp_path):
    given = tuple(priors.get(word, word) for word in given)
    text = refused(*words, "--solver", solver, *given, "-o", tmp_path / "out.h5")
    assert message in text
    assert not (tmp_path / "out.h5").exists()


def test_volumes_and_complex_images_are_refused(refused, mri, priors, tmp_path):
    """A cone beam measures slices together, and generators in files make no complex images."""
    simulate_ct(tmp_path / "cone.h5", "shepp-logan", geometry="cone", size=SIDE, views=10, slices=2)
    given = ("--solver", "csgm", "--prior", priors["vae"], "-o", tmp_path / "out.h5")
    assert "--solver csgm makes single slices, and those of a cone beam" in refused(
        "recon", tmp_path / "cone.h5", *given
    )
    text = refused("recon", mri, *given)
    assert "--solver csgm is for CT scans and images; this is an MRI scan" in text
    assert "Generators in files make real images, and those of MRI are complex: from Python" in text

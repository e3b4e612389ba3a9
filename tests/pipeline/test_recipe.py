"""Recipes: what fits a scan, and how they are written down."""

import pickle
import shlex
from pathlib import Path

import pytest

import invgen as ig
from invgen.core.errors import ParameterError
from invgen.pipeline import Reading, Recipe
from invgen.pipeline.evaluation import Evaluating
from invgen.pipeline.options import options
from invgen.pipeline.recipe import command_line, methods_of, settings_of
from invgen.solvers.methods import BEAMS, KSPACE, METHODS, used_for

FULL = Recipe(
    solver="dds",
    slices=slice(1, 4),
    views=slice(None, None, 2),
    angles_range=(0.0, 1.5),
    center=12.5,
    whiten=False,
    nonnegative=False,
    prior="ct-phantoms",
    settings={"gamma": 2.0, "sigma_range": (0.1, 2)},
)


class TestFitting:
    def test_the_default_is_that_of_the_scan(self):
        assert Recipe().fitting("fan", "fbp").solver == "fbp"
        assert Recipe(solver="tv").fitting("fan", "fbp").solver == "tv"

    def test_samplers_draw_eight_samples_by_default(self):
        recipe = Recipe(solver="dds", prior="ct-phantoms")
        assert recipe.fitting("parallel", "fbp").samples == 8
        with pytest.raises(ParameterError, match=r"--prior NAME.*ct-phantoms"):
            Recipe(solver="dds").fitting("parallel", "fbp")

    def test_denoisers_and_patches_are_asked_for_without_samples(self):
        recipe = Recipe(solver="epll", prior="patches-gray").fitting("imaging", "tv")
        assert (recipe.samples, recipe.scale) == (None, None)
        with pytest.raises(ParameterError, match=r"--prior NAME.*a mixture of patches.*come patches-gray\."):
            Recipe(solver="epll").fitting("imaging", "tv")
        with pytest.raises(ParameterError, match=r"--prior NAME.*denoiser-gray"):
            Recipe(solver="red").fitting("imaging", "tv")

    @pytest.mark.parametrize(
        ("recipe", "geometry", "message"),
        [
            (Recipe(solver="rss"), "cone", "--solver rss is for MRI scans; this is a CT scan: fbp, tv"),
            (Recipe(solver="epll"), "cone", "--solver epll is for images; this is a CT scan: fbp, tv"),
            (Recipe(solver="fbp"), "imaging", "--solver fbp is for CT scans; this is an image: tv, cg"),
            (Recipe(solver="tv", bin=2), "imaging", "--bin is for CT scans; this is an image"),
            (Recipe(noise_std=0.1), "cartesian", "--noise-std is for images; this is an MRI scan"),
            (Recipe(size=32), "cartesian", "--size is for CT scans and images; this is an MRI scan"),
            (Recipe(repetition=1), "fan", "--repetition is for MRI scans; this is a CT scan"),
            (Recipe(whiten=False), "fan", "--no-whiten is for MRI scans"),
            (Recipe(angles_range=(0, 1)), "cartesian", "--angles-range is for CT scans; this is an MRI scan"),
            (
                Recipe(window="hann", solver="tv"),
                "fan",
                "--window means nothing to the solver tv; it is for fbp",
            ),
            (
                Recipe(maps="adaptive", solver="rss"),
                "cartesian",
                "it is for zero-filled, cg-sense, tv, homodyne, pocs, dds",
            ),
        ],
    )
    def test_what_means_nothing_is_refused(self, recipe, geometry, message):
        with pytest.raises(ParameterError, match=message):
            recipe.fitting(geometry, {"cartesian": "cg-sense", "imaging": "tv"}.get(geometry, "fbp"))

    @pytest.mark.parametrize("method", [m for m in METHODS if {*BEAMS, *KSPACE, "imaging"} & set(m.uses)])
    def test_options_of_a_method_are_hyperparameters_of_its_class_or_of_its_prior(self, method):
        known = {"prior", "calibration", "samples", "maps", "compress", "whiten", *method.hyperparameters}
        known |= {each.name for each in options(Evaluating)}  # of the prior
        known |= {"weight", "nonnegative"} if method.penalized else set()
        for option in options(Recipe):
            if option.methods is not None and option.methods(method):
                assert option.name in known, option.name


class TestSettings:
    def test_hyperparameters_that_are_options_are_given_as_such(self):
        recipe = Recipe(solver="cg", settings={"iterations": 7, "weight": "auto", "tolerance": 1e-3})
        fitting = recipe.fitting("parallel", "fbp")
        assert (fitting.iterations, fitting.weight, fitting.settings) == (7, None, {"tolerance": 1e-3})

    def test_they_are_checked_by_name_and_type(self):
        with pytest.raises(ParameterError, match=r"no hyper-parameter zeta; there are .*tolerance"):
            Recipe(solver="cg", settings={"zeta": 1}).fitting("parallel", "fbp")
        with pytest.raises(ParameterError, match="tolerance of cg is a number; got 'small'"):
            Recipe(solver="cg", settings={"tolerance": "small"}).fitting("parallel", "fbp")
        with pytest.raises(ParameterError, match="--iterations is a whole number"):
            Recipe(solver="cg", settings={"iterations": 2.5}).fitting("parallel", "fbp")
        with pytest.raises(ParameterError, match="iterations is given twice, by --set and by --iterations"):
            Recipe(solver="cg", iterations=3, settings={"iterations": 4}).fitting("parallel", "fbp")


class TestRecord:
    def test_the_command_says_all_of_it(self, tmp_path):
        reading = Reading(axes="angle,column", angles=(0.0, 1.5707963267948966), matrix=(3, 4))
        words = shlex.split(command_line(Path("a scan.h5"), tmp_path, reading, FULL))
        assert words[:5] == ["invgen", "recon", "a scan.h5", "-o", str(tmp_path)]
        said = " ".join(words)
        for text in (
            "--axes angle,column",
            "--angles 0:180:2",
            "--matrix 3x4",
            "--slices 1:4",
            "--views ::2",
            "--center 12.5",
            "--no-whiten",
            "--no-nonnegative",
            "--set gamma=2.0 --set sigma_range=0.1,2",
        ):
            assert text in said
        assert "--bin" not in said

    def test_what_no_command_can_say_has_none(self):
        uneven = Reading(angles=(0.0, 0.1, 0.3))
        settings = settings_of(Path("scan.h5"), Path("out.h5"), uneven, Recipe(), range(2))
        assert settings["command"] is None
        assert settings["reading"] == {"angles": (0.0, 0.1, 0.3)}
        assert settings["rows"] == [0, 1]

    def test_values_are_recorded_as_they_are_typed(self):
        settings = settings_of(Path("scan.h5"), Path("out.h5"), Reading(), FULL, range(1, 4))
        assert (settings["slices"], settings["views"], settings["center"]) == ("1:4", "::2", 12.5)
        assert settings["settings"] == {"gamma": 2.0, "sigma_range": [0.1, 2]}

    def test_recipes_go_to_other_processes(self):
        assert pickle.loads(pickle.dumps(FULL)) == FULL
        assert pickle.loads(pickle.dumps(Reading(field_of_view=(0.2, 0.1)))).field_of_view == (0.2, 0.1)

    def test_they_do_not_change(self):
        with pytest.raises(AttributeError):
            FULL.bin = 2
        given = {"gamma": 2.0}
        recipe = Recipe(settings=given)
        given["gamma"] = 3.0
        assert recipe.settings == {"gamma": 2.0}


def test_methods_of_counts_are_for_no_file():
    """What files hold has Gaussian noise, or an estimate of its level."""
    assert "mlem" not in methods_of("images")
    assert set(methods_of("CT", "MRI")) == set(used_for(*BEAMS, *KSPACE))


def test_every_sampler_has_a_name():
    classes = {
        name
        for name in ig.solvers.__all__
        if issubclass(getattr(ig.solvers, name), ig.solvers.PosteriorSampler)
    }
    named = {method.solver.__name__ for method in used_for(*BEAMS, *KSPACE).values() if method.samples}
    assert named == classes - {"PosteriorSampler", "DiffusionSolver"}

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from invgen import figures, metrics, phantoms
from invgen.core.errors import ParameterError, ShapeError

TRUTH = phantoms.foam(0, 64.0).image((128, 128), 1.0)
ANGLES = torch.arange(20) * (torch.pi / 20)
SINOGRAM = phantoms.foam(0, 64.0).sinogram(ANGLES, 140)


def noisy(std):
    return TRUTH + std * torch.randn(TRUTH.shape, generator=torch.Generator().manual_seed(0))


def demo(**settings):
    images = {"FBP": noisy(0.2), "TV": noisy(0.02)}
    return figures.comparison(SINOGRAM, images, TRUTH, angles=ANGLES, **settings)


def shown(figure):
    """Arrays of the images in a figure, its color bars left out."""
    return [axis.images[0] for axis in figure.axes if axis.images]


def texts(figure):
    return [
        text for axis in figure.axes for text in (axis.title, axis.xaxis.label, axis.yaxis.label, *axis.texts)
    ]


def overlaps(figure):
    """Pairs of texts whose boxes overlap: titles, axis labels, tick labels, powers of ten."""
    figure.draw_without_rendering()
    every = texts(figure)
    for axis in figure.axes:
        for line in (axis.xaxis, axis.yaxis):
            low, high = sorted(line.get_view_interval())
            drawn = [tick for tick in line.get_major_ticks() if low <= tick.get_loc() <= high]
            every += [label for tick in drawn for label in (tick.label1, tick.label2)]
            every.append(line.get_offset_text())
    boxes = [
        (text.get_text(), text.get_window_extent())
        for text in every
        if text.get_visible() and text.get_text()
    ]
    inside = figure.bbox.padded(1)
    for text, box in boxes:
        assert inside.contains(box.x0, box.y0), f"{text!r} is cut"
        assert inside.contains(box.x1, box.y1), f"{text!r} is cut"
    return [
        (one, two)
        for index, (one, box) in enumerate(boxes)
        for two, other in boxes[index + 1 :]
        if box.overlaps(other)
    ]


def test_comparison_shows_the_images_and_their_figures_of_merit():
    figure = demo()
    titles = [axis.get_title() for axis in figure.axes]
    psnr, ssim = metrics.psnr(noisy(0.02), TRUTH), metrics.ssim(noisy(0.02), TRUTH)
    assert f"TV\n{psnr:.1f} dB, SSIM {ssim:.3f}" in titles
    arrays = [image.get_array().shape for image in shown(figure)]
    assert arrays.count((128, 128)) == 3
    assert arrays.count((32, 32)) == 3  # the detail
    assert arrays.count((20, 140)) == 1


def test_images_that_are_compared_share_one_window():
    windows = {image.get_clim() for image in shown(demo())[1:]}
    assert len(windows) == 1
    low, high = windows.pop()
    assert low < 0 < TRUTH.max() < high


def test_sinogram_axes_are_degrees_and_detector_place():
    extent = shown(demo(detector_offset=-5.0, pixel_size=0.5, unit="mm"))[0].get_extent()
    assert extent == pytest.approx((-40.0, 30.0, 175.5, -4.5))


def test_detail_is_where_the_truth_is_liveliest():
    truth = torch.zeros(64, 64)
    truth[40:56:2, 8:24] = 1
    figure = figures.comparison(SINOGRAM, {"guess": truth + 0.1}, truth, angles=ANGLES, window=(0.0, 1.0))
    detail = next(image for image in shown(figure) if image.get_array().shape == (16, 16))
    assert detail.get_array().sum() == pytest.approx((truth[40:56, 8:24] + 0.1).sum())


@pytest.mark.parametrize("settings", [{}, {"pixel_size": 0.00065, "unit": "mm"}])
def test_nothing_overlaps_in_a_comparison(settings):
    assert not overlaps(demo(**settings))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("columns", [2, 4])
def test_nothing_overlaps_in_a_montage(shared, columns):
    images = [noisy(0.1), 1e4 * noisy(0.1)[:70], 1e-3 * TRUTH]
    figure = figures.montage(
        images, ["one", "two", "three"], shared=shared, columns=columns, label="attenuation (1/mm)"
    )
    assert not overlaps(figure)


@pytest.mark.parametrize(
    ("count", "side", "drawn"), [(1, 640, 640), (1, 64, 357), (2, 400, 400), (2, 900, 520)]
)
def test_one_or_two_images_are_drawn_at_their_own_resolution(count, side, drawn):
    figure = figures.montage([torch.rand(side, side)] * count, ["slice"] * count, label="attenuation (1/mm)")
    for axis in figure.axes[:count]:
        box = axis.get_window_extent()
        assert (box.width, box.height) == pytest.approx((drawn, drawn), abs=1)
    assert not overlaps(figure)


def test_a_shared_window_covers_all_images_and_its_own_only_one():
    images = [TRUTH, 3 * TRUTH]
    together = [image.get_clim() for image in shown(figures.montage(images, ["a", "b"]))[:2]]
    assert together[0] == together[1]
    apart = [image.get_clim() for image in shown(figures.montage(images, ["a", "b"], shared=False))]
    assert (apart[0][1], 3.0) in [(pytest.approx(1.0), pytest.approx(image[1])) for image in apart]
    given = figures.montage(images, ["a", "b"], window=(0.0, 2.0))
    assert shown(given)[0].get_clim() == (0.0, 2.0)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_uncertainty_has_a_window_for_images_and_one_from_zero_for_their_std(count):
    images = [(1 + i) * TRUTH for i in range(count)]
    stds = [(1 + i) * (0.01 + noisy(0.1).abs()) for i in range(count)]
    figure = figures.uncertainty(images, stds, ["slice"] * count, label="attenuation (1/mm)")
    windows = [axis.images[0].get_clim() for axis in figure.axes[: 2 * count]]
    assert windows[::2] == [pytest.approx((0, count), abs=1e-6)] * count
    assert len(set(windows[1::2])) == 1
    assert windows[1][0] == 0.0
    assert not overlaps(figure)


@pytest.mark.parametrize(
    ("pixel_size", "unit", "text"),
    [(1.0, "pixel", "20 pixels"), (0.03125, "mm", "1 mm"), (0.65, "um", "20 um"), (2e-6, "m", "5e-05 m")],
)
def test_scale_bar_is_a_round_length_drawn_to_scale(pixel_size, unit, text):
    axis = figures.montage([TRUTH], ["truth"], pixel_size=pixel_size, unit=unit).axes[0]
    assert [text.get_text() for text in axis.texts] == [text]
    start, stop = axis.lines[0].get_xdata()
    assert (stop - start) * pixel_size == pytest.approx(float(text.split()[0]))


def test_a_constant_image_and_one_with_holes_can_be_shown():
    holes = TRUTH.clone()
    holes[:5] = torch.nan
    assert len(shown(figures.montage([torch.zeros(8, 8), holes], ["zero", "holes"], shared=False))) >= 2


def test_picture_is_a_small_png_with_true_black_white_and_line_colors(tmp_path):
    image = pytest.importorskip("PIL.Image")
    figures.save(demo(), tmp_path / "demo.png")
    assert [file.name for file in tmp_path.iterdir()] == ["demo.png"]
    assert (tmp_path / "demo.png").stat().st_size < 400_000
    with image.open(tmp_path / "demo.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 1200
        colors = {color for _, color in picture.convert("RGB").getcolors()}
    assert {(255, 255, 255), (0, 0, 0), (0xFF, 0xC2, 0x0A), (0xD9, 0x5F, 0x02)} <= colors


def test_neither_pyplot_nor_a_display_is_used(tmp_path):
    code = (
        "import sys, torch; from invgen import figures;"
        "assert 'matplotlib' not in sys.modules and 'skimage' not in sys.modules;"
        f"figures.save(figures.montage([torch.eye(16)], ['eye']), {str(tmp_path / 'eye.png')!r});"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(ShapeError, match="one slice"):
        figures.montage([torch.zeros(2, 8, 8)], ["stack"])
    with pytest.raises(ShapeError, match="modulus"):
        figures.montage([torch.zeros(8, 8, dtype=torch.complex64)], ["complex"])
    with pytest.raises(ShapeError, match="title"):
        figures.montage([TRUTH], [])
    with pytest.raises(ParameterError, match="window"):
        figures.montage([TRUTH], ["truth"], window=(1.0, 1.0))
    with pytest.raises(ParameterError, match="pixel size"):
        figures.montage([TRUTH], ["truth"], pixel_size=0.0)
    with pytest.raises(ParameterError, match="finite"):
        figures.montage([torch.full((8, 8), torch.nan)], ["nothing"])
    with pytest.raises(ShapeError, match="standard deviation"):
        figures.uncertainty([TRUTH, TRUTH], [TRUTH], ["truth", "truth"])
    with pytest.raises(ParameterError, match="aspect"):
        figures.uncertainty([TRUTH], [TRUTH], ["truth"], aspect=0.0)
    with pytest.raises(ShapeError, match="one angle each"):
        figures.comparison(SINOGRAM, {"a": TRUTH}, TRUTH, angles=ANGLES[:3])
    with pytest.raises(ParameterError, match="one to four"):
        figures.comparison(SINOGRAM, {}, TRUTH, angles=ANGLES)
    with pytest.raises(ShapeError, match="one shape"):
        figures.comparison(SINOGRAM, {"a": TRUTH[:64]}, TRUTH, angles=ANGLES)


class TestErrorMaps:
    MASK = (torch.arange(128) % 4 == 0)[:, None].expand(128, 128)

    def figure(self, sampling=MASK, **settings):
        return figures.error_maps(sampling, {"CG": noisy(0.2), "TV": noisy(0.02)}, TRUTH, **settings)

    def test_shows_samples_images_truth_and_errors(self):
        pictures = [image.get_array() for image in shown(self.figure(unit="mm"))]
        first = noisy(0.2)
        assert [tuple(picture.shape) for picture in pictures] == 6 * [(128, 128)]
        assert torch.equal(torch.as_tensor(pictures[0] > 0), self.MASK)
        assert torch.allclose(torch.as_tensor(pictures[1]), first.float())
        assert torch.allclose(torch.as_tensor(pictures[3]), TRUTH.float())
        assert torch.allclose(torch.as_tensor(pictures[4]), (first - TRUTH).abs().float(), atol=1e-6)

    def test_titles_state_quality_and_sampling(self):
        titles = [axis.get_title() for axis in self.figure().axes]
        assert "25 % sampled" in titles[0]
        assert f"{float(metrics.psnr(noisy(0.2), TRUTH)):.1f} dB" in titles[1]

    def test_errors_share_one_window_and_nothing_overlaps(self):
        figure = self.figure()
        images = shown(figure)
        assert images[4].get_clim() == images[5].get_clim()
        assert not overlaps(figure)

    def test_a_trajectory_is_drawn_as_lines(self):
        from invgen.operators import trajectories

        axis = self.figure(trajectories.radial(7, 32)).axes[0]
        assert len(axis.lines) == 7
        assert "7 shots" in axis.get_title()

    def test_what_is_neither_mask_nor_trajectory(self):
        with pytest.raises(ShapeError, match="mask"):
            self.figure(torch.zeros(5))
        with pytest.raises(ParameterError, match="one to four"):
            figures.error_maps(self.MASK, {}, TRUTH)


def test_pixels_that_are_higher_than_wide():
    axis = figures.montage([TRUTH], ["image"], aspect=2.0).axes[0]
    assert axis.get_aspect() == 2
    width, height = axis.bbox.width, axis.bbox.height
    assert height == pytest.approx(2 * width, rel=0.01)
    with pytest.raises(ParameterError, match="aspect"):
        figures.montage([TRUTH], ["image"], aspect=0.0)


def test_numbers_below_ten_have_no_power_of_ten():
    bar = figures.montage([TRUTH], ["image"], window=(0.0, 0.9999)).axes[-1]
    bar.figure.draw_without_rendering()
    assert bar.yaxis.get_offset_text().get_text() == ""


def test_a_grid_shows_every_pixel(tmp_path):
    images = torch.rand(5, 4, 6)
    figures.save_grid(images, tmp_path / "grid.png", columns=3)
    picture = np.asarray(Image.open(tmp_path / "grid.png"))
    zoom = 8
    second_row = 4 * zoom + 2 + 2
    fifth = picture[second_row : second_row + 4 * zoom, 2 + 6 * zoom + 2 :][:, : 6 * zoom]
    assert np.array_equal(fifth[::zoom, ::zoom], (255 * images[4].double()).round().byte().numpy())
    figures.save_grid(torch.rand(2, 3, 4, 4), tmp_path / "colour.png")
    assert np.asarray(Image.open(tmp_path / "colour.png")).shape[-1] == 3
    with pytest.raises(ShapeError, match="save_grid"):
        figures.save_grid(torch.rand(4, 4), tmp_path / "none.png")
    for columns in (0, True, 2.0):
        with pytest.raises(ParameterError, match="columns is a whole number"):
            figures.save_grid(images, tmp_path / "none.png", columns=columns)
        with pytest.raises(ParameterError, match="columns is a whole number"):
            figures.montage([TRUTH], ["image"], columns=columns)

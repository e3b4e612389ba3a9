"""The training of a prior: images, a folder that remembers, pictures on the way, and the prior's file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invgen.core.checks import as_count
from invgen.core.errors import FileError, ParameterError, ShapeError
from invgen.core.files import atomic_path
from invgen.pipeline.outputs import refuse_to_overwrite, require_room

if TYPE_CHECKING:
    import numpy as np

    from invgen.priors import Diffusion

__all__ = ["WHOLE", "Stopped", "learn"]

#: Images up to this size are learned whole, larger ones by patches of it.
WHOLE = 64

#: The number of times that pictures are drawn in a run; the largest number of samples, and of their pixels,
#: in one, or of images that are denoised.
_SHOWS, _SAMPLES, _PIXELS, _PAIRS = 10, 16, 2**16, 8

#: No images are held out of fewer.
_FEW = 20


class Stopped(KeyboardInterrupt):
    """An interrupted run that has its state, and can go on."""


def learn(
    settings: dict[str, Any],
    output: Path,
    folder: Path | None,
    steps: int,
    precision: str,
    *,
    notice: Callable[[str], None],
    progress: bool = False,
) -> dict[str, float] | None:
    """Train a prior and write it.

    Parameters
    ----------
    settings : dict
        What makes it this run, by name, as JSON holds it: "data", "dataset", "gray", "patch", "positions",
        "flips", "batch", "widths", "learning_rate", "seed", "hold_out"; "labels" and "phases" of diffusion
        models; "noise_std" and "method" of denoisers.
    output : Path
    folder : Path, optional
        Of the log, pictures and the state; by default the output's name with ``.run``.
    steps : int
    precision : {"float32", "bf16"}
    notice : callable(str)
        Called once, with what is learned from.
    progress : bool
        Show a progress bar.

    Returns
    -------
    dict or None
        The loss, and that on images held out; None on all processes but the main one.

    Raises
    ------
    Stopped
        Where Ctrl-C stops a run that has its state: the same call goes on from there.
    FileError, ParameterError, ShapeError
        For what cannot be learned from, and a folder of something else.
    """
    from accelerate import PartialState

    from invgen.priors.training import Training, train_diffusion

    steps = as_count(steps, "--steps")
    data, noise_std = Path(settings["data"]), settings.get("noise_std")
    refuse_to_overwrite(output, data)
    require_room(output, 0)
    folder = folder or output.with_suffix(".run")
    images, held_out, labels = _read(settings)
    patch = _patch(settings["patch"], images + held_out)
    batch = settings["batch"] or (32 if patch else 64)
    training = Training(
        steps,
        settings["learning_rate"],
        warmup=min(500, steps // 10),
        precision="bf16" if precision == "bf16" else "no",
        seed=settings["seed"],
        validate_every=max(1, steps // _SHOWS),
    )
    _claim(folder, settings)
    main = PartialState().is_main_process
    if main:
        parts = f"patches of {patch} pixels" if patch else "whole"
        notice(f"Learning from {len(images)} images, {parts}; the log and pictures are in {folder}.")

    def show(prior: Diffusion, step: int) -> None:
        picture = folder / f"step-{step:06d}.png"
        if noise_std is None:
            _draw_samples(prior, _size(patch, settings["positions"], images), picture)
        else:
            _draw_denoised(prior, held_out or images, noise_std, picture)

    try:
        prior = train_diffusion(
            images,
            labels,
            folder=folder,
            patch=patch,
            positioned=settings["positions"],
            flips=settings["flips"],
            phases=settings.get("phases"),
            noise_std=noise_std,
            method=settings.get("method", "sure"),
            architecture=_architecture(settings["widths"], patch, images, noise_std is not None),
            batch_size=batch,
            held_out=held_out,
            training=training,
            show=show,
            progress=progress,
        )
    except KeyboardInterrupt:
        if not (folder / "state.pt").exists():
            raise
        raise Stopped(f"Stopped; {folder} has the state. The same command goes on from there.") from None
    if not main:
        return None
    about = {"steps": steps, "batch": batch, "patch": patch, "precision": precision}
    return _write(prior, output, folder, settings | about, len(images), len(held_out))


def _read(settings: dict[str, Any]) -> tuple[list[np.ndarray], list[np.ndarray], Any]:
    """Images to learn from, those to judge by, evenly spaced among them, and labels of the former."""
    from invgen.io import read_images, read_labels

    images = read_images(settings["data"], dataset=settings["dataset"], gray=settings["gray"])
    path = settings.get("labels")
    labels = None if path is None else read_labels(path)
    if labels is not None and len(labels) != len(images):
        raise ShapeError(f"{path} has {len(labels)} labels, {settings['data']} {len(images)} images.")
    count = int(settings["hold_out"] * len(images)) if len(images) >= _FEW else 0
    apart = {int((i + 0.5) * len(images) / count) for i in range(count)}
    kept = [i for i in range(len(images)) if i not in apart]
    held_out = [images[i] for i in sorted(apart)]
    return [images[i] for i in kept], held_out, None if labels is None else labels[kept]


def _patch(given: int | None, images: list[np.ndarray]) -> int | None:
    sizes = {image.shape[-2:] for image in images}
    if given is not None:
        return given or None
    if len(sizes) == 1 and max(max(size) for size in sizes) <= WHOLE:
        return None
    return min(WHOLE, *(min(size) for size in sizes))


def _architecture(
    widths: list[int] | None, patch: int | None, images: list[np.ndarray], noisy: bool
) -> dict[str, Any]:
    small = patch is None and max(images[0].shape[-2:]) <= WHOLE
    widths = widths or ([64, 96, 128] if patch else [64, 128])
    return {
        "widths": widths,
        "unshuffle": 2,
        "attention": [len(widths) - 1] if small else [],
        "dropout": 0.1 if small and not noisy else 0.0,
    }


def _claim(folder: Path, settings: dict[str, Any]) -> None:
    """Make a folder this run's own, or find that it is.

    Raises
    ------
    FileError
        When it holds something else.
    ParameterError
        When it holds a run with other settings.
    """
    path = folder / "run.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            if any(entry != path for entry in folder.iterdir()):
                raise FileError(f"{folder} holds something other than a run: give another --folder.")
            with atomic_path(path) as beside:
                beside.write_text(json.dumps(settings, indent=2))
        kept = json.loads(path.read_text())
        differing = [name for name, value in settings.items() if kept.get(name) != value]
    except (OSError, ValueError, AttributeError) as error:
        raise FileError(f"{folder} cannot be used for the run: {error}.") from error
    if differing:
        others = ", ".join(f"{name} {kept.get(name)}, not {settings[name]}" for name in differing)
        raise ParameterError(
            f"{folder} holds a run of other options ({others}): go on with the same ones, or give another "
            "--folder."
        )


def _write(
    prior: Diffusion, output: Path, folder: Path, settings: dict[str, Any], learned: int, held_out: int
) -> dict[str, float]:
    """Write the prior with its card; returned is how well it does."""
    from invgen import __version__
    from invgen.priors.training import read_log

    last = read_log(folder)[-1]
    names = {key: Path(settings[key]).name for key in ("data", "labels") if settings.get(key)}
    measured = {name: float(last[name]) for name in ("loss", "held_out") if last.get(name)}
    prior.save(
        output,
        data={"file": names["data"], "images": learned, "held_out": held_out},
        training=settings | names,  # folders are nobody else's business
        seconds=round(float(last["seconds"])),
        quality=measured,
        made_with=f"invgen {__version__}",
    )
    return measured


def _size(patch: int | None, positions: bool, images: list[np.ndarray]) -> tuple[int, int]:
    """Of samples: those of the images, where they are whole or the network knows places in them."""
    height, width = images[0].shape[-2:]
    return (height, width) if patch is None or positions else (patch, patch)


def _draw_samples(prior: Diffusion, size: tuple[int, int], picture: Path) -> None:
    """A few of each class, or of all at once."""
    import torch

    from invgen.figures import save_grid
    from invgen.pipeline.sampling import window_of

    channels = prior.image_format.channels
    shape = size if channels is None else (channels, *size)
    count = max(1, min(_SAMPLES, _PIXELS // (size[0] * size[1])))
    kinds = [prior.of_class(k) for k in range(prior.classes)] if 0 < prior.classes <= count else [prior]
    each = count // len(kinds)
    device = "cuda" if torch.cuda.is_available() else None
    drawn = [
        kind.sample(each, seed=each * i, image_shape=shape, steps=18, device=device)
        for i, kind in enumerate(kinds)
    ]
    # classes from left to right
    columns = len(kinds) if len(kinds) > 1 else None
    save_grid(torch.stack(drawn, dim=1).flatten(0, 1), picture, columns=columns, window=window_of(prior))


def _draw_denoised(prior: Diffusion, images: list[np.ndarray], noise_std: float, picture: Path) -> None:
    """Images and what becomes of them, side by side."""
    import torch

    from invgen.figures import save_grid
    from invgen.pipeline.sampling import window_of

    shown = [torch.as_tensor(image) for image in images[:_PAIRS]]
    height, width = (min(4 * WHOLE, *(x.shape[axis] for x in shown)) for axis in (-2, -1))
    noisy = torch.stack([x[..., :height, :width] for x in shown])
    with torch.no_grad():
        pairs = torch.stack([noisy, prior.denoise(noisy, noise_std)], dim=1)
    save_grid(pairs.flatten(0, 1), picture, columns=4, window=window_of(prior))

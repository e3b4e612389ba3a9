"""DeepInverse, beside a PyTorch without CUDA."""

from __future__ import annotations

from types import ModuleType

import torch


def import_deepinv() -> ModuleType:
    """Import deepinv, which imports torchvision, whose wheels look for operators of CUDA builds.

    No physics of DeepInverse calls them: declared and empty, they do no harm.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import deepinv

    return deepinv

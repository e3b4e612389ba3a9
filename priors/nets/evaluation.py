"""How networks are evaluated: in half precision, with channels innermost, compiled, as CUDA graphs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from invgen.core.errors import CapabilityError, ParameterError
from invgen.core.text import brief

__all__ = ["PRECISIONS", "Evaluated", "Evaluation", "Graphs", "Networked", "Preconditioned", "evaluating"]

#: What a network is called with, and returns.
Call = Callable[..., Tensor]

#: Half precisions by name.
PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16}

_CONVOLUTIONS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)

#: CUDA graphs of a network that are kept, each of one shape of its arguments and with memory of its own.
_KEPT = 8

#: Evaluations before a graph is recorded, in which libraries choose their algorithms.
_WARM_UP = 3


@dataclass(frozen=True)
class Evaluation:
    """How a network is evaluated; see `Networked.evaluated`."""

    precision: str | None = None
    channels_last: bool = False
    compile: bool = False
    graphs: bool = False

    #: They change rounding alone: a run may be resumed with others.
    incidental: ClassVar[tuple[str, ...]] = ("channels_last", "compile", "graphs")

    def __post_init__(self) -> None:
        if self.precision not in (None, *PRECISIONS):
            raise ParameterError(
                f"precision is one of {', '.join(PRECISIONS)}, or None for that of the images; got "
                f"{self.precision!r}."
            )
        for name in self.incidental:
            if not isinstance(getattr(self, name), bool):
                raise ParameterError(f"{name} is True or False; got {getattr(self, name)!r}.")

    def check_device(self, device: torch.device) -> None:
        """Refuse a device without what is asked for.

        Raises
        ------
        CapabilityError
        """
        if self.graphs and device.type != "cuda":
            raise CapabilityError(
                f"CUDA graphs (graphs=True) are for CUDA devices, and this is the {device.type}: leave them "
                "out, or compute on a GPU."
            )


class Networked:
    """Base of the priors whose network can be evaluated in several ways."""

    def evaluated(
        self,
        precision: str | None = None,
        *,
        channels_last: bool = False,
        compile: bool = False,
        graphs: bool = False,
    ) -> Self:
        """The same prior, of the same networks, which are evaluated in another way.

        >>> prior = ig.priors.load("chest-ct").evaluated("bfloat16", channels_last=True, graphs=True)

        That is for images and their gradients. What is a density (`log_prob`, the energy, bounds), and what
        inversion by layers and tuning ask of the parts of a network, is computed as without this. Files are
        the same: `save` writes the weights as they are.

        Parameters
        ----------
        precision : {"bfloat16", "float16"}, optional
            Of the convolutions and products within the network; the images before and after, the noise level
            and its embedding, normalizations where PyTorch's autocast has them so, and what a denoiser does
            around its network (c_skip, c_out) keep theirs. This changes results: bfloat16 has 8 binary
            digits, float16 has 11, and ends at 65504. A `Diffusion` errs by a part of the noise, and less as
            that falls; a network that returns the image itself, as most of `NetworkDenoiser`, by one part in
            500 of the image in bfloat16: there, take float16. By default the precision of the images.
            Checkpoints of solvers belong to one precision.
        channels_last : bool
            Keep the channels of each pixel together in memory, as tensor cores take them. Changes rounding.
        compile : bool
            Compile by ``torch.compile``, which takes a minute or more for each device and kind of call, and
            once more where the size of the batch changes. Changes rounding. First derivatives are compiled,
            too; there are no second ones.
        graphs : bool
            On a CUDA device record the evaluation of each size of batch as a CUDA graph, and replay that:
            for small images, where starting kernels takes the time. Derivatives are taken without. Changes
            nothing else.

        Raises
        ------
        ParameterError
            For another precision.
        CapabilityError
            From the evaluation: for graphs elsewhere than on CUDA devices, or of a network that makes
            decisions on the host; where there is no compiler.
        """
        return self._evaluated(Evaluation(precision, channels_last, compile, graphs))

    def _evaluated(self, evaluation: Evaluation) -> Self:
        """A copy whose networks are evaluated so."""
        raise NotImplementedError


class Preconditioned(nn.Module):
    """Base of the formulas that make a denoiser of a network, whose arithmetic stays in full precision.

    Attributes
    ----------
    network : torch.nn.Module
    """

    network: nn.Module


def evaluating(module: nn.Module, evaluation: Evaluation, device: torch.device) -> nn.Module:
    """A module on a device, which belongs to the caller, with its network evaluated in a way.

    Of formulas this is the network within: their arithmetic takes no time, decides on the host, and needs its
    precision.
    """
    formulas = [part for part in module.modules() if isinstance(part, Preconditioned)]
    if not formulas:
        return Evaluated(module, evaluation, device)
    found: dict[nn.Module, Evaluated] = {}
    for formula in formulas:  # on several grids they share a network
        network = formula.network
        if network not in found:
            found[network] = Evaluated(network, evaluation, device)
        formula.network = found[network]
    return module


class Evaluated(nn.Module):
    """A network that is evaluated in a way; what it takes and returns has the precision of the images."""

    def __init__(self, network: nn.Module, evaluation: Evaluation, device: torch.device) -> None:
        super().__init__()
        evaluation.check_device(device)
        self._device, self._channels_last = device, evaluation.channels_last
        self._half = PRECISIONS.get(evaluation.precision or "")
        if self._half is not None:
            network = _halved(network.float(), self._half)
        if evaluation.channels_last:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = network
        self._call: Call = _compiled(self._in_precision) if evaluation.compile else self._in_precision
        self._graphs = Graphs(self._call) if evaluation.graphs else None

    def forward(self, *inputs: Tensor | None) -> Tensor:
        """What the network returns, in the precision of its first argument."""
        first, dtype = inputs[0], inputs[0].dtype  # type: ignore[union-attr]
        if self._half is not None:
            inputs = tuple(t.float() if t is not None and t.is_floating_point() else t for t in inputs)
        if self._channels_last and inputs[0].ndim == 4:  # type: ignore[union-attr]
            first = inputs[0].contiguous(memory_format=torch.channels_last)  # type: ignore[union-attr]
            inputs = (first, *inputs[1:])
        differentiated = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs)
        call = self._call if self._graphs is None or differentiated else self._graphs
        return call(*inputs).to(dtype)

    def _in_precision(self, *inputs: Tensor | None) -> Tensor:
        # the weights that matter are in half precision already
        half = self._half
        with (
            nullcontext()
            if half is None
            else torch.autocast(self._device.type, dtype=half, cache_enabled=False)
        ):
            found: Tensor = self.network(*inputs)
            return found


class _Exact(nn.Linear):
    """A linear layer of vectors, as of the embedding of noise levels, which autocast leaves alone."""

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 2:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(self.weight.dtype))


def _halved(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A network with convolutions in half precision; nothing is left to convert at each evaluation."""
    for part in network.modules():
        if isinstance(part, _CONVOLUTIONS):
            part.to(dtype)
        elif type(part) is nn.Linear:
            part.__class__ = _Exact
    return network


def _compiled(call: Call) -> Call:
    """A function, compiled when it is first called."""
    compiled: Call = torch.compile(call)

    def run(*inputs: Tensor | None) -> Tensor:
        try:
            return compiled(*inputs)
        except Exception as error:
            if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise  # the network's own
            raise CapabilityError(
                "The network cannot be compiled here (compile=True): PyTorch needs a C++ compiler for the "
                f"CPU, and Triton for GPUs. {brief(error, 300)}"
            ) from error

    return run


class Graphs:
    """A function whose evaluations are recorded as CUDA graphs, one for each shape of its arguments.

    Parameters
    ----------
    call : callable(*tensors or None) -> tensor
        Which asks the host for nothing.
    record : callable, optional
        ``record(call, inputs)`` returns what evaluates the call on the present values of these tensors, and
        the tensor that then holds what comes of it.
    """

    def __init__(self, call: Call, record: Callable[..., Any] | None = None) -> None:
        self._call, self._record = call, record or _recorded
        self._known: OrderedDict[Any, tuple[list[Any], Callable[[], None], Tensor]] = OrderedDict()
        self._lock = Lock()  # several threads may evaluate a prior; a graph has one set of tensors

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        """The function's value, a tensor of its own."""
        shapes = tuple(None if t is None else (t.shape, t.stride(), t.dtype) for t in inputs)
        device = inputs[0].device  # type: ignore[union-attr]
        stream = torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0
        with self._lock:
            # on two streams the tensors of one graph would be overwritten while they are read
            key = shapes, stream
            if key not in self._known:
                own = [None if t is None else t.clone() for t in inputs]
                self._known[key] = own, *self._record(self._call, own)
                if len(self._known) > _KEPT:
                    self._known.popitem(last=False)
            self._known.move_to_end(key)
            own, replay, found = self._known[key]
            for t, given in zip(own, inputs, strict=True):
                if given is not None:
                    t.copy_(given)
            replay()
            return found.clone()


def _recorded(call: Call, inputs: list[Any]) -> tuple[Callable[[], None], Tensor]:
    """Record a CUDA graph, after evaluations beside the current stream that warm the libraries up."""
    with torch.cuda.device(inputs[0].device):
        current, beside = torch.cuda.current_stream(), torch.cuda.Stream()
        beside.wait_stream(current)
        with torch.cuda.stream(beside):
            for _ in range(_WARM_UP):
                call(*inputs)
        current.wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        try:
            # other threads may use their devices meanwhile
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                found = call(*inputs)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise CapabilityError(
                "The network cannot be recorded as a CUDA graph (graphs=True): it copies from the host, or "
                f"decides by the values of its images. {brief(error, 200)}"
            ) from error
    return graph.replay, found

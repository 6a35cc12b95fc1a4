"""What `benchmarks/cores.py` compares, how a layer is run, and whether it computes what the reference loop computes.

Shapes: B batch, T time, I input, H hidden, O output.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple, cast

import torch
from measure import Run
from torch import Tensor, nn

from s2s.cores import GRU, LSTM, RWA, Backend, Cell, Elman, Keep, Recurrent, State, Statistical
from s2s.cores.recurrent import choose
from s2s.training.hardware import autocast

Precision = Literal["float32", "bfloat16"]
Way = Literal["forward", "training"]
"""Forward without gradients; forward and backward."""


class Shape(NamedTuple):
    """Sizes of one comparison."""

    time: int
    batch: int
    input: int
    hidden: int


@dataclass(frozen=True)
class Setting:
    """What is the same for all layers of a run."""

    device: Literal["cpu", "cuda"]
    backend: Backend
    threads: int
    tf32: bool

    def apply(self) -> None:
        """Threads and precision of this process."""
        torch.set_num_threads(self.threads)
        torch.backends.cuda.matmul.allow_tf32 = self.tf32
        torch.backends.cudnn.allow_tf32 = self.tf32


@dataclass(frozen=True)
class Core:
    """A core of ours; `work(I, H)` are the multiply-accumulates of a step and row, `hidden` its only hidden size."""

    cell: Callable[[int, int], Cell]
    work: Callable[[int, int], int]
    keep: Keep = "all"
    hidden: int | None = None


PHI, REDUCED, DECAYS = 200, 60, (0.0, 0.25, 0.5, 0.9, 0.99)


def statistical(inputs: int, outputs: int) -> Cell:
    """The statistical recurrent unit in the sizes of its authors' paper."""
    return Statistical(inputs, outputs, phi_size=PHI, recurrent_size=REDUCED, decays=DECAYS)


def statistical_work(inputs: int) -> int:
    """With W_r mu carried as one vector of R for each decay, instead of mu itself."""
    return inputs * PHI + REDUCED * PHI + len(DECAYS) * REDUCED * PHI


CORES: Mapping[str, Core] = MappingProxyType(
    {
        "rwa": Core(RWA, lambda i, h: 2 * h * h + 3 * h * i),
        "sru": Core(statistical, lambda i, h: statistical_work(i) + len(DECAYS) * PHI * h, hidden=200),
        "sru-last": Core(statistical, lambda i, _: statistical_work(i), keep="last", hidden=200),
        "lstm": Core(LSTM, lambda i, h: 4 * h * (h + i)),
        "lstm-peephole": Core(lambda i, h: LSTM(i, h, peephole=True), lambda i, h: 4 * h * (h + i)),
        "gru": Core(GRU, lambda i, h: 3 * h * (h + i)),
        "gru-before": Core(lambda i, h: GRU(i, h, reset="before"), lambda i, h: 3 * h * (h + i)),
        "elman": Core(Elman, lambda i, h: h * (h + i)),
    }
)
BASELINES = ("nn.LSTM", "nn.GRU")


def floor(name: str, shape: Shape) -> float:
    """Arithmetic of a core over that of an LSTM of the same sizes."""
    lstm = 4 * shape.hidden * (shape.hidden + shape.input)
    if name in BASELINES:
        return {"nn.LSTM": 1.0, "nn.GRU": 0.75}[name]
    return CORES[name].work(shape.input, shape.hidden) / lstm


def layer(name: str, shape: Shape, setting: Setting) -> nn.Module:
    """A layer of ours or of torch's, always with the same weights."""
    torch.manual_seed(1)
    if name in BASELINES:
        kind = torch.nn.LSTM if name == "nn.LSTM" else torch.nn.GRU
        return kind(shape.input, shape.hidden, batch_first=True).to(setting.device)
    core = CORES[name]
    cell = core.cell(shape.input, shape.hidden)
    return Recurrent(cell, keep=core.keep, backend=setting.backend).to(setting.device)


def backend_of(name: str, shape: Shape, setting: Setting) -> str:
    """Which scan serves the layer."""
    module = layer(name, shape, setting)
    if not isinstance(module, Recurrent):
        return "cudnn" if setting.device == "cuda" else "torch"
    kernel = choose(module.cell.kernel, setting.backend, next(module.parameters()).device, torch.float32)
    return "reference" if kernel is None else kernel.name


def passes(name: str, shape: Shape, setting: Setting, precision: Precision) -> dict[Way, Run]:
    """Both ways to run a layer: on the same x, and back from the same gradient of the outputs."""
    module = layer(name, shape, setting)
    device = torch.device(setting.device)
    x_BTI = _numbers(shape.batch, shape.time, shape.input, device=device).requires_grad_()
    inputs = [x_BTI, *module.parameters()]

    def run(x_BTI: Tensor) -> Tensor:
        with autocast(device, precision):
            return cast(Tensor, module(x_BTI)[0])

    with torch.no_grad():
        few = run(x_BTI[:, :2])
    d_out = _numbers(*few.shape[:1], *(shape.time,) * (few.dim() - 2), few.shape[-1], device=device).to(few.dtype)
    return {
        "forward": lambda: torch.no_grad()(run)(x_BTI),
        "training": lambda: torch.autograd.grad(run(x_BTI), inputs, d_out),
    }


def _numbers(*shape: int, device: torch.device) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2)).to(device)


LENGTHS = (7, 3, 0, 1, 7)
TOLERANCE: Mapping[Precision, float] = MappingProxyType({"float32": 2e-5, "bfloat16": 0.15})
"""Of the norm of a difference, relative to the norm of what is expected. In bfloat16 some relu of the statistical unit
opens that stays shut in float64, and the reference loop's own gradients are off by up to 0.12."""
TOLERANCE_TF32 = 1e-2


def problems(
    names: Iterable[str], shapes: Iterable[Shape], setting: Setting, precisions: Iterable[Precision]
) -> Iterator[str]:
    """Where a core is not what the reference loop is: a small ragged batch, and few steps of each size."""
    sizes = {(shape.input, shape.hidden) for shape in shapes}
    for name in names:
        small = Shape(max(LENGTHS), len(LENGTHS), 3, CORES[name].hidden or 5)
        own = [Shape(4, 3, *pair) for pair in sorted(sizes) if CORES[name].hidden in (None, pair[1])]
        for precision in precisions:
            limit = TOLERANCE_TF32 if setting.tf32 and precision == "float32" else TOLERANCE[precision]
            for shape in (small, *own):
                for what, distance in _distances(name, shape, setting, precision, ragged=shape is small):
                    if not distance <= limit:
                        yield f"{name}, {precision}, {tuple(shape)}: {what} is off by {distance:.2g} of its norm"


def _distances(
    name: str, shape: Shape, setting: Setting, precision: Precision, *, ragged: bool
) -> Iterator[tuple[str, float]]:
    """How far each output, final state and gradient lies from that of the reference loop in float64."""
    module = cast(Recurrent, layer(name, shape, setting))
    exact = copy.deepcopy(module).double()
    exact.backend = "reference"
    lengths_B = torch.tensor(LENGTHS) if ragged else None
    x_BTI = _numbers(*shape[1::-1], shape.input, device=torch.device(setting.device))
    state = exact(x_BTI.flip(1).double())[1] if ragged else None  # else from the start that the core itself has
    got = _everything(module, x_BTI, lengths_B, state, precision)
    expected = _everything(exact, x_BTI.double(), lengths_B, state, "float32")
    for what, tensor in expected.items():
        yield what, _distance(got[what], tensor)


def _everything(
    module: Recurrent, x_BTI: Tensor, lengths_B: Tensor | None, state: State | None, precision: Precision
) -> dict[str, Tensor]:
    x_BTI = x_BTI.detach().requires_grad_()
    begin = None if state is None else tuple(part.detach().to(x_BTI.dtype).requires_grad_() for part in state)
    with autocast(x_BTI.device, precision):
        out, final = module(x_BTI, lengths_B, begin)
    results = {"the output": out, **{f"final state {i}": part for i, part in enumerate(final)}}
    live = [part for part in results.values() if part.requires_grad]
    inputs = {"x": x_BTI, **{f"first state {i}": part for i, part in enumerate(begin or ())}}
    inputs |= dict(module.named_parameters())
    d_live = [_numbers(*part.shape, device=part.device).to(part.dtype) for part in live]
    gradients = torch.autograd.grad(live, list(inputs.values()), d_live, allow_unused=True)
    for what, tensor, gradient in zip(inputs, inputs.values(), gradients, strict=True):
        results[f"the gradient of {what}"] = torch.zeros_like(tensor) if gradient is None else gradient
    return results


def _distance(got: Tensor, expected: Tensor) -> float:
    """The norm of the difference over that of what is expected; infinite where one is finite and one is not."""
    got, expected = got.detach().double(), expected.detach()
    finite = expected.isfinite()
    if not torch.equal(got.isfinite(), finite):
        return torch.inf
    return float((got - expected)[finite].norm() / expected[finite].norm().clamp(min=1e-3))

"""Every core variant; the contract test covers each on every backend that serves it. A new core is one line here."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from s2s.cores import (
    GRU,
    LSTM,
    RWA,
    BackendUnavailable,
    Cell,
    Elman,
    NormalisedGRU,
    NormalisedLSTM,
    Recurrent,
    State,
    Statistical,
)
from s2s.kernels import BACKENDS, Backend, find

CORES: dict[str, Callable[[int, int], Cell]] = {
    "elman-tanh": lambda i, h: Elman(i, h),
    "elman-relu": lambda i, h: Elman(i, h, activation="relu"),
    "elman-sigmoid": lambda i, h: Elman(i, h, activation="sigmoid"),
    "lstm": lambda i, h: LSTM(i, h),
    "lstm-forget-bias": lambda i, h: LSTM(i, h, forget_bias=1.0),
    "lstm-peephole": lambda i, h: LSTM(i, h, peephole=True),
    "lstm-no-forget": lambda i, h: LSTM(i, h, forget_gate=False),
    "lstm-no-forget-peephole": lambda i, h: LSTM(i, h, forget_gate=False, peephole=True),
    "gru": lambda i, h: GRU(i, h),
    "gru-before": lambda i, h: GRU(i, h, reset="before"),
    "lstm-layer-norm": lambda i, h: NormalisedLSTM(i, h),
    "gru-layer-norm": lambda i, h: NormalisedGRU(i, h),
    "gru-before-layer-norm": lambda i, h: NormalisedGRU(i, h, reset="before"),
    "rwa": lambda i, h: RWA(i, h),
    "statistical": lambda i, h: Statistical(i, h, phi_size=4, recurrent_size=3, decays=(0.0, 0.5, 0.9)),
    "statistical-iid": lambda i, h: Statistical(i, h, phi_size=4, variant="iid"),
    "statistical-recurrent": lambda i, h: Statistical(i, h, phi_size=4, recurrent_size=3, variant="recurrent"),
    "statistical-multiscale": lambda i, h: Statistical(i, h, phi_size=4, decays=(0.25, 0.9), variant="multiscale"),
}


def backends(name: str) -> list[Backend]:
    """The reference and every kernel that serves this core on the CPU."""
    served: list[Backend] = ["reference"]
    for backend in BACKENDS:
        try:
            find(CORES[name](2, 3).kernel, backend, torch.device("cpu"), torch.float32)
        except BackendUnavailable:
            continue
        served.append(backend)
    return served


CASES: list[tuple[str, Backend]] = [(name, backend) for name in CORES for backend in backends(name)]
FUSED: list[tuple[str, Backend]] = [(name, backend) for name, backend in CASES if backend != "reference"]


def layer(
    name: str,
    backend: Backend,
    sizes: tuple[int, int] = (3, 5),
    *,
    reverse: bool = False,
    dtype: torch.dtype = torch.float64,
) -> Recurrent:
    """A layer with weights drawn from a fixed seed; biases too, so that none hides behind a zero."""
    torch.manual_seed(5)
    cell = CORES[name](*sizes)
    with torch.no_grad():
        for parameter in cell.parameters():
            if parameter.dim() == 1:
                parameter.uniform_(-0.5, 0.5)
    return Recurrent(cell, reverse=reverse, backend=backend).to(dtype)


def mid_state(cell: Cell, batch: int) -> State:
    """A state as it stands in mid-sequence: finite everywhere, different in every row."""
    dtype = next(cell.parameters()).dtype
    x_BTI = torch.randn(batch, 3, cell.input_size, generator=torch.Generator().manual_seed(11)).to(dtype)
    _, state = Recurrent(cell, backend="reference")(x_BTI)
    return tuple(tensor.detach().clone() for tensor in state)


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Normal numbers from a seed of their own."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def close(got: object, expected: object, *, rtol: float = 1e-9, atol: float = 1e-11) -> None:
    """Equal within a tolerance, tensors or tuples of them; infinities must agree."""
    torch.testing.assert_close(got, expected, rtol=rtol, atol=atol)

"""torch's own fused recurrent layers as scans over ragged batches.

The padded batch is run, not a packed one. Measured on one core of an AMD EPYC (torch 2.13, forward and backward,
lengths uniform in [T/2, T]), in milliseconds, packed / padded as here:

    (T, B, I, H)         LSTM float32  LSTM bfloat16  GRU float32  GRU bfloat16
    (20, 128, 16, 256)     70 /  64       45 / 28       44 /  47      35 / 31
    (15, 80, 256, 256)     43 /  43       29 / 25       34 /  39      25 / 24
    (29, 128, 256, 256)   142 / 144       93 / 85      113 / 114      74 / 68

although a quarter of the padded steps is idle, more than in batches bucketed by length: torch leaves its oneDNN LSTM
for packed input. The price is that the final state must be found: h is gathered at each row's last step. The LSTM's c
is held still by one more input, which is 1 at padding, shuts the input gate and opens the forget gate, so that there
c_t = 1 c_{t-1} + 0 g_t.

Shapes: B batch, T time, I input, G gates, H hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

State = tuple[Tensor, ...]
Layer = Callable[[Tensor, State, State, Tensor | None], tuple[Tensor, State]]

SHUT = 32768.0
"""Far beyond any gate's input, a power of two (exact in bfloat16) and below the largest float16."""


def lstm(x_BTI: Tensor, state: State, weights: State, lengths_B: Tensor | None, /) -> tuple[Tensor, State]:
    """torch.lstm, one layer, one direction; state (h, c), weights (weight_ih, weight_hh, bias_ih, bias_hh)."""
    first = [tensor.unsqueeze(0) for tensor in state]
    if lengths_B is not None:
        x_BTI, weights = _hold_still(x_BTI, weights, lengths_B)
    train = torch.is_grad_enabled()
    h_BTH, h_1BH, c_1BH = torch.lstm(x_BTI, first, weights, True, 1, 0.0, train, False, True)
    h_BH = h_1BH[0] if lengths_B is None else _last_valid(h_BTH, state[0], lengths_B)
    return h_BTH, (h_BH.to(state[0].dtype), c_1BH[0].to(state[1].dtype))


def gru(x_BTI: Tensor, state: State, weights: State, lengths_B: Tensor | None, /) -> tuple[Tensor, State]:
    """torch.gru (reset after the product), one layer, one direction; state (h,), weights as in `lstm`."""
    return _simple(torch.gru, x_BTI, state, weights, lengths_B)


def elman_tanh(x_BTI: Tensor, state: State, weights: State, lengths_B: Tensor | None, /) -> tuple[Tensor, State]:
    """torch.rnn_tanh, one layer, one direction; state (h,), weights as in `lstm`."""
    return _simple(torch.rnn_tanh, x_BTI, state, weights, lengths_B)


def elman_relu(x_BTI: Tensor, state: State, weights: State, lengths_B: Tensor | None, /) -> tuple[Tensor, State]:
    """torch.rnn_relu, one layer, one direction; state (h,), weights as in `lstm`."""
    return _simple(torch.rnn_relu, x_BTI, state, weights, lengths_B)


LAYERS: Mapping[str, Layer] = MappingProxyType(
    {"lstm": lstm, "gru": gru, "elman tanh": elman_tanh, "elman relu": elman_relu}
)


def _simple(
    layer: Callable[..., tuple[Tensor, Tensor]], x_BTI: Tensor, state: State, weights: State, lengths_B: Tensor | None
) -> tuple[Tensor, State]:
    h_BTH, h_1BH = layer(x_BTI, state[0].unsqueeze(0), weights, True, 1, 0.0, torch.is_grad_enabled(), False, True)
    h_BH = h_1BH[0] if lengths_B is None else _last_valid(h_BTH, state[0], lengths_B)
    return h_BTH, (h_BH.to(state[0].dtype),)


def _hold_still(x_BTI: Tensor, weights: State, lengths_B: Tensor) -> tuple[Tensor, State]:
    """One more input, 1 at padding, that shuts i and opens f; the other gates do not see it."""
    weight_ih, *rest = weights
    time_T = torch.arange(x_BTI.shape[1], device=x_BTI.device)
    pad_BT1 = (time_T >= lengths_B[:, None]).unsqueeze(2)
    column_G1 = weight_ih.new_tensor([-SHUT, SHUT, 0.0, 0.0]).repeat_interleave(len(weight_ih) // 4).unsqueeze(1)
    return torch.cat([x_BTI, pad_BT1.to(x_BTI.dtype)], 2), (torch.cat([weight_ih, column_G1], 1), *rest)


def _last_valid(h_BTH: Tensor, first_BH: Tensor, lengths_B: Tensor) -> Tensor:
    """h at each row's last step; the first state where a row has none."""
    index_B11 = (lengths_B - 1).clamp(min=0)[:, None, None]
    last_BH = h_BTH.gather(1, index_B11.expand(-1, 1, h_BTH.shape[2])).squeeze(1)
    return torch.where(lengths_B[:, None] > 0, last_BH, first_BH)

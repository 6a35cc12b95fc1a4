"""Teacher forcing of a decoder that feeds its attention back, as one call (`s2s.kernels.fused.fed`).

Shapes as in `s2s.models.decoder`.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2s.cores import Recurrent
from s2s.kernels import Backend
from s2s.kernels.fused import fed
from s2s.kernels.fused.products import learns, product_dtype
from s2s.models.attention import Attention

if TYPE_CHECKING:
    from s2s.models.decoder import Decoder, Memory

logger = logging.getLogger("s2s")

CORES = ("gru", "lstm")
"""The cells whose step is in the call, by `Cell.kernel` name."""


def loops(decoder: Decoder, embedded_BTM: Tensor, memory: Memory) -> fed.Loops | None:
    """What computes the decoder in one call here; None where it goes step by step."""
    if not _learns_here(decoder, embedded_BTM, memory):
        return None
    layer = _layer(decoder)
    name, engine = "step by step", None
    if layer is not None and _serves(decoder):
        name, engine = _engine(layer.backend, product_dtype(layer.cell.layer_weights()[0]))
    _announce(name)
    return engine


@functools.cache
def _announce(chosen: str) -> None:
    """Cached, so that each choice is said once."""
    logger.info("attention is fed back: %s", chosen)


def decode(
    decoder: Decoder, embedded_BTM: Tensor, memory: Memory, engine: fed.Loops
) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Outputs (B, T, O), contexts (B, T, E), features (B, T, F) where they are fed back, and attention (B, T, S)."""
    layer, attention = _layer(decoder), decoder.attention
    assert layer is not None
    assert attention is not None
    assert decoder.feeding is not None
    additive = attention.score == "additive"
    inputs_BTI = decoder._inputs(embedded_BTM, memory)
    reading_FK, read_BTF = _reading(decoder, embedded_BTM, inputs_BTI)
    return fed.scan(
        inputs_BTI,
        layer.begin(len(embedded_BTM), memory.seeds[0]),
        layer.cell.layer_weights(),
        fed.Source(memory.keys, memory.values, memory.mask),
        feeding_GU=decoder.feeding.weight,
        query_AH=attention.query.weight if additive else None,
        energy_A=attention.energy.weight[0] if additive else None,
        reading_FK=reading_FK,
        read_BTF=read_BTF,
        previous=decoder.query == "previous",
        loops=engine,
    )


def _reading(decoder: Decoder, embedded_BTM: Tensor, inputs_BTI: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """W_r of context and state, and what the rest gives at every step: peeky context, embedding and bias."""
    if decoder.feed != "attentional":
        return None, None
    layer = cast(nn.Linear, decoder.readout.layer)
    width = decoder.readout.context_size + decoder.stack.output_size
    deep = decoder.readout.kind == "deep"
    parts = [inputs_BTI[..., embedded_BTM.shape[2] :], *([embedded_BTM] if deep else [])]
    if width == layer.in_features:
        return layer.weight, layer.bias.expand(*embedded_BTM.shape[:2], -1)
    return layer.weight[:, :width], F.linear(torch.cat(parts, -1), layer.weight[:, width:], layer.bias)


def _layer(decoder: Decoder) -> Recurrent | None:
    """The stack's only layer, where it is one whose step is in the call."""
    layer = decoder.stack.layers[0]
    if len(decoder.stack.layers) > 1 or not isinstance(layer, Recurrent) or layer.reverse:
        return None
    again = layer.segment is not None or (layer.training and layer.weight_drop > 0)
    return None if again or layer.cell.kernel not in CORES else layer


def _serves(decoder: Decoder) -> bool:
    """Whether attention and readout are in the call; other layers in their places compute something of their own."""
    attention, readout = decoder.attention, decoder.readout
    if type(attention) is not Attention or attention.coverage:
        return False
    layers: list[nn.Module | None] = [decoder.feeding]
    if attention.score == "additive":
        layers += [attention.query, attention.energy]
    if decoder.feed == "attentional":
        layers.append(readout.layer)
    gated = decoder.feed == "attentional" and readout.gating is not None
    return not gated and all(type(layer) is nn.Linear for layer in layers)


def _learns_here(decoder: Decoder, embedded_BTM: Tensor, memory: Memory) -> bool:
    """Whether a backward may come, on the CPU, with a sentence a row."""
    given = (embedded_BTM, memory.values, memory.keys)
    on_cpu = all(part.device.type == "cpu" for part in given)
    alike = len(embedded_BTM) == len(memory.values) == len(memory.mask)
    wide = all(parameter.dtype in (torch.float32, torch.float64) for parameter in decoder.stack.parameters())
    something = all(part.numel() > 0 for part in given)
    return on_cpu and alike and wide and something and learns(*given, *decoder.parameters())


def _engine(backend: Backend, dtype: torch.dtype) -> tuple[str, fed.Loops | None]:
    """With its name."""
    from s2s.kernels.compiled import fed as compiled

    served = dtype != torch.float16 and backend in ("auto", "compiled", "fused")
    if served and backend != "fused" and compiled.unavailable(dtype) is None:
        return "backend compiled", compiled.LOOPS
    if served and backend != "compiled":
        return "backend fused", fed.PLAIN
    return "step by step", None

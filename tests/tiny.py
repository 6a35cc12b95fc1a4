"""Models small enough to be checked against loops, brute force and float64 gradients."""

# B sentences, S source positions, T target positions

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from s2s.cores import GRU, LSTM, RWA, Bidirectional, Cell, Elman, Recurrent, Stack, Statistical
from s2s.cores.stack import Layer
from s2s.models import PRESETS, Attention, AttentionChoice, Bridge, Decoder, Embedding, Encoder, Seq2Seq
from s2s.models.bridge import Kind
from s2s.models.readout import Gate

PLAIN = AttentionChoice("dot", "current", "none", "affine")
CORES = ("elman", "lstm", "gru", "rwa", "statistical")
VOCABULARY = 7


def cell(core: str, input_size: int, hidden_size: int) -> Cell:
    match core:
        case "elman":
            return Elman(input_size, hidden_size)
        case "lstm":
            return LSTM(input_size, hidden_size)
        case "gru":
            return GRU(input_size, hidden_size)
        case "rwa":
            return RWA(input_size, hidden_size)
        case "statistical":
            return Statistical(input_size, hidden_size, phi_size=4, recurrent_size=3, decays=(0.0, 0.5, 0.9))
    raise ValueError(core)


def stack(
    core: str,
    input_size: int,
    hidden_size: int,
    *,
    layers: int = 1,
    residual: bool = False,
    bidirectional: bool = False,
    dropout: float = 0.0,
    variational: bool = False,
) -> Stack:
    made: list[Layer] = []
    for _ in range(layers):
        width = made[-1].output_size if made else input_size
        forward = Recurrent(cell(core, width, hidden_size))
        backward = Recurrent(cell(core, width, hidden_size), reverse=True)
        made.append(Bidirectional(forward, backward) if bidirectional else forward)
    return Stack(made, residual=residual, dropout=dropout, variational=variational)


def tiny_model(
    choice: AttentionChoice | str | None = "luong",
    *,
    core: str = "gru",
    decoder_core: str | None = None,
    hidden: int = 4,
    layers: int = 1,
    residual: bool = False,
    bidirectional: bool = False,
    peeky: bool = False,
    bridge: Kind = "tanh",
    tied: bool = False,
    dropout: float = 0.0,
    variational: bool = False,
    coverage: bool = False,
    gate: Gate = "none",
    copy: bool = False,
    vocabulary: int = VOCABULARY,
    seed: int = 1,
    dtype: torch.dtype = torch.float64,
) -> Seq2Seq:
    """A model in evaluation mode whose weights are large enough that every term of an equation shows."""
    torch.manual_seed(seed)
    picked = PRESETS[choice] if isinstance(choice, str) else choice or PLAIN
    rest = {"layers": layers, "residual": residual, "dropout": dropout, "variational": variational}
    source = stack(core, 3, hidden, bidirectional=bidirectional, **rest)  # type: ignore[arg-type]
    encoder = Encoder(Embedding(vocabulary, 3, dropout=dropout, variational=variational), source)
    context_size = encoder.output_size if peeky else 0
    width = encoder.output_size
    target = stack(decoder_core or core, 3 + context_size, width, **rest)  # type: ignore[arg-type]
    attention = None
    if choice is not None:
        attention = Attention(target.output_size, encoder.output_size, score=picked.score, coverage=coverage)
    decoder = Decoder(
        Embedding(vocabulary, 3, dropout=dropout, variational=variational),
        target,
        attention=attention,
        query=picked.query,
        feed=picked.feed,
        readout=picked.readout,
        readout_size=3 if tied else 5,
        context_size=context_size,
        dropout=dropout,
        gate=gate,
        copy=copy,
    )
    sizes = [layer.output_size for layer in source.layers]
    model = Seq2Seq(encoder, Bridge(bridge, sizes, target.seed_sizes), decoder, vocabulary=vocabulary, tied=tied)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.6)
    return model.to(dtype).eval()


class Pairs(NamedTuple):
    """What the loss reads of a batch."""

    source_BS: Tensor
    source_lengths_B: Tensor
    target_in_BT: Tensor
    target_out_BT: Tensor


def pairs(sources: list[list[int]], targets: list[list[int]]) -> Pairs:
    """Padded tensors of token ids; 1 begins and 2 ends a target."""
    lengths = torch.tensor([len(ids) for ids in sources])
    ahead, behind = [[1, *ids] for ids in targets], [[*ids, 2] for ids in targets]
    return Pairs(padded(sources), lengths, padded(ahead), padded(behind))


def padded(rows: list[list[int]]) -> Tensor:
    width = max(1, *(len(row) for row in rows))
    return torch.tensor([row + [0] * (width - len(row)) for row in rows])


SOURCES = [[4, 5, 6, 3], [6], [3, 3, 5]]
TARGETS = [[3, 4], [5, 6, 3, 4, 4], []]

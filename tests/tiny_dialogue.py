"""Models of dialogues small enough to be checked against loops and float64 gradients."""

from __future__ import annotations

import torch
from tiny import VOCABULARY, stack

from s2s.corpus.dialogue.batch import DialogueBatch, dialogue_batch
from s2s.models import HRED, PRESETS, Attention, Bridge, Decoder, Embedding, Encoder, LatentVariable
from s2s.models.bridge import Kind

DIALOGUES = [
    [[4, 5, 6], [6], [3, 4, 4, 5], [5, 5]],
    [[6, 6, 4, 5, 3]],
    [[], [4, 3], [5]],
]
"""Turns in token ids: of four turns, of one, and one that begins with an empty turn."""


def tiny_hred(
    choice: str | None = None,
    *,
    cores: tuple[str, str, str] = ("gru", "gru", "gru"),
    hidden: tuple[int, int, int] = (4, 5, 6),
    layers: int = 1,
    bidirectional: bool = True,
    residual: bool = False,
    every: bool = True,
    bridge: Kind = "tanh",
    latent: int = 0,
    bag: bool = False,
    tied: bool = False,
    dropout: float = 0.0,
    word_dropout: float = 0.0,
    vocabulary: int = VOCABULARY,
    scale: float = 0.6,
    seed: int = 1,
    dtype: torch.dtype = torch.float64,
) -> HRED:
    """In evaluation mode, with weights large enough that every term of an equation shows; cores and widths are those
    of encoder, context and decoder."""
    torch.manual_seed(seed)
    heard = stack(cores[0], 3, hidden[0], layers=layers, bidirectional=bidirectional, residual=residual)
    context = stack(cores[1], heard.output_size, hidden[1], layers=layers, residual=residual)
    given = context.output_size + latent
    picked = None if choice is None else PRESETS[choice]
    written = stack(cores[2], 3 + (given if every else 0), hidden[2], layers=layers, residual=residual, dropout=dropout)
    decoder = Decoder(
        Embedding(vocabulary, 3, word_dropout=word_dropout),
        written,
        attention=None if picked is None else Attention(written.output_size, heard.output_size, score=picked.score),
        query="current" if picked is None else picked.query,
        feed="none" if picked is None else picked.feed,
        readout="deep" if picked is None else picked.readout,
        readout_size=3 if tied else 5,
        context_size=given if every else 0,
        dropout=dropout,
    )
    model = HRED(
        Encoder(Embedding(vocabulary, 3), heard),
        context,
        Bridge(bridge, [given], written.seed_sizes),
        decoder,
        vocabulary=vocabulary,
        tied=tied,
        latent=LatentVariable(context.output_size, heard.output_size, size=latent) if latent else None,
        bag=bag,
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * scale)
    return model.to(dtype).eval()


def batch_of(dialogues: list[list[list[int]]]) -> DialogueBatch:
    """Padded turns of the dialogues."""
    return dialogue_batch(dialogues, range(len(dialogues)))

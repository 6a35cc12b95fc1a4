"""Dialogues as tensors: every turn of every dialogue is a row, so all turns of a batch are read and written at once."""

# B dialogues, R rows (the turns of the first dialogue in order, then those of the second, ...), T tokens of a turn

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from s2s.corpus.batch import pad
from s2s.text.vocab import BOS, EOS

Turns = Sequence[Sequence[int]]
"""A dialogue in token ids, without marks."""


@dataclass(frozen=True)
class DialogueBatch:
    """Padded turns. Each row holds the ids of a turn and the end mark: what is read, and what is to be predicted."""

    words_RT: Tensor
    lengths_R: Tensor
    """With the end mark, so 1 at least."""
    counts_B: Tensor
    """Turns of each dialogue."""
    rows: list[int]
    """Numbers of the dialogues."""
    tokens: int
    """That are to be predicted: all of them, end marks included."""

    @property
    def inputs_RT(self) -> Tensor:
        """What the decoder reads: the begin mark, then each row but its last token."""
        begin_R1 = torch.full_like(self.words_RT[:, :1], BOS)
        return torch.cat([begin_R1, self.words_RT[:, :-1]], 1)

    @property
    def extent(self) -> str:
        """How long the longest is, in words."""
        return f"{int(self.counts_B.max())} turns of up to {self.words_RT.shape[1]} tokens"

    def to(self, device: torch.device | str) -> DialogueBatch:
        """The same batch on a device."""
        parts = (tensor.to(device) for tensor in (self.words_RT, self.lengths_R, self.counts_B))
        words_RT, lengths_R, counts_B = parts
        return replace(self, words_RT=words_RT, lengths_R=lengths_R, counts_B=counts_B)


def dialogue_batch(dialogues: Sequence[Turns], rows: Sequence[int]) -> DialogueBatch:
    """The dialogues as one batch on the CPU; `rows` are their numbers."""
    words_RT, lengths_R = pad([[*turn, EOS] for turns in dialogues for turn in turns])
    counts_B = torch.tensor([len(turns) for turns in dialogues], dtype=torch.int64)
    return DialogueBatch(words_RT, lengths_R, counts_B, list(rows), int(lengths_R.sum()))

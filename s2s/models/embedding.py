"""Token embeddings with dropout of elements and of whole words."""

# B batch, T time, E embedding

from __future__ import annotations

import torch
from torch import Tensor, nn

from s2s.kernels.dropout import dropout

UNKNOWN = 3
"""Id of <unk>, the last of the marks that every vocabulary begins with."""


class Embedding(nn.Module):
    """e_t = dropout(W[y_t]).

    Args:
        vocabulary: number of tokens.
        size: E.
        padding: id whose vector stays zero and gets no gradient.
        dropout: share of elements dropped.
        variational: one mask for all steps of a sequence (Gal and Ghahramani 2016).
        word_dropout: share of tokens that are read as <unk>, drawn for each token anew (Bowman et al. 2016); the marks
            of padding, begin and end stay.
    """

    def __init__(
        self,
        vocabulary: int,
        size: int,
        *,
        padding: int = 0,
        dropout: float = 0.0,
        variational: bool = False,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, size, padding_idx=padding)
        self.size = size
        self.dropout = dropout
        self.variational = variational
        self.word_dropout = word_dropout

    @property
    def weight(self) -> Tensor:
        """The (vocabulary, E) table, for tying."""
        return self.table.weight

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """(B, T) token ids to (B, T, E)."""
        e_BTE: Tensor = self.table(self.words(tokens_BT))
        if not (self.training and self.dropout):
            return e_BTE
        if self.variational:
            return e_BTE * dropout(e_BTE.new_ones(e_BTE.shape[0], 1, e_BTE.shape[2]), self.dropout)
        return dropout(e_BTE, self.dropout)

    def words(self, tokens_BT: Tensor) -> Tensor:
        """The tokens that are read: in training some are <unk>."""
        if not (self.training and self.word_dropout):
            return tokens_BT
        lost_BT = torch.rand(tokens_BT.shape, device=tokens_BT.device) < self.word_dropout
        return torch.where(lost_BT & (tokens_BT > UNKNOWN), UNKNOWN, tokens_BT)

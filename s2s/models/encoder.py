"""The encoder: embeddings through a stack of recurrent layers."""

# B batch, S source positions, E encoder width

from __future__ import annotations

from torch import Tensor, nn

from s2s.cores import Stack, State
from s2s.models.embedding import Embedding


class Encoder(nn.Module):
    """h_1..h_S and the final states of every layer for a padded batch of token ids."""

    def __init__(self, embedding: Embedding, stack: Stack) -> None:
        super().__init__()
        self.embedding = embedding
        self.stack = stack
        self.output_size = stack.output_size

    def forward(self, source_BS: Tensor, lengths_B: Tensor) -> tuple[Tensor, tuple[State, ...]]:
        """Outputs (B, S, E), zero at padding, and the final state of each layer."""
        return self.stack(self.embedding(source_BS), lengths_B)  # type: ignore[no-any-return]

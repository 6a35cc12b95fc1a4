"""The model of `s2s.toml` with LSTM cores as anyone writes it in torch: nothing of this toolkit, and nothing fused.

Layers are `torch.nn`'s, so that on a GPU both LSTMs are cuDNN's; attention is two batched products, the logits of a
batch exist as a whole, and `torch.optim.Adam` is as it comes. `benchmarks/check_learners.py` holds it to compute the
same function as ours of the same weights.

Shapes: B sentences, S source positions, T target positions, E embedding, H hidden, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import rnn

PADDING = 0


class Pairs(Protocol):
    """Padded ids: sources with their lengths, targets behind a mark, and before one."""

    @property
    def source_BS(self) -> Tensor: ...
    @property
    def source_lengths_B(self) -> Tensor: ...
    @property
    def target_in_BT(self) -> Tensor: ...
    @property
    def target_out_BT(self) -> Tensor: ...


@dataclass(frozen=True)
class Sizes:
    """Of the model, and its two dropouts."""

    vocabulary: int
    embedding: int
    hidden: int
    embedding_dropout: float
    output_dropout: float


@dataclass(frozen=True)
class Rule:
    """How weights are moved."""

    rate: float
    clip: float
    smoothing: float


class Plain(nn.Module):
    """A bidirectional LSTM, an LSTM that begins with tanh of an affine map of its end, and attention over it:
    a_t = softmax(s_t W h), f_t = tanh(R [a_t h; s_t] + r), logits E f_t + b with the embeddings E of both sides.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        embedding, hidden = sizes.embedding, sizes.hidden
        self.embedding = nn.Embedding(sizes.vocabulary, embedding, padding_idx=PADDING)
        self.encoder = nn.LSTM(embedding, hidden, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(2 * hidden, 2 * hidden)
        self.decoder = nn.LSTM(embedding, hidden, batch_first=True)
        self.key = nn.Linear(2 * hidden, hidden, bias=False)
        self.readout = nn.Linear(3 * hidden, embedding)
        self.output = nn.Linear(embedding, sizes.vocabulary)
        self.output.weight = self.embedding.weight
        self.embedding_dropout = nn.Dropout(sizes.embedding_dropout)
        self.output_dropout = nn.Dropout(sizes.output_dropout)
        with torch.no_grad():
            self.embedding.weight.normal_(std=embedding**-0.5)  # torch's N(0, 1) is for embeddings that are not tied
            self.embedding.weight[PADDING] = 0

    def forward(self, source_BS: Tensor, lengths_B: Tensor, target_BT: Tensor) -> Tensor:
        """Logits (B, T, V); the lengths lie on the CPU."""
        values_BSH, first = self._encode(source_BS, lengths_B)
        states_BTH, _ = self.decoder(self.embedding_dropout(self.embedding(target_BT)), first)
        scores_BTS = torch.bmm(states_BTH, self.key(values_BSH).transpose(1, 2))
        scores_BTS = scores_BTS.masked_fill((source_BS == PADDING).unsqueeze(1), -torch.inf)
        context_BTH = torch.bmm(scores_BTS.softmax(-1), values_BSH)
        features_BTE = torch.tanh(self.readout(torch.cat([context_BTH, states_BTH], -1)))
        return self.output(self.output_dropout(features_BTE))  # type: ignore[no-any-return]

    def _encode(self, source_BS: Tensor, lengths_B: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Outputs of both directions, and where the decoder begins."""
        embedded = self.embedding_dropout(self.embedding(source_BS))
        packed = rnn.pack_padded_sequence(embedded, lengths_B, batch_first=True, enforce_sorted=False)
        outputs, (last_2BH, _) = self.encoder(packed)
        values_BSH, _ = rnn.pad_packed_sequence(outputs, batch_first=True, total_length=source_BS.shape[1])
        h_BH, c_BH = torch.tanh(self.bridge(torch.cat([last_2BH[0], last_2BH[1]], -1))).chunk(2, -1)
        return values_BSH, (h_BH.unsqueeze(0).contiguous(), c_BH.unsqueeze(0).contiguous())


class PlainLearner:
    """The model with its optimiser; losses stay where they were computed, so that no update waits for one."""

    def __init__(self, sizes: Sizes, rule: Rule, device: torch.device, *, bfloat16: bool) -> None:
        self.model = Plain(sizes).to(device)
        self.rule, self.device, self.bfloat16 = rule, device, bfloat16
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=rule.rate)

    def update(self, batch: Pairs) -> Tensor:
        """One update; returns the loss a token before it."""
        self.optimizer.zero_grad()
        loss = self.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), self.rule.clip)
        self.optimizer.step()
        return loss.detach()

    def loss(self, batch: Pairs) -> Tensor:
        """Smoothed cross-entropy a token."""
        logits_NV, target_N = self.logits(batch).flatten(0, 1), batch.target_out_BT.to(self.device).flatten()
        return F.cross_entropy(logits_NV, target_N, ignore_index=PADDING, label_smoothing=self.rule.smoothing)

    def logits(self, batch: Pairs) -> Tensor:
        """(B, T, V) in float32."""
        source_BS, target_BT = batch.source_BS.to(self.device), batch.target_in_BT.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            return self.model(source_BS, batch.source_lengths_B, target_BT).float()  # type: ignore[no-any-return]

"""A model that reads a sequence and answers with numbers or a class: once, at its end, or at each step."""

# B batch, T time, I numbers a step, E width of the stack's output, K outputs

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol, assert_never

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2s.cores import Bidirectional, Keep, Stack
from s2s.kernels.dropout import dropout
from s2s.models.attention import Attention
from s2s.models.loss import Loss

Pooling = Literal["last", "state", "mean", "attention", "none"]
PredictorLoss = Literal["mse", "cross_entropy"]


class OneHot(nn.Module):
    """Ids 1..count to unit vectors of this width; 0, which is padding, to zeros."""

    table: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.size = count
        self.register_buffer("table", torch.eye(count + 1)[:, 1:].contiguous(), persistent=False)

    def forward(self, ids_BT: Tensor) -> Tensor:
        """(B, T) ids to (B, T, count)."""
        return F.embedding(ids_BT, self.table)


def kept(pooling: Pooling, *, bidirectional: bool, residual: bool) -> Keep:
    """What the top layer of a predictor's stack has to keep: one that is read once pays for one output.

    "last" of a bidirectional layer is read at the last step, where the backward half has only begun; a residual stack
    adds what is below step by step.
    """
    once = pooling == "state" or (pooling == "last" and not bidirectional)
    return "last" if once and not residual else "all"


class Prediction(NamedTuple):
    """What a predictor says."""

    outputs: Tensor
    """(B, K), or (B, T, K) with an answer at each step: numbers, or logits."""
    weights_BT: Tensor | None
    """Where attention looked; rows sum to 1."""


class Predictor(nn.Module):
    """outputs = W pool(stack(read(x))) + b.

    pool: "last", the top layer's output at each row's last step; "state", what is read from its last state, which is
    another where the layer is bidirectional (each direction after its own last step) or residual (without the sum);
    "mean" over a row's steps; "attention", sum_t a_t h_t with a = softmax_t(q . h_t) and one learned q, zero at first,
    so that it begins as the mean; "none", no pooling but an answer at each step.

    Args:
        reader: makes (B, T, width) of a batch's inputs: `nn.Identity` for numbers as they are, `nn.Linear` for an
            affine layer before the stack, `Embedding` or `OneHot` for ids.
        stack: recurrent layers. Where its top layer keeps all steps for a pooling that needs one (`kept`), it still
            works, and costs more.
        outputs: K; for two classes one logit, for more one a class.
        pooling: which.
        dropout: of what the output layer reads.

    Raises:
        ValueError: the top layer keeps less than the pooling needs.
    """

    def __init__(
        self, reader: nn.Module, stack: Stack, *, outputs: int, pooling: Pooling = "last", dropout: float = 0.0
    ) -> None:
        super().__init__()
        top = stack.layers[-1]
        bidirectional = isinstance(top, Bidirectional)
        if top.keep == "last" and kept(pooling, bidirectional=bidirectional, residual=False) == "all":
            raise ValueError(f"pooling {pooling!r} reads every step, so the top layer needs keep='all'")
        self.reader = reader
        self.stack = stack
        self.pooling: Pooling = pooling
        self.dropout = dropout
        if pooling == "attention":
            self.attention = Attention(stack.output_size, stack.output_size, score="dot")
            self.query = nn.Parameter(torch.zeros(stack.output_size))
        self.output = nn.Linear(stack.output_size, outputs)

    def forward(self, inputs: Tensor, lengths_B: Tensor) -> Prediction:
        """The answers to (B, T, I) numbers or (B, T) ids; to a row without steps from its first state or zeros."""
        out, states = self.stack(self.reader(inputs), lengths_B)
        lengths_B = lengths_B.to(out.device)
        weights_BT = None
        match self.pooling:
            case "none":
                pooled = out
            case "state":
                pooled = self.stack.summaries(states)[-1]
            case "last":
                pooled = out if out.dim() == 2 else _at_end(out, lengths_B)
            case "mean":
                pooled = out.sum(1) / lengths_B.clamp(min=1).unsqueeze(1)
            case "attention":
                pooled, weights_BT = self._attend(out, lengths_B)
            case _:
                assert_never(self.pooling)
        return Prediction(self.output(dropout(pooled, self.dropout, self.training)), weights_BT)

    def _attend(self, out_BTE: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        mask_BT = torch.arange(out_BTE.shape[1], device=out_BTE.device) < lengths_B.unsqueeze(1)
        query_B1E = self.query.to(out_BTE.dtype).expand(len(out_BTE), 1, -1)
        context_B1E, weights_B1T = self.attention(query_B1E, out_BTE, out_BTE, mask_BT)
        return context_B1E.squeeze(1), weights_B1T.squeeze(1)


def _at_end(out_BTE: Tensor, lengths_B: Tensor) -> Tensor:
    """Each row's output at its last step; a row of none has zeros everywhere."""
    last_B = (lengths_B - 1).clamp(min=0)
    return out_BTE.gather(1, last_B.view(-1, 1, 1).expand(-1, 1, out_BTE.shape[2])).squeeze(1)


class AnswerBatch(Protocol):
    """What the loss reads of a batch of examples with answers."""

    @property
    def inputs(self) -> Tensor: ...
    @property
    def lengths_B(self) -> Tensor: ...
    @property
    def targets(self) -> Tensor:
        """Numbers (B, K) or classes (B,); at each step (B, T, K) or (B, T), classes below 0 where nothing is asked."""

    @property
    def tokens(self) -> int:
        """How many answers are asked for."""


class Marks(NamedTuple):
    """How each row of a batch did, so that rows can be told apart: by length, say, or the wholly right ones."""

    loss_B: Tensor
    """Summed over the row's answers."""
    right_B: Tensor
    """How many of them are right."""
    asked_B: Tensor
    """How many there are."""


def mark(outputs: Tensor, batch: AnswerBatch, *, loss: PredictorLoss, tolerance: float = 0.0) -> Marks:
    """Outputs against a batch's targets.

    Numbers: mean_k (o_k - y_k)^2, right where no |o_k - y_k| is above the tolerance. Classes: -log p[y], or with "mse"
    mean_k (p_k - [k = y])^2, right where the likeliest is y. p = sigmoid(o) of one logit and of two classes, else
    softmax(o).

    Raises:
        ValueError: cross-entropy against numbers.
    """
    outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
    if batch.targets.is_floating_point():
        if loss != "mse":
            raise ValueError("cross-entropy compares classes, and these targets are numbers")
        off = outputs - batch.targets
        losses, right = off.square().mean(-1), (off.detach().abs() <= tolerance).all(-1)
        asked = _within(losses, batch.lengths_B)
    else:
        losses, right = _classes(outputs, batch.targets.clamp(min=0), loss)
        asked = batch.targets >= 0
    rows = len(losses)
    sums = (part.reshape(rows, -1).sum(1) for part in (losses.masked_fill(~asked, 0.0), right & asked, asked))
    return Marks(*sums)


def _within(losses: Tensor, lengths_B: Tensor) -> Tensor:
    """Which of (B,) or (B, T) are answers: all, or those of a row's steps."""
    if losses.dim() == 1:
        return torch.ones_like(losses, dtype=torch.bool)
    return torch.arange(losses.shape[1], device=losses.device) < lengths_B.to(losses.device).unsqueeze(1)


def _classes(outputs: Tensor, targets: Tensor, loss: PredictorLoss) -> tuple[Tensor, Tensor]:
    """Loss, and whether the likeliest class is right, for each class asked."""
    if outputs.shape[-1] == 1:
        logits, wanted = outputs.squeeze(-1), targets.to(outputs.dtype)
        right = (logits.detach() > 0) == (targets > 0)
        if loss == "mse":
            return (logits.sigmoid() - wanted).square(), right
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none"), right
    right = outputs.detach().argmax(-1) == targets
    if loss == "mse":
        wanted = F.one_hot(targets, outputs.shape[-1]).to(outputs.dtype)
        return (outputs.softmax(-1) - wanted).square().mean(-1), right
    log_p = outputs.log_softmax(-1)
    return -log_p.gather(-1, targets.unsqueeze(-1)).squeeze(-1), right


def predictor_loss(model: Predictor, batch: AnswerBatch, *, loss: PredictorLoss) -> Loss:
    """The losses of `mark`, summed over a batch. `nll` is what is minimised, squared errors too; `tokens`, answers."""
    total = mark(model(batch.inputs, batch.lengths_B).outputs, batch, loss=loss).loss_B.sum()
    return Loss(total=total, nll=total.detach(), tokens=batch.tokens)

"""Attention against its formulas, written as loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from s2s.models import PRESETS, Attention
from s2s.models.attention import Score

SCORES: tuple[Score, ...] = ("dot", "general", "additive")


def made(score: Score, queries: int = 3, values: int = 3, size: int | None = None) -> Attention:
    torch.manual_seed(3)
    return Attention(queries, values, score=score, size=size).double()


def formula(attention: Attention, query: np.ndarray, values: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """One query over one sentence, step by step."""
    weights = {name: parameter.detach().numpy() for name, parameter in attention.named_parameters()}
    scores = []
    for value in values[:length]:
        match attention.score:
            case "dot":
                scores.append(float(query @ value))
            case "general":
                scores.append(float(query @ (weights["key.weight"] @ value)))
            case "additive":
                inner = weights["query.weight"] @ query + weights["key.weight"] @ value + weights["key.bias"]
                scores.append(float(weights["energy.weight"][0] @ np.tanh(inner)))
    shares = [math.exp(score) for score in scores]
    row = np.zeros(len(values))
    row[:length] = np.array(shares) / sum(shares)
    return sum(row[j] * values[j] for j in range(length)), row


@pytest.mark.parametrize(
    ("score", "queries", "values"),
    [("dot", 3, 3), ("general", 3, 3), ("general", 2, 5), ("additive", 3, 3), ("additive", 2, 5)],
)
def test_equals_its_formula_row_by_row(score: Score, queries: int, values: int) -> None:
    attention = made(score, queries, values)
    beams, steps, lengths = 2, 3, [4, 1, 2]
    query_RTQ = torch.randn(len(lengths) * beams, steps, queries, dtype=torch.float64)
    values_BSE = torch.randn(len(lengths), 4, values, dtype=torch.float64)
    mask_BS = torch.arange(4) < torch.tensor(lengths).unsqueeze(1)
    context, weights = attention(query_RTQ, attention.keys(values_BSE), values_BSE, mask_BS)
    assert context.shape == (6, steps, values)
    assert weights.shape == (6, steps, 4)
    for row in range(6):
        sentence = row // beams  # the beams of a sentence stand together
        for step in range(steps):
            expected = formula(attention, query_RTQ[row, step].numpy(), values_BSE[sentence].numpy(), lengths[sentence])
            np.testing.assert_allclose(context[row, step].detach().numpy(), expected[0], atol=1e-12)
            np.testing.assert_allclose(weights[row, step].detach().numpy(), expected[1], atol=1e-12)


@pytest.mark.parametrize("score", SCORES)
def test_padding_gets_no_weight_whatever_stands_there(score: Score) -> None:
    attention = made(score)
    query, values = torch.randn(2, 1, 3).double(), torch.randn(2, 3, 3).double()
    mask = torch.tensor([[True, True, False], [True, False, False]])
    other = torch.where(mask.unsqueeze(2), values, 100.0)
    context, weights = attention(query, attention.keys(values), values, mask)
    context_2, weights_2 = attention(query, attention.keys(other), other, mask)
    assert (weights[~mask.unsqueeze(1)] == 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 1).double())
    torch.testing.assert_close(context, context_2)
    torch.testing.assert_close(weights, weights_2)


@pytest.mark.parametrize("score", SCORES)
def test_a_source_without_tokens_gives_numbers(score: Score) -> None:
    attention = made(score)
    values = torch.zeros(2, 3, 3).double()
    query = torch.randn(2, 2, 3, dtype=torch.float64, requires_grad=True)
    context, weights = attention(query, attention.keys(values), values, torch.zeros(2, 3, dtype=torch.bool))
    context.sum().backward()
    assert context.eq(0).all()
    assert weights.isfinite().all()
    assert query.grad is not None
    assert query.grad.isfinite().all()


def test_no_sentences_at_all() -> None:
    attention = made("general")
    values = torch.zeros(0, 3, 3).double()
    context, weights = attention(
        torch.zeros(0, 1, 3).double(), attention.keys(values), values, torch.zeros(0, 3).bool()
    )
    assert context.shape == (0, 1, 3)
    assert weights.shape == (0, 1, 3)


def test_softmax_is_taken_in_float32_or_wider() -> None:
    attention = made("dot").bfloat16()
    values = torch.randn(1, 5, 3).bfloat16()
    _, weights = attention(values[:, :1], attention.keys(values), values, torch.ones(1, 5, dtype=torch.bool))
    assert weights.dtype == torch.float32
    assert float((weights.sum(-1) - 1).abs().max()) < 1e-6


def test_additive_width_and_unequal_dot() -> None:
    assert made("additive", 3, 4, size=9).energy.in_features == 9
    assert made("additive", 3, 4).energy.in_features == 3
    with pytest.raises(ValueError, match="equal widths, got 3 and 4"):
        made("dot", 3, 4)


def test_presets() -> None:
    assert {name: tuple(choice) for name, choice in PRESETS.items()} == {
        "bahdanau": ("additive", "previous", "context", "deep"),
        "luong": ("general", "current", "none", "tanh"),
        "book": ("dot", "current", "none", "affine"),
        "joey": ("additive", "current", "attentional", "tanh"),
    }

"""The model of `recipes/toy/date-attention.toml` in NumPy, as a teacher would write it: LSTM encoder and decoder, dot
attention, an affine layer over [context; state], Adam, every gradient by hand.

`python -m peers.dates_numpy PAIRS --epochs N --test PAIRS` prints one JSON line: seconds of each epoch, losses, seconds
of a test pair that is answered alone, and the share answered exactly.

Shapes: B batch, T time, S source positions, D width of a character, H hidden, G gates (4 H), V characters.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

Array = np.ndarray[Any, np.dtype[Any]]
Weights = dict[str, Array]

BLANK, START = " ", "_"
HIDDEN, WIDTH, BATCH, RATE, CLIP = 256, 16, 128, 1e-3, 5.0


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def start(rng: np.random.Generator, characters: int) -> Weights:
    """591,259 parameters with 59 characters."""

    def normal(*shape: int) -> Array:
        return (rng.standard_normal(shape) / shape[0] ** 0.5).astype(np.float32)  # type: ignore[no-any-return]

    weights = {"out": normal(2 * HIDDEN, characters), "out_bias": np.zeros(characters, np.float32)}
    for side in ("source", "target"):
        weights[f"{side}_embedding"] = (rng.standard_normal((characters, WIDTH)) / 100).astype(np.float32)
        weights[f"{side}_x"], weights[f"{side}_h"] = normal(WIDTH, 4 * HIDDEN), normal(HIDDEN, 4 * HIDDEN)
        weights[f"{side}_bias"] = np.zeros(4 * HIDDEN, np.float32)
    return weights


class Lstm:
    """All steps of one side, with what its backward needs."""

    def __init__(self, weights: Weights, side: str) -> None:
        self.weights, self.side = weights, side
        self.kept: list[tuple[Array, ...]] = []

    def step(self, token_B: Array, h_BH: Array, c_BH: Array) -> tuple[Array, Array]:
        w, side = self.weights, self.side
        x_BD = w[f"{side}_embedding"][token_B]
        i, f, g, o = np.split(x_BD @ w[f"{side}_x"] + h_BH @ w[f"{side}_h"] + w[f"{side}_bias"], 4, 1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        next_BH = f * c_BH + i * g
        squashed = np.tanh(next_BH)
        self.kept.append((token_B, x_BD, h_BH, c_BH, i, f, g, o, squashed))
        return o * squashed, next_BH

    def forward(self, token_BT: Array, h_BH: Array, c_BH: Array) -> tuple[Array, Array]:
        hs = np.empty((*token_BT.shape, HIDDEN), np.float32)
        for t in range(token_BT.shape[1]):
            h_BH, c_BH = self.step(token_BT[:, t], h_BH, c_BH)
            hs[:, t] = h_BH
        return hs, h_BH

    def backward(self, d_BTH: Array, gradients: Weights) -> Array:
        """Adds to the gradients; returns that of the first h."""
        w, side = self.weights, self.side
        d_h, d_c = np.zeros_like(d_BTH[:, 0]), np.zeros_like(d_BTH[:, 0])
        for t in reversed(range(d_BTH.shape[1])):
            token_B, x_BD, h_BH, c_BH, i, f, g, o, squashed = self.kept[t]
            d_h = d_h + d_BTH[:, t]
            d_c = d_c + d_h * o * (1 - squashed**2)
            gates = (
                d_c * g * i * (1 - i),
                d_c * c_BH * f * (1 - f),
                d_c * i * (1 - g**2),
                d_h * squashed * o * (1 - o),
            )
            d_BG = np.concatenate(gates, 1)
            d_c = d_c * f
            gradients[f"{side}_x"] += x_BD.T @ d_BG
            gradients[f"{side}_h"] += h_BH.T @ d_BG
            gradients[f"{side}_bias"] += d_BG.sum(0)
            np.add.at(gradients[f"{side}_embedding"], token_B, d_BG @ w[f"{side}_x"].T)
            d_h = d_BG @ w[f"{side}_h"].T
        return d_h


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)  # type: ignore[no-any-return]


def learn(weights: Weights, source_BS: Array, target_BT: Array) -> tuple[float, Weights]:
    """The mean loss of a character, and all gradients."""
    nothing = np.zeros((len(source_BS), HIDDEN), np.float32)
    encoder, decoder = Lstm(weights, "source"), Lstm(weights, "target")
    values_BSH, last_BH = encoder.forward(source_BS, nothing, nothing)
    states_BTH, _ = decoder.forward(target_BT[:, :-1], last_BH, nothing)
    share_BTS = softmax(states_BTH @ values_BSH.transpose(0, 2, 1))
    context_BTH = share_BTS @ values_BSH
    seen = np.concatenate([context_BTH, states_BTH], 2)
    p_BTV = softmax(seen @ weights["out"] + weights["out_bias"])
    rows, columns = np.indices(target_BT[:, 1:].shape)
    p_right = p_BTV[rows, columns, target_BT[:, 1:]]
    p_BTV[rows, columns, target_BT[:, 1:]] -= 1
    d_BTV = p_BTV / p_right.size
    gradients = {name: np.zeros_like(weight) for name, weight in weights.items()}
    gradients["out"] += seen.reshape(-1, 2 * HIDDEN).T @ d_BTV.reshape(-1, d_BTV.shape[2])
    gradients["out_bias"] += d_BTV.sum((0, 1))
    d_context, d_states = np.split(d_BTV @ weights["out"].T, 2, 2)
    d_share = d_context @ values_BSH.transpose(0, 2, 1)
    d_score = share_BTS * (d_share - (d_share * share_BTS).sum(-1, keepdims=True))
    d_values = share_BTS.transpose(0, 2, 1) @ d_context + d_score.transpose(0, 2, 1) @ states_BTH
    d_values[:, -1] += decoder.backward(d_states + d_score @ values_BSH, gradients)
    encoder.backward(d_values, gradients)
    return float(-np.log(p_right + 1e-7).mean()), gradients


def adam(weights: Weights, gradients: Weights, moments: dict[str, tuple[Array, Array]], number: int) -> None:
    norm = np.sqrt(sum(float((d**2).sum()) for d in gradients.values()))
    rate = RATE * np.sqrt(1 - 0.999**number) / (1 - 0.9**number)
    for name, d in gradients.items():
        d *= min(1.0, CLIP / (norm + 1e-6))
        m, v = moments[name]
        m += 0.1 * (d - m)
        v += 0.001 * (d**2 - v)
        weights[name] -= (rate * m / (np.sqrt(v) + 1e-7)).astype(np.float32)


def answer(weights: Weights, source_S: Array, first: int, length: int) -> list[int]:
    """Greedy, one pair alone."""
    nothing = np.zeros((1, HIDDEN), np.float32)
    values_BSH, h = Lstm(weights, "source").forward(source_S[None], nothing, nothing)
    decoder, c, token, found = Lstm(weights, "target"), nothing, first, []
    for _ in range(length):
        h, c = decoder.step(np.array([token]), h, c)
        context = softmax(h @ values_BSH[0].T) @ values_BSH[0]
        token = int((np.concatenate([context, h], 1) @ weights["out"] + weights["out_bias"]).argmax())
        found.append(token)
    return found


def read(file: Path) -> list[tuple[str, str]]:
    return [(source, target) for source, target in (line.split("\t") for line in file.read_text().splitlines())]


def encode(texts: list[str], ids: dict[str, int], *, reverse: bool = False) -> Array:
    most = max(map(len, texts))
    table = np.array([[ids[character] for character in text.ljust(most, BLANK)] for text in texts])
    return table[:, ::-1] if reverse else table


def main(
    pairs: Annotated[Path, typer.Argument(help="TSV to learn.")],
    test: Annotated[Path, typer.Option(help="TSV to answer.")],
    epochs: Annotated[int, typer.Option(help="Passes.")] = 1,
    answers: Annotated[int, typer.Option(help="Test pairs that are answered, one by one.")] = 500,
) -> None:
    learned, asked = read(pairs), read(test)
    ids = {character: i for i, character in enumerate(sorted({BLANK, START, *"".join(map("".join, learned))}))}
    source_NS = encode([source for source, _ in learned], ids, reverse=True)
    target_NT = encode([START + target for _, target in learned], ids)
    rng = np.random.default_rng(0)
    weights = start(rng, len(ids))
    moments = {name: (np.zeros_like(weight), np.zeros_like(weight)) for name, weight in weights.items()}
    seconds, losses, number = [], [], 0
    for _ in range(epochs):
        order, begin, total = rng.permutation(len(learned)), time.perf_counter(), 0.0
        for first in range(0, len(order) - BATCH + 1, BATCH):
            chosen, number = order[first : first + BATCH], number + 1
            loss, gradients = learn(weights, source_NS[chosen], target_NT[chosen])
            adam(weights, gradients, moments, number)
            total += loss * BATCH / len(order)
        seconds.append(time.perf_counter() - begin)
        losses.append(total)
    sources = [source.ljust(source_NS.shape[1])[: source_NS.shape[1]] for source, _ in asked[:answers]]
    wanted = encode([target for _, target in asked[:answers]], ids)
    begin = time.perf_counter()
    found = [answer(weights, row, ids[START], wanted.shape[1]) for row in encode(sources, ids, reverse=True)]
    each = (time.perf_counter() - begin) / max(1, len(found))
    right = float(np.mean([row == list(own) for row, own in zip(found, wanted.tolist(), strict=True)]))
    parameters = sum(weight.size for weight in weights.values())
    print(json.dumps({"seconds": seconds, "loss": losses, "an_answer": each, "exact": right, "parameters": parameters}))


if __name__ == "__main__":
    typer.run(main)

"""Whether what `benchmarks/gpu.py` times is right: the peer is the same model, and everybody learns.

Shapes: B sentences, T target positions, N real ones of them, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import torch
from learners import Learner, Ours, Setting, Way, Work, learner, plain
from peers.plain import PADDING
from torch import Tensor, nn

from s2s.corpus.batch import Batch

CELL = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
ENCODER = "encoder.stack.layers.0"
WEIGHTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "embedding.weight": ("encoder.embedding.table.weight",),
        **{f"encoder.{weight}_l0": (f"{ENCODER}.forwards.cell.{weight}",) for weight in CELL},
        **{f"encoder.{weight}_l0_reverse": (f"{ENCODER}.backwards.cell.{weight}",) for weight in CELL},
        **{f"bridge.{weight}": tuple(f"bridge.layers.0.{i}.{weight}" for i in (0, 1)) for weight in ("weight", "bias")},
        **{f"decoder.{weight}_l0": (f"decoder.stack.layers.0.cell.{weight}",) for weight in CELL},
        "key.weight": ("decoder.attention.key.weight",),
        "readout.weight": ("decoder.readout.layer.weight",),
        "readout.bias": ("decoder.readout.layer.bias",),
        "output.bias": ("output.bias",),
    }
)
"""Of each weight of the peer those of ours with an LSTM that it is made of."""

LOUDER = 2.0
EXACT = 3e-4
"""Of the norm of a difference of logits, relative to the norm of ours, in float32 without TF32: CPUs differ by 1e-6,
and a weight that is one percent off shows."""


def problems(ways: Sequence[Way], setting: Setting, work: Work, updates: int) -> Iterator[str]:
    """Why nothing may be timed: the peer is another model, or somebody does not learn."""
    batches = work.batches()
    for hidden in sorted({way.hidden for way in ways}):
        yield from _differences(Way("lstm", hidden, "float32"), replace(setting, tf32=False), work, batches)
    setting.apply()
    for way in ways:
        found = _losses(learner(way, setting, work), batches, updates)
        if not all(map(math.isfinite, found)):
            yield f"{tuple(way)}: the loss is no number after {updates} updates"
        elif not _mean(found[-(updates // 3) :]) < _mean(found[: updates // 3]):
            yield f"{tuple(way)}: the loss does not fall in {updates} updates, {found[0]:.3f} to {found[-1]:.3f}"


def _losses(made: Learner, batches: Sequence[Batch], updates: int) -> list[float]:
    return [float(made.update(batches[number % len(batches)])) for number in range(updates)]


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


@torch.no_grad()
def _differences(way: Way, setting: Setting, work: Work, batches: Sequence[Batch]) -> Iterator[str]:
    """Where the peer with the weights of ours gives other logits or another loss, or counts other tokens."""
    setting.apply()
    ours, peer = Ours(setting.config(way), work), plain(way, setting, work)
    _raise_voices(ours.model)
    if told := _take(peer.model, dict(ours.model.named_parameters())):
        yield f"hidden {way.hidden}: {told}"
        return
    ours.model.eval()
    peer.model.eval()
    batch = work.source.batch([batch.rows[0] for batch in batches], 1)  # of all lengths
    real_BT = (batch.target_out_BT != PADDING).to(ours.device)
    logits_NV = ours.logits(batch)[real_BT]
    off = float((peer.logits(batch)[real_BT] - logits_NV).norm() / logits_NV.norm())
    if not off <= EXACT:
        yield f"hidden {way.hidden}: the peer's logits are off by {off:.2g} of their norm"
    own, other = ours.loss(batch), float(peer.loss(batch))
    if not abs(float(own.total) / own.tokens / other - 1) <= EXACT:
        yield f"hidden {way.hidden}: the loss is {float(own.total) / own.tokens:.5f}, the peer's {other:.5f}"
    for each in batches:
        if not each.tokens == ours.loss(each).tokens == int((each.target_out_BT != PADDING).sum()):
            yield f"hidden {way.hidden}: a batch does not have {each.tokens} target tokens for both"


def _raise_voices(model: nn.Module) -> None:
    """Weights of which every term of an equation shows; at the start attention is about even, and biases are zero."""
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.mul_(LOUDER)
        else:
            weight.normal_(std=0.1)


def _take(peer: nn.Module, ours: Mapping[str, Tensor]) -> str:
    """Give the peer the weights of ours; says why they are not the same model's, or nothing."""
    theirs, used = dict(peer.named_parameters()), {name for names in WEIGHTS.values() for name in names}
    if used != set(ours) or set(theirs) != set(WEIGHTS):
        return f"other weights than the peer's: {', '.join(sorted(used ^ set(ours))) or sorted(theirs)}"
    for name, weight in theirs.items():
        taken = torch.cat([ours[part] for part in WEIGHTS[name]])
        if taken.shape != weight.shape:
            return f"{name} is {tuple(weight.shape)}, ours {tuple(taken.shape)}"
        weight.copy_(taken)
    return ""

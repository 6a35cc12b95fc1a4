"""How far back in time a predictor's answer reaches: the gradient by what was read so many steps before."""

# B batch, T time, I width of what a layer reads, K outputs

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from s2s.models.predictor import AnswerBatch, Predictor, PredictorLoss, mark


class _Last(NamedTuple):
    """Of each row the last answer alone."""

    inputs: Tensor
    lengths_B: Tensor
    targets: Tensor
    tokens: int


def gradient_by_distance(model: Predictor, batch: AnswerBatch, *, loss: PredictorLoss) -> Tensor:
    """(L, T): mean over rows of |dL/dx|, by layer and by the steps between x and the last answer asked for.

    L is the loss of a row's last answer (others are left out), x what the layer reads at a step, so distance 0 is the
    step of the answer itself. Vanishing and exploding gradients show as lines that fall and rise (Hochreiter 1991;
    Bengio, Simard and Frasconi 1994). Distances that no row has are NaN. The model should be in evaluation mode, and on
    the CPU, where every backend has a backward in that mode.
    """
    read: list[Tensor] = []

    def keep(_layer: nn.Module, words: tuple[Any, ...]) -> tuple[Any, ...]:
        x = words[0] if words[0].requires_grad else words[0].detach().requires_grad_()
        read.append(x)
        return (x, *words[1:])

    hooks = [layer.register_forward_pre_hook(keep) for layer in model.stack.layers]
    try:
        with torch.enable_grad():
            outputs = model(batch.inputs, batch.lengths_B).outputs
            at_B, answers, last = _last(outputs, batch)
            total = mark(answers, last, loss=loss).loss_B.sum()
            gradients = torch.autograd.grad(total, read)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack([_by_distance(gradient.float().norm(dim=-1), at_B) for gradient in gradients])


def _last(outputs: Tensor, batch: AnswerBatch) -> tuple[Tensor, Tensor, _Last]:
    """Where each row's last answer is asked for, what is said there, and what is right."""
    at_B, targets = (batch.lengths_B - 1).clamp(min=0), batch.targets
    if outputs.dim() == 3:
        if not targets.is_floating_point():
            asked_BT = targets >= 0
            at_B = asked_BT.shape[1] - 1 - asked_BT.flip(1).int().argmax(1)
        rows_B = torch.arange(len(outputs))
        outputs, targets = outputs[rows_B, at_B], targets[rows_B, at_B]
    return at_B, outputs, _Last(batch.inputs, batch.lengths_B, targets, len(targets))


def _by_distance(norm_BT: Tensor, at_B: Tensor) -> Tensor:
    """(T) means over rows of the norm so many steps before `at`."""
    steps = norm_BT.shape[1]
    place_BT = at_B.unsqueeze(1) - torch.arange(steps)
    inside_BT = place_BT >= 0
    moved_BT = norm_BT.gather(1, place_BT.clamp(min=0)).masked_fill(~inside_BT, 0.0)
    return moved_BT.sum(0) / inside_BT.sum(0)

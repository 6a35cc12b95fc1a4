"""Rows of different lengths in one padded batch: which steps are padding, and reversal inside each row's length.

Shapes: B batch, T time, F features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ragged:
    """A batch whose rows end at different steps."""

    lengths: Tensor  # (B,), on the device of the batch
    pad: Tensor  # (B, T, 1), true at padding

    def blank(self, x_BTF: Tensor) -> Tensor:
        """Zeros at padding, whatever stood there (also NaN), with no gradient to it."""
        return x_BTF.masked_fill(self.pad, 0.0)

    def reverse(self, x_BTF: Tensor) -> Tensor:
        """Each row reversed inside its length, padding left where it is; its own inverse."""
        batch, time = x_BTF.shape[:2]
        time_T = torch.arange(time, device=x_BTF.device)
        source_BT = torch.where(self.pad.squeeze(2), time_T, self.lengths[:, None] - 1 - time_T)
        row_B1 = torch.arange(batch, device=x_BTF.device)[:, None] * time
        return _permute(x_BTF, (source_BT + row_B1).flatten())


def ragged(lengths_B: Tensor | None, x_BTF: Tensor) -> Ragged | None:
    """The shape of a batch; None where every row is full, which is cheaper to run.

    Lengths on the CPU are looked at (and ValueError says where they do not fit); lengths on an accelerator are not,
    since that would wait for it: they count as ragged.
    """
    if lengths_B is None:
        return None
    batch, time = x_BTF.shape[:2]
    if lengths_B.shape != (batch,):
        raise ValueError(f"lengths have shape {tuple(lengths_B.shape)}, the batch needs ({batch},)")
    if lengths_B.device.type == "cpu" and batch > 0:
        low, high = (int(bound) for bound in lengths_B.aminmax())
        if low < 0 or high > time:
            raise ValueError(f"lengths run from {low} to {high}, the batch has {time} steps")
        if low == time:
            return None
    lengths_B = lengths_B.to(x_BTF.device)
    time_T = torch.arange(time, device=x_BTF.device)
    return Ragged(lengths_B, (time_T >= lengths_B[:, None]).unsqueeze(2))


class _Permute(torch.autograd.Function):
    """Rows of x (first two dimensions taken as one) in the order of an index that is its own inverse.

    Autograd's own backward of an indexing adds into zeros, since it cannot know that the index is a permutation.
    """

    @staticmethod
    def forward(ctx: Any, x_BTF: Tensor, index_N: Tensor) -> Tensor:
        ctx.save_for_backward(index_N)
        return x_BTF.flatten(0, 1).index_select(0, index_N).view_as(x_BTF)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (index_N,) = ctx.saved_tensors
        return _permute(grads[0], index_N), None


def _permute(x_BTF: Tensor, index_N: Tensor) -> Tensor:
    permuted_BTF: Tensor = _Permute.apply(x_BTF, index_N)  # type: ignore[no-untyped-call]  # torch types no apply
    return permuted_BTF

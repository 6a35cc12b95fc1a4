"""What the fused scans share: their matrix products over all time steps, dtypes, and the ragged edge of a batch.

Shapes: B batch, T time, I input, G gates, H hidden, N = B * T rows, S the dtype of the products.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from s2s.kernels import dense
from s2s.kernels.protocol import State


def product_dtype(weight: Tensor) -> torch.dtype:
    """S: autocast's dtype where it is on (it leaves float64 as it is), else that of the weights."""
    device = weight.device.type
    if weight.dtype == torch.float64 or not torch.is_autocast_enabled(device):
        return weight.dtype
    return torch.get_autocast_dtype(device)


def no_autocast(tensor: Tensor) -> torch.autocast:
    """Inside, dtypes are what the code says. Backward needs it as well: it may be called under autocast."""
    return torch.autocast(tensor.device.type, enabled=False)


def learns(*tensors: Tensor) -> bool:
    """Whether a backward may come."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


class Project(Protocol):
    """(x_BTI, weight_GI, bias_G) -> x W^T + b over all steps, (B, T, G) in S: a new buffer that the loop may overwrite.

    x and W are in S, the bias in any dtype; x is contiguous.
    """

    def __call__(self, x_BTI: Tensor, weight_GI: Tensor, bias_G: Tensor, /) -> Tensor: ...


class ProjectBackward(Protocol):
    """(dgates_BTG, x_BTI, weight_GI) -> gradients of x, where it needs one, and of W."""

    def __call__(
        self, dgates_BTG: Tensor, x_BTI: Tensor, weight_GI: Tensor, /, *, needs_x: bool
    ) -> tuple[Tensor | None, Tensor]: ...


class Input(NamedTuple):
    """The product of the inputs of all steps with their weights, and its gradients."""

    project: Project
    backward: ProjectBackward


def project(x_BTI: Tensor, weight_GI: Tensor, bias_G: Tensor, /) -> Tensor:
    """As in `Project`."""
    return dense.by_rows(x_BTI.flatten(0, 1), weight_GI, bias_G).view(*x_BTI.shape[:2], -1)


def project_backward(
    dgates_BTG: Tensor, x_BTI: Tensor, weight_GI: Tensor, /, *, needs_x: bool
) -> tuple[Tensor | None, Tensor]:
    """As in `ProjectBackward`."""
    dgates_NG, x_NI = dgates_BTG.flatten(0, 1), x_BTI.flatten(0, 1)
    dx_BTI = dense.by_columns(dgates_NG, weight_GI).view_as(x_BTI) if needs_x else None
    # With one or two inputs a CPU takes nine times as long for the product that is not turned.
    few = x_NI.shape[1] <= 16
    return dx_BTI, torch.mm(x_NI.t(), dgates_NG).t().contiguous() if few else dense.over_rows(dgates_NG, x_NI)


INPUT = Input(project, project_backward)


def product_with_previous(d_BTG: Tensor, h_BTH: Tensor, first_BH: Tensor) -> Tensor:
    """sum_t d_t^T h_{t-1}, (G, H), with h_0 = first: one product, and no copy of h shifted by one step.

    In flat rows the row before is h_{t-1}, except at t = 0, whose d is therefore set aside meanwhile.
    """
    d_NG, h_NH = d_BTG.view(-1, d_BTG.shape[2]), h_BTH.flatten(0, 1)
    first_BG = d_BTG[:, 0].clone()
    d_BTG[:, 0] = 0.0
    product_GH = dense.over_rows(d_NG[1:], h_NH[:-1])
    d_BTG[:, 0] = first_BG
    return product_GH.addmm_(first_BG.t(), first_BH.to(h_BTH.dtype))


def add_product_(total_MN: Tensor, a_MK: Tensor, b_KN: Tensor) -> None:
    """total += a b in place; total may be of a wider dtype."""
    if total_MN.dtype == a_MK.dtype:
        total_MN.addmm_(a_MK, b_KN)
    else:
        total_MN += torch.mm(a_MK, b_KN)


def upstream(dh_BTH: Tensor | None, dfinal: Sequence[Tensor | None], like_BH: Tensor) -> tuple[Tensor | None, State]:
    """The gradients that a backward loop takes: contiguous, those of the final state zero where nothing flowed."""
    filled = tuple(torch.zeros_like(like_BH) if part is None else part.contiguous() for part in dfinal)
    return None if dh_BTH is None else dh_BTH.contiguous(), filled


def add_product(g_BG: Tensor, h_BH: Tensor, weight_GH: Tensor) -> Tensor:
    """g + h W^T in the dtype of h, the product in that of W: what a step of a plain loop begins with."""
    return torch.mm(h_BH.to(weight_GH.dtype), weight_GH.t()).to(h_BH.dtype).add_(g_BG)


def sigmoid_slope(y: Tensor) -> Tensor:
    """The derivative of the sigmoid where its value is y."""
    return y * (1 - y)


def active_rows(lengths_B: Tensor | None, time: int) -> Sequence[Tensor | None]:
    """For each step the rows that still run, (B, 1); None where all do."""
    if lengths_B is None:
        return [None] * time
    time_T1 = torch.arange(time, device=lengths_B.device)[:, None]
    return (time_T1 < lengths_B).unsqueeze(2).unbind(0)


def keep_finished(active_B1: Tensor | None, after: State, before: State) -> State:
    """The state after a step; a finished row keeps its own."""
    if active_B1 is None:
        return after
    return tuple(torch.where(active_B1, new, old) for new, old in zip(after, before, strict=True))


def blank_(lengths_B: Tensor | None, *tensors: Tensor) -> None:
    """Zero at padding, in place."""
    if lengths_B is None:
        return
    time_T = torch.arange(tensors[0].shape[1], device=lengths_B.device)
    pad_BT1 = (time_T >= lengths_B[:, None]).unsqueeze(2)
    for tensor in tensors:
        tensor.masked_fill_(pad_BT1, 0.0)

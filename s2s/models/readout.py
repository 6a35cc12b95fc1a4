"""What stands between the decoder's states and the output layer."""

# R rows, T target positions, E encoder width, O decoder width, C width of the peeky context, M width of an embedding,
# F width of the features

from __future__ import annotations

from typing import Literal, assert_never

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2s.kernels import dense
from s2s.models.attention import Readout

Gate = Literal["none", "source", "target", "both"]


class ReadoutLayer(nn.Module):
    """Features for the output layer: [c; s] as it is (affine), or tanh(W [c; s]), or tanh(W [c; s; e]) (deep).

    With a context gate z = sigmoid(W_z [c; s; e] + b_z) the product is split into what the source says, W_c c, and what
    the target says, W_s [s; e] + b, and f = tanh of (Tu et al. 2017, at the readout instead of in the recurrence,
    so that it needs no loop over time and serves every core)

        source: W_s [s; e] + b + z * W_c c;  target: z * (W_s [s; e] + b) + W_c c;
        both: (1 - z) * (W_s [s; e] + b) + z * W_c c.

    Args:
        kind: which of the three.
        sizes: (E, O, C); E is 0 without attention, C unless peeky.
        embedding_size: M.
        size: F of tanh and deep.
        gate: which of the four.

    Raises:
        ValueError: a gate without attention or with the affine readout, which has nothing to gate.
    """

    def __init__(
        self, kind: Readout, sizes: tuple[int, int, int], *, embedding_size: int, size: int, gate: Gate = "none"
    ) -> None:
        super().__init__()
        self.kind: Readout = kind
        self.gate: Gate = gate
        width = sum(sizes) + (embedding_size if kind == "deep" else 0)
        if gate != "none" and (kind == "affine" or not sizes[0]):
            raise ValueError(f"a context gate needs attention and a readout tanh or deep, got {kind}")
        self.context_size = sizes[0]
        self.layer = None if kind == "affine" else nn.Linear(width, size)
        self.gating = None if gate == "none" else nn.Linear(sum(sizes) + embedding_size, size)
        self.output_size = width if self.layer is None else size

    def forward(self, parts: list[Tensor], embedded_RTM: Tensor) -> Tensor:
        """(R, T, F) of the context (where there is attention), the state, the peeky context, and the embedding."""
        joined = torch.cat([*parts, embedded_RTM] if self.kind == "deep" else parts, -1)
        if self.layer is None:
            return joined
        if self.gating is None:
            return torch.tanh(dense.linear(self.layer, joined))
        gate_RTF = torch.sigmoid(self.gating(torch.cat([*parts, embedded_RTM], -1)))
        return torch.tanh(self._gated(self.layer, joined, gate_RTF))

    def _gated(self, layer: nn.Linear, joined: Tensor, gate_RTF: Tensor) -> Tensor:
        source_RTF = F.linear(joined[..., : self.context_size], layer.weight[:, : self.context_size])
        target_RTF = F.linear(joined[..., self.context_size :], layer.weight[:, self.context_size :], layer.bias)
        match self.gate:
            case "none" | "source":
                return target_RTF + gate_RTF * source_RTF
            case "target":
                return gate_RTF * target_RTF + source_RTF
            case "both":
                return torch.lerp(target_RTF, source_RTF, gate_RTF)
            case _:
                assert_never(self.gate)

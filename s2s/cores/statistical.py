"""Statistical recurrent unit (Oliva, Poczos and Schneider, ICML 2017, arXiv 1703.00381).

"SRU" means Simple Recurrent Unit (Lei et al. 2018) to many readers; this is the *statistical* one.

Shapes: B batch, T time, I input, A decays, P phi size (= G), R recurrent size, K kept (= A * P), O output (= hidden).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from s2s.cores.cell import Cell, Prepared, State
from s2s.cores.product import add_product, affine
from s2s.errors import UserError

Variant = Literal["full", "iid", "recurrent", "multiscale"]

DECAYS = (0.0, 0.25, 0.5, 0.9, 0.99)
ONE_DECAY = (0.99,)


class Statistical(Cell):
    """r_t = relu(W_r mu_{t-1} + b_r);  phi_t = relu(W_phi r_t + W_x x_t + b_phi);
    mu_t^(alpha) = alpha mu_{t-1}^(alpha) + (1 - alpha) phi_t for each decay alpha;  o_t = relu(W_o mu_t + b_o).
    mu_0 = 0. State (mu,), the averages of all decays side by side, (B, A * P).

    `hidden_size` is the size of o. `decays=None` means (0, .25, .5, .9, .99), or (.99,) for a variant with one decay.
    Variants are the ablations of the paper: "iid" (no r, one decay), "recurrent" (one decay), "multiscale" (no r).

    Start, as in the authors' code: Glorot uniform matrices, zero biases. With mu_0 = 0 the first r is 0 then; from the
    second step on mu is positive and r is alive.

    Raises UserError for a decay outside [0, 1) and for several decays with a variant that has one.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        phi_size: int = 200,
        recurrent_size: int = 60,
        decays: Sequence[float] | None = None,
        variant: Variant = "full",
    ) -> None:
        chosen = _checked_decays(decays, variant)
        kept = len(chosen) * phi_size
        super().__init__(input_size, hidden_size, output_size=hidden_size, gate_size=phi_size, seed_sizes=(kept,))
        self.decays = chosen
        self.variant: Variant = variant
        self.kernel = "statistical" if variant in ("full", "recurrent") else "statistical without recurrent statistics"
        self.weight_ih = nn.Parameter(torch.empty(phi_size, input_size))
        self.bias_phi = nn.Parameter(torch.empty(phi_size))
        if variant in ("full", "recurrent"):
            self.weight_mu_r = nn.Parameter(torch.empty(recurrent_size, kept))
            self.bias_r = nn.Parameter(torch.empty(recurrent_size))
            self.weight_r_phi = nn.Parameter(torch.empty(phi_size, recurrent_size))
        self.weight_out = nn.Parameter(torch.empty(hidden_size, kept))
        self.bias_out = nn.Parameter(torch.empty(hidden_size))
        self.reset_parameters()

    def project(self, x_BTI: Tensor) -> Tensor:
        """W_x x + b_phi."""
        return affine(x_BTI, self.weight_ih, self.bias_phi)

    def prepare(self) -> Prepared:
        """(alpha_A1,) and, where there are recurrent statistics, W_r^T, b_r, W_phi^T."""
        alpha_A1 = self.bias_phi.new_tensor(self.decays)[:, None]
        if self.variant in ("iid", "multiscale"):
            return (alpha_A1,)
        return alpha_A1, self.weight_mu_r.t(), self.bias_r, self.weight_r_phi.t()

    def layer_weights(self) -> Prepared:
        """(alpha_A, W_x, b_phi, W_o, b_o) and, where there are recurrent statistics, W_r, b_r, W_phi."""
        alpha_A = self.bias_phi.new_tensor(self.decays)
        weights = alpha_A, self.weight_ih, self.bias_phi, self.weight_out, self.bias_out
        if self.variant in ("iid", "multiscale"):
            return weights
        return *weights, self.weight_mu_r, self.bias_r, self.weight_r_phi

    def step(self, g_BG: Tensor, state: State, prepared: Prepared) -> State:
        """The class's equations up to mu; o is read outside the loop. mu keeps its dtype also under autocast."""
        (mu_BK,) = state
        alpha_A1, *recurrent = prepared
        if recurrent:
            w_KR, b_R, w_RP = recurrent
            r_BR = add_product(b_R, mu_BK, w_KR).relu()
            g_BG = add_product(g_BG, r_BR, w_RP)
        phi_B1P = g_BG.relu().to(mu_BK.dtype).unsqueeze(1)
        mu_BAP = mu_BK.reshape(len(mu_BK), len(self.decays), -1)
        return ((alpha_A1 * mu_BAP + (1 - alpha_A1) * phi_B1P).flatten(1),)

    def gates(self, g_BG: Tensor, before: State, after: State, prepared: Prepared) -> dict[str, Tensor]:  # noqa: ARG002
        """The recurrent statistics r, from 0 up; nothing where the variant has none."""
        _, *recurrent = prepared
        return {"recurrent statistics": add_product(recurrent[1], before[0], recurrent[0]).relu()} if recurrent else {}

    def read(self, hidden_BTK: Tensor) -> Tensor:
        """relu(W_o mu + b_o)."""
        return affine(hidden_BTK, self.weight_out, self.bias_out).relu()

    def reset_parameters(self) -> None:
        """Glorot uniform matrices, where phi reads one matrix over [x; r]; zero biases."""
        recurrent = [block.weight for block in self.blocks() if block.recurrent]
        fan_in = self.input_size + (recurrent[1].shape[1] if recurrent else 0)
        bound = (6.0 / (fan_in + self.gate_size)) ** 0.5
        nn.init.uniform_(self.weight_ih, -bound, bound)
        nn.init.xavier_uniform_(self.weight_out)
        if recurrent:
            nn.init.xavier_uniform_(self.weight_mu_r)
            nn.init.uniform_(self.weight_r_phi, -bound, bound)
        self.reset_vectors()

    def is_recurrent(self, name: str) -> bool:
        """W_r and W_phi close the loop."""
        return name in ("weight_mu_r", "weight_r_phi")


def _checked_decays(decays: Sequence[float] | None, variant: Variant) -> tuple[float, ...]:
    single = variant in ("iid", "recurrent")
    chosen = tuple(decays) if decays is not None else (ONE_DECAY if single else DECAYS)
    if not chosen or not all(0.0 <= decay < 1.0 for decay in chosen):
        raise UserError(
            f"The decays of the statistical unit are {list(chosen)}; each must lie in [0, 1), for example 0.9."
        )
    if single and len(chosen) > 1:
        raise UserError(
            f"The statistical unit's variant '{variant}' has one decay, got {list(chosen)}. "
            "Give one, for example decays = [0.99], or use the variant 'full' or 'multiscale'."
        )
    return chosen

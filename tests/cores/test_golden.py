"""RWA and the statistical unit against the papers' own formulas in plain NumPy; the native cores against torch.nn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from catalogue import close, layer, randn
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from s2s.cores import GRU, LSTM, RWA, Elman, Recurrent, Statistical, Variant

Array = NDArray[np.float64]


def arrays(module: nn.Module) -> dict[str, Array]:
    return {name: parameter.detach().double().numpy() for name, parameter in module.named_parameters()}


def rwa_in_numpy(x_BTI: Array, w: dict[str, Array]) -> Array:
    """Ostmeyer and Cowell 2017, with numerator, denominator and running maximum, as in their own code."""
    w_u, w_gx, w_ax = np.split(w["weight_ih"], 3)
    (u_g, u_a), (b_u, b_g) = np.split(w["weight_hh"], 2), np.split(w["bias"], 2)
    w_g, w_a = np.concatenate([w_gx, u_g], 1), np.concatenate([w_ax, u_a], 1)
    batch, hidden = len(x_BTI), len(w["start"])
    h, n, d = np.tile(np.tanh(w["start"]), (batch, 1)), np.zeros((batch, hidden)), np.zeros((batch, hidden))
    a_max = np.full((batch, hidden), -1e38)
    outs = []
    for t in range(x_BTI.shape[1]):
        xh = np.concatenate([x_BTI[:, t], h], 1)
        u, g, a = x_BTI[:, t] @ w_u.T + b_u, xh @ w_g.T + b_g, xh @ w_a.T
        z = u * np.tanh(g)
        a_new = np.maximum(a_max, a)
        n = n * np.exp(a_max - a_new) + z * np.exp(a - a_new)
        d = d * np.exp(a_max - a_new) + np.exp(a - a_new)
        a_max, h = a_new, np.tanh(n / d)
        outs.append(h)
    return np.stack(outs, 1)


def statistical_in_numpy(x_BTI: Array, w: dict[str, Array], decays: tuple[float, ...]) -> tuple[Array, Array]:
    """Oliva, Poczos and Schneider 2017, equations 4 to 8: one mean per decay. Returns (o, final mu)."""
    mu = {decay: np.zeros((len(x_BTI), len(w["bias_phi"]))) for decay in decays}
    outs = []
    for t in range(x_BTI.shape[1]):
        before = np.concatenate([mu[decay] for decay in decays], 1)
        phi = x_BTI[:, t] @ w["weight_ih"].T + w["bias_phi"]
        if "bias_r" in w:
            phi = phi + np.maximum(before @ w["weight_mu_r"].T + w["bias_r"], 0) @ w["weight_r_phi"].T
        phi = np.maximum(phi, 0)
        mu = {decay: decay * mu[decay] + (1 - decay) * phi for decay in decays}
        after = np.concatenate([mu[decay] for decay in decays], 1)
        outs.append(np.maximum(after @ w["weight_out"].T + w["bias_out"], 0))
    return np.stack(outs, 1), after


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_rwa_is_the_papers_running_average(scale: float) -> None:
    module = layer("rwa", "reference", (4, 6))
    x_BTI = scale * randn(3, 20, 4)
    expected = rwa_in_numpy(x_BTI.numpy(), arrays(module.cell))
    close(module(x_BTI)[0], torch.from_numpy(expected), rtol=1e-12, atol=1e-13)


def test_rwa_first_step_by_hand() -> None:
    cell = RWA(1, 1).double()
    with torch.no_grad():
        cell.weight_ih.copy_(torch.tensor([[2.0], [0.5], [3.0]]).double())
        cell.weight_hh.copy_(torch.tensor([[1.0], [-1.0]]))
        cell.bias.copy_(torch.tensor([0.1, 0.2], dtype=torch.float64))
        cell.start.fill_(0.0)
    out_BTO, (_, v_BH, l_BH) = Recurrent(cell)(torch.ones(1, 1, 1).double())
    z = 2.1 * np.tanh(0.7)
    close(v_BH.item(), z)
    close(l_BH.item(), 3.0)
    close(out_BTO.item(), float(np.tanh(z)))


def test_rwa_first_step_is_sound_under_anomaly_detection() -> None:
    module = Recurrent(RWA(3, 4))
    x_BTI = randn(2, 1, 3, dtype=torch.float32).requires_grad_()
    with torch.autograd.set_detect_anomaly(True):
        out_BTO, (_, v_BH, l_BH) = module(x_BTI, torch.tensor([1, 0]))
        (out_BTO.sum() + v_BH.sum() + l_BH[0].sum()).backward()  # type: ignore[no-untyped-call]
    grads = [x_BTI.grad, *(parameter.grad for parameter in module.parameters())]
    assert all(grad is not None and grad.isfinite().all() for grad in grads)


VARIANTS: list[tuple[Variant, tuple[float, ...]]] = [
    ("full", (0.0, 0.25, 0.5, 0.9, 0.99)),
    ("multiscale", (0.0, 0.5, 0.99)),
    ("recurrent", (0.99,)),
    ("iid", (0.99,)),
]


@pytest.mark.parametrize(("variant", "decays"), VARIANTS)
def test_statistical_unit_is_the_papers_moving_means(variant: Variant, decays: tuple[float, ...]) -> None:
    torch.manual_seed(3)
    cell = Statistical(4, 6, phi_size=8, recurrent_size=3, decays=decays, variant=variant).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_(std=0.5)
    x_BTI = randn(3, 20, 4)
    expected, mu = statistical_in_numpy(x_BTI.numpy(), arrays(cell), decays)
    out_BTO, (mu_BK,) = Recurrent(cell)(x_BTI)
    assert expected.any()
    close((out_BTO, mu_BK), (torch.from_numpy(expected), torch.from_numpy(mu)), rtol=1e-12, atol=1e-13)


NATIVE = {
    "lstm": (LSTM, nn.LSTM, {}),
    "gru": (GRU, nn.GRU, {}),
    "elman tanh": (Elman, nn.RNN, {"nonlinearity": "tanh"}),
    "elman relu": (lambda i, h: Elman(i, h, activation="relu"), nn.RNN, {"nonlinearity": "relu"}),
}


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("core", NATIVE)
def test_native_cores_equal_torch_nn_on_a_packed_batch(core: str, backend: str) -> None:
    ours, theirs, options = NATIVE[core]
    torch.manual_seed(8)
    module = Recurrent(ours(4, 6), backend=backend).double()
    layer_nn = theirs(4, 6, batch_first=True, **options).double()
    layer_nn.load_state_dict({f"{name}_l0": value for name, value in module.cell.state_dict().items()})
    x_BTI, lengths_B = randn(5, 7, 4), torch.tensor([7, 2, 5, 1, 7])
    state = tuple(randn(5, size, seed=i + 1) for i, size in enumerate(module.seed_sizes))
    out_BTO, final = module(x_BTI, lengths_B, module.begin(5, state))

    packed = pack_padded_sequence(x_BTI, lengths_B, batch_first=True, enforce_sorted=False)
    first = tuple(part.unsqueeze(0) for part in state)
    packed, last = layer_nn(packed, first if len(first) > 1 else first[0])
    expected_BTO, _ = pad_packed_sequence(packed, batch_first=True)
    last = last if isinstance(last, tuple) else (last,)
    close((out_BTO, *final), (expected_BTO, *(part[0] for part in last)))

    cotangents = [randn(*part.shape, seed=40 + i) for i, part in enumerate((out_BTO, *final))]
    got = torch.autograd.grad((out_BTO, *final), [*module.parameters()], cotangents)
    expected = torch.autograd.grad((expected_BTO, *(part[0] for part in last)), [*layer_nn.parameters()], cotangents)
    close(got, expected)


def test_peepholes_by_hand() -> None:
    cell = LSTM(1, 1, peephole=True).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.fill_(0.0)
        cell.weight_ih.copy_(torch.tensor([[0.1], [0.2], [0.3], [0.4]], dtype=torch.float64))
        cell.peephole.copy_(torch.tensor([0.5, 0.6, 0.7], dtype=torch.float64))  # type: ignore[union-attr]
    _, (h_BH, c_BH) = Recurrent(cell)(torch.ones(1, 1, 1).double(), None, cell.begin(1, (c := randn(1, 1), c)))

    def sigmoid(a: float) -> float:
        return float(1 / (1 + np.exp(-a)))

    before = c.item()
    after = sigmoid(0.2 + 0.6 * before) * before + sigmoid(0.1 + 0.5 * before) * np.tanh(0.3)
    close(c_BH.item(), after)
    close(h_BH.item(), sigmoid(0.4 + 0.7 * after) * np.tanh(after))


def test_reset_before_and_after_the_product_by_hand() -> None:
    before = GRU(1, 2, reset="before").double()
    w = arrays(before)
    h, x = np.array([0.3, -0.6]), np.array([0.7])

    def sigmoid(a: Array) -> Array:
        return np.asarray(1 / (1 + np.exp(-a)))

    w_r, w_z, w_n = (w["weight_ih"] @ x + w["bias_ih"]).reshape(3, 2)
    u_r, u_z, _ = (w["weight_hh"] @ h + w["bias_hh"]).reshape(3, 2)
    r, z = sigmoid(w_r + u_r), sigmoid(w_z + u_z)
    n = np.tanh(w_n + w["weight_hh"][4:] @ (r * h) + w["bias_hh"][4:])
    _, (h_BH,) = Recurrent(before)(torch.from_numpy(x)[None, None], None, (torch.from_numpy(h)[None],))
    close(h_BH[0].detach(), torch.from_numpy((1 - z) * n + z * h))


def test_without_forget_gate_the_cell_state_only_grows_by_what_comes_in() -> None:
    cell = LSTM(2, 3, forget_gate=False).double()
    x_BTI = randn(1, 1, 2)
    c_BH = randn(1, 3)
    _, (_, after) = Recurrent(cell)(x_BTI, None, (torch.zeros(1, 3).double(), c_BH))
    i, g, _ = cell.project(x_BTI)[:, 0].chunk(3, 1)
    close(after, c_BH + i.sigmoid() * g.tanh())


def _sigmoid(values: Array) -> Array:
    return 1 / (1 + np.exp(-values))


def _normal(values: Array, gain: Array, shift: Array) -> Array:
    return gain * (values - values.mean()) / np.sqrt(values.var() + 1e-5) + shift


@pytest.mark.parametrize("core", ["lstm", "gru", "gru-before"])
def test_layer_normalisation_by_hand(core: str) -> None:
    """Ba, Kiros and Hinton 2016, one row, one step after the other."""
    module = layer(f"{core}-layer-norm", "reference", (3, 4))
    w = arrays(module.cell)
    x_TI, h, c = randn(5, 3).numpy(), np.zeros(4), np.zeros(4)
    expected = []
    for x in x_TI:
        ahead, back = w["weight_ih"] @ x, w["weight_hh"] @ h
        if core == "lstm":
            gates = _normal(ahead, w["gain_ih"], w["bias_ih"]) + _normal(back, w["gain_hh"], w["bias_hh"])
            i, f, g, o = np.split(gates, 4)
            c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
            h = _sigmoid(o) * np.tanh(_normal(c, w["gain_cell"], w["bias_cell"]))
        else:
            rz, n = slice(0, 8), slice(8, 12)
            both = _normal(ahead[rz], w["gain_ih"][rz], w["bias_ih"][rz])
            r, z = np.split(_sigmoid(both + _normal(back[rz], w["gain_hh"][rz], w["bias_hh"][rz])), 2)
            inner = back[n] if core == "gru" else w["weight_hh"][n] @ (r * h)
            inner = _normal(inner, w["gain_hh"][n], w["bias_hh"][n])
            new = np.tanh(_normal(ahead[n], w["gain_ih"][n], w["bias_ih"][n]) + (r * inner if core == "gru" else inner))
            h = (1 - z) * new + z * h
        expected.append(h)
    out_BTO, _ = module(torch.from_numpy(x_TI).unsqueeze(0))
    close(out_BTO[0].detach(), torch.from_numpy(np.stack(expected)))

"""Layers together: both directions, dropout between layers, variational masks, residual sums, steps."""

from __future__ import annotations

import pytest
import torch
from catalogue import CORES, close, layer, randn
from torch import Tensor

from s2s.cores import GRU, LSTM, RWA, Bidirectional, Elman, Recurrent, Stack, States, Statistical
from s2s.errors import UserError


def mixed(**options: object) -> Stack:
    """Three different cores of one width, one of them with a state unlike its seed."""
    torch.manual_seed(1)
    layers = [Recurrent(LSTM(3, 4)), Recurrent(RWA(4, 4)), Recurrent(GRU(4, 4))]
    return Stack(layers, **options).double()  # type: ignore[arg-type]


def steps(stack: Stack, x_BTI: Tensor, state: States | None = None) -> tuple[Tensor, States]:
    """A loop of `step` over the whole batch."""
    state = stack.begin(len(x_BTI)) if state is None else state
    prepared, outs = stack.prepare(len(x_BTI)), []
    for g_BG in stack.project(x_BTI).unbind(1):
        out_BO, state = stack.step(g_BG, state, prepared)
        outs.append(out_BO)
    return torch.stack(outs, 1), state


def both(name: str = "gru", keep: str = "all") -> Bidirectional:
    ahead, back = layer(name, "auto"), layer("lstm", "auto", reverse=True)
    ahead.keep = back.keep = keep  # type: ignore[assignment]
    return Bidirectional(ahead, back)


@pytest.mark.parametrize("name", CORES)
def test_bidirectional_is_both_directions_side_by_side(name: str) -> None:
    module = both(name)
    x_BTI, lengths_B = randn(3, 4, 3), torch.tensor([4, 0, 2])
    out_BTO, state = module(x_BTI, lengths_B)
    ahead, ahead_state = module.forwards(x_BTI, lengths_B)
    back, back_state = module.backwards(x_BTI, lengths_B)
    close(out_BTO, torch.cat([ahead, back], 2))
    close(state, (*ahead_state, *back_state))
    assert module.output_size == out_BTO.shape[2]
    close(module.summary(state)[0], torch.cat([ahead[0, 3], back[0, 0]]))
    seed = module.seed(state)
    assert tuple(part.shape[1] for part in seed) == module.seed_sizes
    close(module.seed(module.begin(3, seed)), seed)


def test_bidirectional_goes_on_from_a_state_and_keeps_the_last() -> None:
    module, x_BTI = both(), randn(2, 4, 3)
    _, state = module(x_BTI)
    out_BTO, _ = module(x_BTI, None, state)
    assert not torch.allclose(out_BTO, module(x_BTI)[0])
    ends, x_BTI = both(keep="last"), randn(2, 4, 3)
    out_BO, state = ends(x_BTI, torch.tensor([4, 3]))
    close(out_BO, ends.summary(state))


def test_bidirectional_refuses_what_does_not_belong_together() -> None:
    ahead, back = Recurrent(GRU(3, 4)), Recurrent(GRU(3, 4), reverse=True)
    with pytest.raises(ValueError, match="reverse=True"):
        Bidirectional(back, ahead)
    with pytest.raises(ValueError, match="one input"):
        Bidirectional(ahead, Recurrent(GRU(2, 4), reverse=True))
    with pytest.raises(ValueError, match="keep"):
        Bidirectional(ahead, Recurrent(GRU(3, 4), reverse=True, keep="last"))
    with pytest.raises(UserError, match="cannot be stepped"):
        Stack([Bidirectional(ahead, back)]).prepare(2)


@pytest.mark.parametrize("residual", [False, True])
def test_a_stack_is_its_layers_in_order(residual: bool) -> None:
    stack = mixed(residual=residual)
    x_BTI, lengths_B = randn(3, 5, 3), torch.tensor([5, 2, 0])
    out_BTO, state = stack(x_BTI, lengths_B)
    expected_BTO = x_BTI
    for index, part in enumerate(stack.layers):
        above_BTO, final = part(expected_BTO, lengths_B)
        expected_BTO = above_BTO + expected_BTO if residual and index > 0 else above_BTO
        close(state[index], final)
    close(out_BTO, expected_BTO)
    assert not out_BTO[1, 2:].any()
    assert [part.shape for part in stack.summaries(state)] == [(3, 4)] * 3


def test_residual_only_where_the_widths_agree() -> None:
    layers = [Recurrent(GRU(3, 4)), Recurrent(GRU(4, 5))]
    plain, residual = Stack(layers), Stack(layers, residual=True)
    x_BTI = randn(2, 3, 3, dtype=torch.float32)
    assert torch.equal(plain(x_BTI)[0], residual(x_BTI)[0])


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("name", CORES)
def test_a_loop_of_steps_equals_forward(name: str, residual: bool) -> None:
    torch.manual_seed(2)
    stack = Stack([Recurrent(CORES[name](3, 4)), Recurrent(CORES[name](4, 4))], residual=residual).double()
    x_BTI = randn(2, 4, 3)
    out_BTO, final = stack(x_BTI)
    stepped_BTO, last = steps(stack, x_BTI)
    close(stepped_BTO, out_BTO)
    close(last, final)


def test_two_halves_of_a_stack_make_a_whole() -> None:
    stack, x_BTI = mixed(residual=True), randn(2, 6, 3)
    whole_BTO, final = stack(x_BTI)
    first_BTO, state = stack(x_BTI[:, :2])
    second_BTO, state = stack(x_BTI[:, 2:], None, state)
    close(torch.cat([first_BTO, second_BTO], 1), whole_BTO)
    close(state, final)


def test_seeds_go_in_and_come_out() -> None:
    stack = mixed()
    assert stack.seed_sizes == ((4, 4), (4,), (4,))
    seeds = tuple(tuple(randn(2, size, seed=size + i) for size in sizes) for i, sizes in enumerate(stack.seed_sizes))
    close(stack.seeds(stack.begin(2, seeds)), seeds)


def test_dropout_rests_in_evaluation_and_never_touches_the_top() -> None:
    stack, x_BTI = mixed(dropout=0.5), randn(2, 4, 3)
    trained = stack(x_BTI)[0]
    assert not torch.equal(trained, stack(x_BTI)[0])
    stack.eval()
    close(stack(x_BTI)[0], mixed()(x_BTI)[0])
    single = Stack([Recurrent(LSTM(3, 4))], dropout=0.9)
    x_BTI = x_BTI.float()
    assert torch.equal(single(x_BTI)[0], single(x_BTI)[0])


class Echo(torch.nn.Module):
    """Stands in for a top layer and gives back what reaches it."""

    input_size = output_size = 64
    keep = "all"

    def forward(self, x: Tensor, lengths: Tensor | None, state: object) -> tuple[Tensor, tuple[Tensor, ...]]:
        del lengths, state
        return x, ()


@pytest.mark.parametrize("variational", [False, True])
def test_dropout_masks(variational: bool) -> None:
    torch.manual_seed(0)
    below = Recurrent(Elman(3, 64, activation="sigmoid"))  # never zero, so a zero is a mask's
    stack = Stack([below, Echo()], dropout=0.25, variational=variational)  # type: ignore[list-item]
    x_BTI = torch.randn(8, 10, 3)
    dropped_BTO, plain_BTO = stack(x_BTI)[0], below(x_BTI)[0]
    kept_BTO = dropped_BTO != 0
    close(dropped_BTO[kept_BTO], plain_BTO[kept_BTO] / 0.75, rtol=1e-5)
    assert abs(kept_BTO.float().mean().item() - 0.75) < 0.06
    same_over_time = bool((kept_BTO == kept_BTO[:, :1]).all())
    assert same_over_time == variational
    assert not (kept_BTO == kept_BTO[:1]).all()


def test_variational_steps_equal_forward_with_the_same_masks() -> None:
    stack, x_BTI = mixed(dropout=0.4, variational=True, residual=True), randn(3, 5, 3)
    torch.manual_seed(7)
    out_BTO, final = stack(x_BTI)
    torch.manual_seed(7)
    stepped_BTO, last = steps(stack, x_BTI)
    close(stepped_BTO, out_BTO)
    close(last, final)
    stack.eval()
    assert stack.prepare(3).masks == (None, None)


def test_keep_last_at_the_top_of_a_stack() -> None:
    torch.manual_seed(3)
    bottom, top = Recurrent(GRU(3, 4)), Statistical(4, 5, phi_size=6)
    x_BTI, lengths_B = torch.randn(3, 4, 3), torch.tensor([4, 1, 2])
    out_BO, state = Stack([bottom, Recurrent(top, keep="last")])(x_BTI, lengths_B)
    out_BTO, _ = Stack([bottom, Recurrent(top)])(x_BTI, lengths_B)
    close(out_BO, out_BTO[torch.arange(3), lengths_B - 1], rtol=1e-5, atol=1e-6)
    assert len(state) == 2


def test_a_stack_refuses_what_does_not_fit() -> None:
    with pytest.raises(UserError, match="dropout"):
        mixed(dropout=1.0)
    with pytest.raises(ValueError, match="at least one"):
        Stack([])
    with pytest.raises(ValueError, match="stands on one that gives 4"):
        Stack([Recurrent(GRU(3, 4)), Recurrent(GRU(3, 4))])
    with pytest.raises(ValueError, match="only the top layer"):
        Stack([Recurrent(GRU(3, 4), keep="last"), Recurrent(GRU(4, 4))])
    with pytest.raises(ValueError, match="residual"):
        Stack([Recurrent(GRU(3, 4)), Recurrent(GRU(4, 4), keep="last")], residual=True)

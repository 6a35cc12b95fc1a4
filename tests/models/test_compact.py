"""Layers and models in smaller numbers against themselves."""

from __future__ import annotations

from typing import Literal, get_args

import pytest
import torch
from torch import Tensor, nn

from s2s.build.model import build_model
from s2s.config import Core, Model
from s2s.models.compact import compact, slim


@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
@pytest.mark.parametrize("shape", [(1, 24), (7, 24), (2, 3, 24), (0, 24)])
@pytest.mark.parametrize("bias", [True, False])
def test_the_product_is_nearly_the_same(
    precision: Literal["int8", "bfloat16"], shape: tuple[int, ...], bias: bool
) -> None:
    torch.manual_seed(1)
    layer = nn.Linear(24, 50, bias=bias)
    with torch.no_grad():
        layer.weight[3] *= 1_000  # scales are those of a row: one with large numbers spoils no other
        layer.weight[4] = 0
    x = torch.randn(shape)
    with torch.inference_mode():
        expected, found = layer(x), compact(layer, precision)(x)
    assert found.dtype == torch.float32
    assert found.shape == expected.shape
    size = x.norm(dim=-1, keepdim=True) * layer.weight.norm(dim=1)
    assert ((found - expected).abs() <= 0.01 * size + 1e-6).all()


def test_it_holds_no_second_copy_of_the_weights() -> None:
    layer = nn.Linear(24, 50)
    assert (
        compact(layer, "int8").weight.nbytes * 4 == compact(layer, "bfloat16").weight.nbytes * 2 == layer.weight.nbytes
    )


def test_rows_of_zeros_stay_zero() -> None:
    layer = nn.Linear(24, 50, bias=False)
    with torch.inference_mode():
        assert not compact(layer, "int8")(torch.zeros(2, 24)).any()


@pytest.mark.parametrize("core", get_args(Core))
@pytest.mark.parametrize("attention", ["bahdanau", "luong", "joey", "none"])
def test_a_slim_model_answers_nearly_as_before(core: Core, attention: str) -> None:
    """Every product but the smallest is narrower then, in the encoder, the decoder's steps and the output layer."""
    torch.manual_seed(1)
    config = Model.model_validate({"core": core, "attention": attention, "hidden_size": 32, "embedding_size": 32})
    model = build_model(config, source_vocabulary=50, target_vocabulary=60).eval()
    source, lengths = torch.randint(4, 50, (3, 7)), torch.tensor([7, 3, 5])
    target = torch.randint(4, 60, (3, 5))

    def steps() -> list[Tensor]:
        memory = model.encode(source, lengths)
        state, found = model.begin(memory), []
        for token_B in target.unbind(1):
            logits_BV, state = model.step(token_B, state, memory)
            found.append(logits_BV)
        return found

    with torch.inference_mode():
        expected = torch.stack(steps())
        slim(model, "bfloat16")
        found = torch.stack(steps())
    narrow = {name for name, parameter in model.named_parameters() if parameter.dtype == torch.bfloat16}
    assert {"output.weight"} < narrow
    assert all(parameter.dtype != torch.bfloat16 for parameter in model.parameters() if parameter.dim() < 2)
    assert 0.0 < float((found - expected).abs().max()) < 0.1 * float(expected.abs().max())

"""VHRED from HRED: what is taken, what is widened, what is fresh."""

from __future__ import annotations

import pytest
import torch
from tiny_dialogue import DIALOGUES, batch_of, tiny_hred

from s2s.models import dialogue_loss
from s2s.models.inherit import inherit

LATENT = [
    f"latent.{part}.{layer}" for part in ("prior", "posterior") for layer in ("first", "second", "mean", "variance")
]


@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize("choice", [None, "luong", "bahdanau", "book"])
@pytest.mark.parametrize("cores", [("gru", "lstm", "lstm"), ("lstm", "rwa", "statistical"), ("elman", "gru", "rwa")])
def test_without_its_latent_variable_it_is_the_model_it_came_from(
    choice: str | None, every: bool, cores: tuple[str, str, str]
) -> None:
    hidden = (4, 5, 8)
    old = tiny_hred(choice, every=every, cores=cores, hidden=hidden)
    new = tiny_hred(choice, every=every, cores=cores, hidden=hidden, latent=3, seed=2)
    found = inherit(new, old.state_dict())
    assert sorted(found.fresh) == sorted(f"{name}.{kind}" for name in LATENT for kind in ("weight", "bias"))
    assert found.unread == []
    assert {name.split(".")[0] for name in found.widened} <= {"bridge", "decoder", "output"}
    assert len(found.widened) >= (3 if every else 1)
    assert set(found.taken) | set(found.widened) | set(found.fresh) == set(new.state_dict())
    assert new.latent is not None
    with torch.no_grad():  # z = 0
        for one in (new.latent.prior, new.latent.posterior):
            one.mean.weight.zero_(), one.mean.bias.zero_()
    batch = batch_of(DIALOGUES)
    turns = len(batch.words_RT)
    loss = dialogue_loss(new, batch, noise_RZ=torch.zeros(turns, 3))
    torch.testing.assert_close(loss.nll, dialogue_loss(old, batch).nll)


def test_what_does_not_fit_is_listed() -> None:
    old, new = tiny_hred(hidden=(4, 5, 6), bag=True), tiny_hred(hidden=(4, 5, 7))
    before = new.get_parameter("decoder.stack.layers.0.cell.weight_hh").clone()
    found = inherit(new, old.state_dict())
    assert "decoder.stack.layers.0.cell.weight_hh" in found.fresh
    assert torch.equal(new.get_parameter("decoder.stack.layers.0.cell.weight_hh"), before)
    assert "encoder.embedding.table.weight" in found.taken
    assert found.unread == ["bag.weight", "bag.bias"]
    assert found.widened == []


def test_tied_weights_stay_tied() -> None:
    old, new = tiny_hred(tied=True), tiny_hred(tied=True, latent=2, seed=2)
    found = inherit(new, old.state_dict())
    assert new.output.weight is new.decoder.embedding.table.weight
    assert "decoder.readout.layer.weight" in found.widened
    torch.testing.assert_close(new.output.weight, old.output.weight)


def test_of_tied_weights_one_name_is_enough() -> None:
    """A file of weights holds them once."""
    old, new = tiny_hred(tied=True), tiny_hred(tied=True, latent=2, seed=2)
    given = {name: weight for name, weight in old.state_dict().items() if name != "output.weight"}
    found = inherit(new, given)
    assert "output.weight" in found.taken
    assert {name.partition(".")[0] for name in found.fresh} == {"latent"}

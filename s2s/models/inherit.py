"""A model of dialogues that starts from the weights of another, for example a VHRED from an HRED."""

# Z width of the latent variable

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from s2s.models.hred import HRED


class Inherited(NamedTuple):
    """Names of weights."""

    taken: list[str]
    """As they were."""
    widened: list[str]
    """Taken but for the columns that read the latent variable, which keep their own start."""
    fresh: list[str]
    """Not in what was given, or there in another shape: they keep their own start."""
    unread: list[str]
    """Only in what was given."""


@torch.no_grad()
def inherit(model: HRED, weights: Mapping[str, Tensor]) -> Inherited:
    """Put another model's weights in place, as far as they fit.

    What reads [c; z] here and read [c] there takes the columns of c. Of tied weights one name is enough.
    """
    found = Inherited([], [], [], [])
    own = model.state_dict()
    for name, weight in own.items():
        given = weights.get(name)
        columns = None if given is None else _columns(model, name, given)
        if given is not None and given.shape == weight.shape:
            weight.copy_(given)
            found.taken.append(name)
        elif given is not None and columns is not None:
            weight[:, columns] = given.to(weight)
            found.widened.append(name)
        else:
            found.fresh.append(name)
    filled = {own[name].data_ptr() for name in (*found.taken, *found.widened)}
    tied = [name for name in found.fresh if own[name].data_ptr() in filled]  # given under another of its names
    found.taken.extend(tied)
    found.fresh[:] = (name for name in found.fresh if name not in tied)
    found.unread.extend(name for name in weights if name not in own)
    return found


def _columns(model: HRED, name: str, given: Tensor) -> Tensor | None:
    """Where the columns of a weight without latent variable stand in ours; None where they are not those."""
    weight, latent = model.state_dict()[name], model.latent
    if latent is None or given.dim() != 2 or given.shape != (weight.shape[0], weight.shape[1] - latent.size):
        return None
    start = _start(model, name)
    if start is None:
        return None
    every = torch.arange(weight.shape[1], device=weight.device)
    return every[(every < start) | (every >= start + latent.size)]


def _start(model: HRED, name: str) -> int | None:
    """The first column that reads z; None for weights that do not."""
    context, decoder = model.context.output_size, model.decoder
    if name.startswith("bridge.") or name == "bag.weight":
        return context
    if name == "decoder.stack.layers.0.cell.weight_ih":
        return decoder.embedding.size + context
    if name in ("decoder.readout.layer.weight", "decoder.readout.gating.weight", "output.weight"):
        return decoder.readout.context_size + decoder.stack.output_size + context
    return None

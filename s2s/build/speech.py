"""How well a model of dialogues predicts turns: every turn given all before it, the first included."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from s2s.config import Config
from s2s.corpus.dialogue.batch import DialogueSource, Turns
from s2s.corpus.formats import Pair
from s2s.models import HRED
from s2s.models.dialogue_scores import LatentSums, TurnScores, latent_sums, turn_scores
from s2s.text.turns import turns_of
from s2s.training.hardware import Precision, autocast
from s2s.training.log import Sample, Validation
from s2s.translator import Translator

_log = logging.getLogger("s2s")
COLLAPSED = 0.01
"""Nats a token: below it the latent variable says nothing (at the full weight of the divergence)."""
_TOKENS = 8_192


class Predicted(NamedTuple):
    """Of some turns, in the order of the dialogues."""

    nll: np.ndarray
    """-log p of each turn, in nats; with a latent variable the importance-sampled one, or of one sample the bound."""
    reconstruction: np.ndarray
    kl: np.ndarray
    right: np.ndarray
    tokens: np.ndarray
    """With the end marks."""
    latent: LatentSums | None

    def scores(self) -> dict[str, float]:
        """A token, over all turns: sums first, one division at the end. No bound comes without its KL."""
        tokens = max(int(self.tokens.sum()), 1)
        found = {"loss": float(self.nll.sum()) / tokens, "token_accuracy": float(self.right.sum()) / tokens}
        if self.latent is None:
            return found
        return {
            **found,
            "bound": float((self.reconstruction + self.kl).sum()) / tokens,
            "reconstruction": float(self.reconstruction.sum()) / tokens,
            "kl": float(self.kl.sum()) / tokens,
            "kl_turn": float(self.kl.sum()) / max(len(self.kl), 1),
        }


def predict(
    model: HRED,
    dialogues: Sequence[Turns],
    device: torch.device,
    precision: Precision,
    *,
    samples: int = 1,
    seed: int = 0,
) -> Predicted:
    """Every turn of the dialogues, read in batches of like length."""
    source = DialogueSource(dialogues, None, _TOKENS, 0)
    generator = torch.Generator().manual_seed(seed)
    first = np.cumsum([0, *map(len, dialogues)])
    columns = [np.zeros(int(first[-1])) for _ in range(5)]
    sums: LatentSums | None = None
    for rows in source.in_order():
        batch = source.batch(rows, 0).to(device)
        with autocast(device, precision):
            found: TurnScores = turn_scores(model, batch, samples=samples, generator=generator)
        places = np.concatenate([np.arange(first[row], first[row + 1]) for row in rows])
        parts = (found.nll, found.reconstruction, found.kl, found.right, batch.lengths_R.cpu())
        for column, part in zip(columns, parts, strict=True):
            column[places] = part.numpy()
        if found.latent is not None:
            own = latent_sums(found.latent)
            sums = own if sums is None else sums.merged(own)
    nll, reconstruction, kl, right, tokens = columns
    return Predicted(nll, reconstruction, kl, right, tokens, sums)


def latent_facts(sums: LatentSums) -> dict[str, float]:
    """What the units of the latent variable do."""
    posterior, prior = sums.variances()
    return {"active_units": float(sums.active()), "posterior_variance": posterior, "prior_variance": prior}


class DialogueValidator:
    """Loss on all validation turns; of a latent variable the bound with its parts. A few replies to look at.

    `weight` says which one the divergence has in training now; here it always counts whole.
    """

    def __init__(
        self,
        config: Config,
        translator: Translator,
        model: HRED,
        dialogues: Sequence[Turns],
        pairs: Sequence[Pair],
        weight: Callable[[], float],
    ) -> None:
        self.config, self.translator, self.model = config, translator, model
        self.dialogues, self.pairs, self.weight = dialogues, pairs, weight

    def __call__(self, precision: Precision) -> Validation:
        started = time.monotonic()
        device = self.translator.device
        found = predict(self.model, self.dialogues, device, precision)
        scores = found.scores()
        if found.latent is not None:
            scores["loss"] = scores["bound"]  # of one sample both estimate the bound, this one with less noise
            scores |= {"kl_weight": self.weight(), **latent_facts(found.latent)}
            self._warn(scores)
        rows = np.linspace(0, len(self.pairs) - 1, self.config.training.samples).round().astype(int).tolist()
        chosen = [self.pairs[row] for row in dict.fromkeys(rows)]
        with autocast(device, precision):
            answers = self.translator.translate([pair.source for pair in chosen], beam=1)
        last = [(turns_of(pair.source) or [pair.source])[-1] for pair in chosen]
        samples = [
            Sample(said, pair.target, one[0].text) for said, pair, one in zip(last, chosen, answers, strict=True)
        ]
        return Validation(scores, samples, time.monotonic() - started)

    def _warn(self, scores: dict[str, float]) -> None:
        if scores["kl_weight"] == 1.0 and (scores["kl"] < COLLAPSED or not scores["active_units"]):
            _log.warning(
                "the posterior has collapsed: KL %.4f nats a token, active units %d: the latent variable says nothing."
                " Raise training.kl_warmup or model.decoder.word_dropout, or use training.free_bits or"
                " training.bag_of_words",
                scores["kl"],
                scores["active_units"],
            )

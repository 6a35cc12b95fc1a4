"""From settings and constraints in words to limits in ids."""

from __future__ import annotations

import math
from collections.abc import Sequence

from s2s.config import Search
from s2s.errors import UserError
from s2s.search import Limits
from s2s.text.extended import Extended
from s2s.text.tags import tags_of
from s2s.text.tokenizer import Tokenizer
from s2s.text.vocab import BOS, EOS, PAD, UNK
from s2s.translator.answers import Constraints, Sentence

_SLACK = 10
"""Tokens that `max_ratio` allows beyond the multiple: the shortest sources have long answers."""


def limits_of(settings: Search, target: Tokenizer, sentences: Sequence[Sentence]) -> Limits:
    """The limits of sentences that the target's tokenizer, or a source's extension of it, spells.

    Raises:
        UserError: a word that the target vocabulary cannot write is required, or one is required and banned.
    """
    lengths = [len(one.ids) for one in sentences]
    longest = [min(settings.max_length, int(settings.max_ratio * length) + _SLACK) for length in lengths]
    shortest = [max(settings.min_length, math.ceil(settings.min_ratio * length)) for length in lengths]
    return Limits(
        bos=BOS,
        eos=EOS,
        longest=longest,
        forbidden=(PAD, BOS, *([] if settings.replace_unknown else [UNK]), *tags_of(target.vocabulary).values()),
        shortest=[min(pair) for pair in zip(shortest, longest, strict=True)],
        no_repeat=settings.no_repeat_ngram,
        prefixes=[_prefix(one.target, settings, one.constraints) for one in sentences],
        banned=[_banned(one.target, settings, one.constraints) for one in sentences],
        required=[_required(one.target, settings, one.constraints) for one in sentences],
    )


def _prefix(target: Extended, settings: Search, one: Constraints) -> list[int]:
    text = one.prefix or settings.prefix
    return _written(target, text, "prefix") if text else []


def _banned(target: Extended, settings: Search, one: Constraints) -> list[list[int]]:
    """What holds an unknown token is never written anyway."""
    found = [target.encode(text) for text in dict.fromkeys([*settings.banned, *one.banned])]
    return [ids for ids in found if ids and UNK not in ids]


def _required(target: Extended, settings: Search, one: Constraints) -> list[list[int]]:
    texts = dict.fromkeys([*settings.required, *one.required])
    found = {text: _written(target, text, "required") for text in texts}
    for text, ids in found.items():
        for banned in _banned(target, settings, one):
            if any(ids[i : i + len(banned)] == banned for i in range(len(ids))):
                raise UserError(f"search.required: {text!r} holds {target.decode(banned)!r}, which is banned; drop one")
    return [ids for ids in found.values() if ids]


def _written(target: Extended, text: str, key: str) -> list[int]:
    ids = target.encode(text)
    if UNK in ids:
        raise UserError(
            f"search.{key} = {text!r}: the target vocabulary cannot write it (it reads"
            f" {' '.join(target.pieces(ids))}); give words that it knows"
        )
    return ids

"""The translator: settings, batches and order around one search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import replace
from typing import Any, Literal

import torch

from s2s import search
from s2s.config import Config, Search, beam_keys
from s2s.config.io import check, merge
from s2s.errors import UserError
from s2s.models import HRED, Seq2Seq
from s2s.models.compact import slim
from s2s.text.extended import Extended
from s2s.text.tags import Tagged
from s2s.text.tokenizer import Tokenizer
from s2s.text.vocab import UNK
from s2s.translator.answers import Alignment, Asked, Constraints, Sentence, Translation
from s2s.translator.chat import Chat
from s2s.translator.limits import limits_of
from s2s.translator.members import Member, Members
from s2s.translator.unknown import replaced

Precision = Literal["float32", "bfloat16", "float16"]

_SPREAD = 7_368_787
"""A prime: texts of neighbouring seeds draw their latent variables unlike each other."""


class Translator:
    """A trained model that answers. Safe to call from several threads: no state is kept between calls.

    Args:
        model: in evaluation mode.
        source, target: the tokenizers it was trained with.
        config: of the run; `[search]` has the defaults.
        name: of the run.
        languages: codes of source and target.
        device: where the model is.
        directions: all pairs of codes that the model was trained on, with `languages`; None: that pair alone.
        others: models that answer together with this one; `ensemble` checks that they can.
        candidates: for `search.shortlist`.
    """

    def __init__(
        self,
        model: Seq2Seq | HRED,
        source: Tokenizer,
        target: Tokenizer,
        *,
        config: Config,
        name: str,
        languages: tuple[str, str],
        device: torch.device,
        directions: Sequence[tuple[str, str]] | None = None,
        others: Sequence[Member] = (),
        candidates: search.Candidates | None = None,
    ) -> None:
        self.model, self.source, self.target = model, source, target
        self.config, self.name, self.device = config, name, device
        self.source_lang, self.target_lang = languages
        self.directions = directions or [languages]
        self.members = Members((Member(model, config.model.reverse_source), *others), device)
        self.candidates = candidates

    @classmethod
    def ensemble(cls, translators: Sequence[Translator]) -> Translator:
        """Several that answer as one: the average of their probabilities at each step. Settings are the first's.

        Raises:
            ValueError: none given, or on several devices.
            UserError: their vocabularies differ.
        """
        if len({str(one.device) for one in translators}) != 1:
            raise ValueError("an ensemble needs translators on one device, at least one")
        first = translators[0]
        for other in translators[1:]:
            _same_vocabulary(first, other)
        return cls(
            first.model,
            first.source,
            first.target,
            config=first.config,
            name=" + ".join(one.name for one in translators),
            languages=(first.source_lang, first.target_lang),
            device=first.device,
            directions=first.directions,
            others=[member for one in translators for member in one.members.models][1:],
            candidates=first.candidates,
        )

    def to(self, target: str) -> Translator:
        """The same model writing another of its languages, which costs nothing. Itself for the language it writes.

        Raises:
            UserError: it can't.
        """
        if target == self.target_lang:
            return self
        if not isinstance(self.source, Tagged):
            raise UserError(f"{self.name}: writes {self.target_lang}, and was not trained for {target[:40]!r} as well")
        sources = [pair[0] for pair in self.directions if pair[1] == target]
        return self._along(sources[0] if sources else self.source_lang, target)

    def each_direction(self) -> list[Translator]:
        """The same model for each of its directions."""
        return [self._along(*pair) for pair in self.directions]

    def _along(self, source: str, target: str) -> Translator:
        other = copy(self)
        other.source_lang, other.target_lang = source, target
        if isinstance(self.source, Tagged):
            other.source = replace(self.source, language=target)
        return other

    def as_it_is(self, precision: Precision = "float32") -> Translator:
        """The same with a copy of its model, only to answer: no training changes it, and its matrices may be packed.
        With several models the others are shared.

        Args:
            precision: of the products.
        """
        other, model = copy(self), deepcopy(self.model).eval().requires_grad_(False)
        if precision == "bfloat16":
            slim(model, precision)
        member, *others = self.members.models
        other.model, other.members = model, Members((member._replace(model=model), *others), self.device)
        return other

    def translate(
        self,
        texts: Sequence[str],
        *,
        target: str | None = None,
        n_best: int = 1,
        beam: int | None = None,
        length_penalty: float | None = None,
        max_length: int | None = None,
        batch_size: int | None = None,
        search: Mapping[str, Any] | None = None,
        constraints: Sequence[Constraints] | None = None,
        token_scores: bool = False,
        alignments: bool = False,
        first: int = 0,
    ) -> list[list[Translation]]:
        """Up to `n_best` answers to each text, best first; N texts in, N lists out; a blank text gives one blank.

        Args:
            texts: one sentence each; white space alone is a blank.
            target: the language to write, of a model with several; None: `target_lang`.
            n_best: answers a text; the beam is at least as wide. Samples come in the order in which they were drawn.
            beam: width of a beam search, also where the run samples; 1 is greedy; None does as the run does.
            length_penalty, max_length, batch_size: the keys of `[search]`; None takes the run's.
            search: any other keys of `[search]`, such as `{"sample": True, "top_k": 10}`; they win over the run's.
            constraints: one for each text; its prefix wins over the run's, its words are added to the run's.
            token_scores: return pieces and their log-probabilities.
            alignments: return pieces and the source piece of each.
            first: number of the first text, where a stream is translated in several calls: with the seed, its number
                decides what is drawn for a text.

        Raises:
            ValueError: `n_best` below 1, or not as many constraints as texts.
            UserError: keys that do not exist, do not go together or that the model cannot follow; words that the
                vocabulary cannot write.
        """
        if n_best < 1:
            raise ValueError(f"n_best must be at least 1, got {n_best}")
        chosen = self if target is None else self.to(target)
        named = {"length_penalty": length_penalty, "max_length": max_length, "batch_size": batch_size}
        given = {key: value for key, value in named.items() if value is not None}
        asked = Asked(self._settings({**(search or {}), **given}, beam), n_best, token_scores, alignments, first)
        if alignments and not self.members.attend:
            raise UserError(f"{self.name}: alignments need attention, and this model was trained without")
        results = [[asked.blank()] for _ in texts]
        rows = chosen._sentences(texts, constraints)
        for start in range(0, len(rows), asked.settings.batch_size):
            chunk = rows[start : start + asked.settings.batch_size]
            for sentence, found in zip(chunk, chosen._answers(chunk, asked), strict=True):
                results[sentence.number] = found
        return results

    def _settings(self, keys: Mapping[str, Any], beam: int | None) -> Search:
        """The run's `[search]` with other keys, checked like a configuration."""
        keys = {**keys, **(beam_keys(beam) if beam is not None else {})}
        if not keys:
            return self.config.search
        return check(merge(self.config.model_dump(), {"search": keys}), "[search]").search

    def _sentences(self, texts: Sequence[str], constraints: Sequence[Constraints] | None) -> list[Sentence]:
        """What is not blank, short ones first."""
        own = [Constraints()] * len(texts) if constraints is None else constraints
        encoded = self.source.encode_batch(list(texts))
        rows = zip(range(len(texts)), texts, encoded, own, strict=True)
        found = (self._sentence(*row) for row in rows if row[2] and row[1].strip())
        return sorted(found, key=lambda row: len(row.ids))

    def _sentence(self, number: int, text: str, ids: list[int], constraints: Constraints) -> Sentence:
        target = self.writer(text)
        ids = Extended(self.source, target.own).encode(text) if target.own else ids
        return Sentence(number, text, ids, target, constraints)

    def writer(self, source: str) -> Extended:
        """The target's tokenizer, with ids of their own for the words of a source that can only be copied."""
        return Extended.of(self.target, source) if self.members.copy else Extended(self.target, {})

    def _answers(self, chunk: Sequence[Sentence], asked: Asked) -> list[list[Translation]]:
        found = self._search(chunk, asked)
        if asked.settings.coverage_penalty:
            found = self._covered(chunk, found, asked.settings.coverage_penalty)
        best = [own[: asked.n_best] for own in found]
        places = self._places(chunk, best, asked)
        return [
            [self._translation(sentence, one, places.get((row, rank)), asked) for rank, one in enumerate(own)]
            for row, (sentence, own) in enumerate(zip(chunk, best, strict=True))
        ]

    @torch.inference_mode()
    def _search(self, chunk: Sequence[Sentence], asked: Asked) -> list[list[search.Hypothesis]]:
        limits = limits_of(asked.settings, self.target, chunk)
        short = self._shortlist(chunk, limits, asked.settings.shortlist)
        if short is None:
            return self._searched(chunk, asked, limits, None)
        found = self._searched(chunk, asked, short.limits(limits), short.token_X)
        return [[short.tokens(one) for one in own] for own in found]

    def _shortlist(self, chunk: Sequence[Sentence], limits: search.Limits, each: int) -> search.Shortlist | None:
        if not each:
            return None
        if self.members.copy:
            raise UserError("search.shortlist: this model copies words of the source, which no list has; set it to 0")
        if self.candidates is None:
            raise UserError(
                f"search.shortlist = {each}: {self.name} has no candidates yet; learn them with `s2s shortlist RUN`, or"
                " set it to 0"
            )
        return self.candidates.shortlist([sentence.ids for sentence in chunk], each, limits)

    def _searched(
        self, chunk: Sequence[Sentence], asked: Asked, limits: search.Limits, token_X: torch.Tensor | None
    ) -> list[list[search.Hypothesis]]:
        """`token_X`: the search knows tokens by their places there."""
        settings = asked.settings
        penalty = search.LengthPenalty(settings.length_penalty_kind, settings.length_penalty)
        numbers = [asked.first + row.number for row in chunk]
        seeds = [(settings.seed * _SPREAD + number) & 0xFFFFFFFF for number in numbers]
        memory = self.members.encode([row.ids for row in chunk], seeds)
        if settings.sample:
            stepper = self.members.stepper(memory, asked.n_best, token_X)
            sampling = search.Sampling(settings.temperature, settings.top_k, settings.top_p, settings.seed)
            return search.sample(
                stepper, memory, limits, sampling=sampling, penalty=penalty, count=asked.n_best, numbers=numbers
            )
        width = -(-max(settings.beam, asked.n_best) // settings.groups) * settings.groups
        stepper = self.members.stepper(memory, width, token_X)
        if width == 1 and not any(map(len, limits.required)):
            return [[one] for one in search.greedy(stepper, memory, limits, penalty=penalty)]
        return search.beam(
            stepper,
            memory,
            limits,
            width=width,
            penalty=penalty,
            groups=settings.groups,
            diversity=settings.diversity,
            token_scores=asked.token_scores,
        )

    def _covered(
        self, chunk: Sequence[Sentence], found: Sequence[Sequence[search.Hypothesis]], strength: float
    ) -> list[list[search.Hypothesis]]:
        """Ranked again, with the coverage penalty in the scores."""
        answers = [(row, one.tokens) for row, own in enumerate(found) for one in own]
        weights = iter(self.members.attention([sentence.ids for sentence in chunk], answers))
        scored = [
            [
                one._replace(
                    score=one.score + search.coverage(next(weights)[: len(one.tokens) + one.finished], strength)
                )
                for one in own
            ]
            for own in found
        ]
        return [search.ranked(own) for own in scored]

    def _places(
        self, chunk: Sequence[Sentence], best: Sequence[Sequence[search.Hypothesis]], asked: Asked
    ) -> dict[tuple[int, int], list[int]]:
        """Source position of each token, of the answers (row, rank) for which it is needed."""
        wanted = {
            (row, rank): one.tokens
            for row, own in enumerate(best)
            for rank, one in enumerate(own)
            if asked.alignments or UNK in one.tokens
        }
        answers = [(row, tokens) for (row, _), tokens in wanted.items()]
        weights = self.members.attention([sentence.ids for sentence in chunk], answers)
        return {key: own[:-1].argmax(1).tolist() for key, own in zip(wanted, weights, strict=True)}

    def _translation(
        self, sentence: Sentence, found: search.Hypothesis, places: list[int] | None, asked: Asked
    ) -> Translation:
        tokens = found.tokens
        if UNK in tokens and places is not None:
            text = replaced(tokens, places, sentence.target, self.source, sentence.text)
        else:
            text = sentence.target.decode(tokens)
        return Translation(
            text,
            found.score,
            found.log_probability,
            found.finished,
            sentence.target.pieces(tokens) if asked.token_scores or asked.alignments else None,
            found.token_scores if asked.token_scores else None,
            places if asked.alignments else None,
        )

    def chat(self, *, search: Mapping[str, Any] | None = None) -> Chat:
        """A new conversation, of a model of dialogues. `search`: keys that win over the run's.

        Raises:
            UserError: the run is not of dialogues.
        """
        return Chat(self, search=search)

    def align(self, source: str, target: str | None = None) -> Alignment | None:
        """Attention weights while writing `target` (or the model's own answer); None for a model without attention."""
        ids = self.source.encode(source)
        if not ids or not self.members.attend:
            return None
        sentence = self._sentence(0, source, ids, Constraints())
        if target is None:
            asked = Asked(self._settings({}, 1), 1, token_scores=False, alignments=False)
            (best,) = self._search([sentence], asked)[0]
            target_ids = best.tokens
        else:
            target_ids = sentence.target.encode(target)
        (weights,) = self.members.attention([sentence.ids], [(0, target_ids)])
        pieces = [*sentence.target.pieces(target_ids), "</s>"]
        source_pieces = Extended(self.source, sentence.target.own).pieces(sentence.ids)
        return Alignment(source_pieces, pieces, weights.tolist())


def _same_vocabulary(first: Translator, other: Translator) -> None:
    for side, one, two in (("source", first.source, other.source), ("target", first.target, other.target)):
        hashes = one.vocabulary.sha256, two.vocabulary.sha256
        if hashes[0] != hashes[1]:
            raise UserError(
                f"an ensemble needs one vocabulary: that of the {side} is {hashes[0][:12]} in {first.name} and"
                f" {hashes[1][:12]} in {other.name}. Train them on the same pairs with the same [text] section"
            )

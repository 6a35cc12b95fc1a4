"""Texts of any length for a model of sentences: cut into pieces, translated together, joined again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal, assert_never

from s2s.corpus.formats import Pair
from s2s.scoring import Links, align_pairs
from s2s.text.sentences import Piece, gap_behind, pieces
from s2s.translator import Constraints, Translation, Translator

Split = Literal["auto", "always", "never"]


@dataclass(frozen=True)
class Wish:
    """What a stream of texts is asked for; see `Translator.translate`, where the names are the same.

    Attributes:
        split: `always` cuts texts at every end of a sentence, `auto` only those that are longer (in tokens) than the
            `data.max_source` of the run or hold line breaks, `never` none.
    """

    n_best: int = 1
    beam: int | None = None
    batch_size: int | None = None
    search: Mapping[str, Any] | None = None
    token_scores: bool = False
    alignments: bool = False
    split: Split = "auto"


@dataclass(frozen=True)
class Passage:
    """A text in the pieces that the model read, and the answers to each, best first."""

    pieces: Sequence[Piece]
    sizes: Sequence[int]
    """Tokens of each piece with its gap."""
    answers: Sequence[Sequence[Translation]]

    def joined(self) -> list[Translation]:
        """Answer k of the text: answer k of each piece (of one that has fewer: its best), with the pieces' own gaps.

        Where the source had no white space between two pieces, a space is put unless the first one ends in a mark of a
        script that writes none. Scores and log-probabilities are sums.
        """
        if len(self.pieces) == 1:
            return list(self.answers[0])
        return [self._join([found for (found,) in way.answers]) for way in self.ways()]

    def ways(self) -> list[Passage]:
        """The same with answer k of each piece alone (of one that has fewer: its best), for each k."""
        ranks = range(max(map(len, self.answers)))
        rows = [[[found[rank] if rank < len(found) else found[0]] for found in self.answers] for rank in ranks]
        return [replace(self, answers=row) for row in rows]

    def _join(self, row: Sequence[Translation]) -> Translation:
        texts = [found.text + gap_behind(piece, found.text) for piece, found in zip(self.pieces, row, strict=True)]
        starts = [sum(self.sizes[:number]) for number in range(len(self.sizes))]
        places = [
            None if found.alignment is None else [start + place for place in found.alignment]
            for start, found in zip(starts, row, strict=True)
        ]
        return Translation(
            "".join([*texts[:-1], row[-1].text]),
            sum(found.score for found in row),
            sum(found.log_probability for found in row),
            all(found.finished for found in row),
            _chained([found.pieces for found in row]),
            _chained([found.token_scores for found in row]),
            _chained(places),
        )


def _chained(lists: Sequence[list[Any] | None]) -> list[Any] | None:
    """The lists one after the other; None where there are none."""
    known = [one for one in lists if one is not None]
    return list(chain.from_iterable(known)) if known else None


def translate_passages(
    translator: Translator,
    texts: Sequence[str],
    wish: Wish,
    *,
    constraints: Sequence[Constraints] | None = None,
    first: int = 0,
) -> list[Passage]:
    """Translate texts that may be longer than a sentence; N texts in, N passages out.

    Args:
        translator: the model.
        texts: of any length. A sentence that is too long is cut at commas, else at spaces, else anywhere.
        wish: what is asked for.
        constraints: one for each text; a text that has some is not cut.
        first: number of the first piece in the stream.
    """
    own = [Constraints()] * len(texts) if constraints is None else constraints
    cut = cut_texts(translator, texts, wish.split)
    cut = [
        parts if one == Constraints() else [Piece(text, "")] for parts, text, one in zip(cut, texts, own, strict=True)
    ]
    answers = iter(
        translator.translate(
            [piece.text for parts in cut for piece in parts],
            n_best=wish.n_best,
            beam=wish.beam,
            batch_size=wish.batch_size,
            search=wish.search,
            constraints=[one for parts, one in zip(cut, own, strict=True) for _ in parts],
            token_scores=wish.token_scores,
            alignments=wish.alignments,
            first=first,
        )
    )
    return [Passage(parts, _sizes(translator, parts), [next(answers) for _ in parts]) for parts in cut]


def cut_texts(translator: Translator, texts: Sequence[str], split: Split) -> list[list[Piece]]:
    """Each text in the pieces that the model reads; see `Wish.split`."""
    whole = [[Piece(text, "")] for text in texts]
    most = translator.config.data.max_source

    def sizes(parts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in translator.source.encode_batch(parts)]

    match split:
        case "never":
            return whole
        case "always":
            chosen = [bool(text.strip()) for text in texts]
        case "auto":
            too_long = [most is not None and size > most for size in sizes(texts)]
            chosen = [bool(text.strip()) and (bad or "\n" in text) for text, bad in zip(texts, too_long, strict=True)]
        case _:
            assert_never(split)
    longest = most or max(map(len, texts), default=1)
    return [pieces(text, sizes, longest) if yes else one for text, yes, one in zip(texts, chosen, whole, strict=True)]


def _sizes(translator: Translator, parts: Sequence[Piece]) -> list[int]:
    if len(parts) == 1:
        return [0]
    return [len(ids) for ids in translator.source.encode_batch([piece.text + piece.gap for piece in parts])]


def align_passages(translator: Translator, passages: Sequence[Passage], *, every_source: bool = False) -> list[Links]:
    """The word alignment of each text with its best joined answer; see `scoring.align_pairs`."""
    pairs = [
        Pair(piece.text, found[0].text)
        for passage in passages
        for piece, found in zip(passage.pieces, passage.answers, strict=True)
    ]
    links = iter(align_pairs(translator, pairs, every_source=every_source))
    return [_joined_links(passage, [next(links) for _ in passage.pieces]) for passage in passages]


def _joined_links(passage: Passage, links: Sequence[Links]) -> Links:
    """Words are counted through the text: without white space at a cut, the next piece goes on in the same word."""
    result: Links = []
    source = target = 0
    for piece, found, own in zip(passage.pieces, passage.answers, links, strict=True):
        result += [(source + word, target + other) for word, other in own]
        source += len(piece.text.split()) - (not piece.gap)
        target += len(found[0].text.split()) - (not gap_behind(piece, found[0].text) and bool(found[0].text.strip()))
    return result

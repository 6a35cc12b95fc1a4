"""What the dialects of translation have in common: the language of each text, its markup, one answer a text."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .directions import AUTO, Direction
from .lines import Whole
from .markup import Page
from .refusal import Refusal
from .service import Service


@dataclass(frozen=True)
class Wish:
    """Texts to translate from a language code (or AUTO: find out) to another, the n_best ways of each.

    glossary: terms, and the words that answers to texts with these hold. markup: the texts are HTML.
    """

    texts: Sequence[str]
    source: str
    target: str
    n_best: int = 1
    glossary: Mapping[str, str] | None = None
    markup: bool = False


class Answer(NamedTuple):
    """A text's translations, best first; the language it was taken for, and how sure that is (None: it was named)."""

    ranked: list[str]
    source: str
    confidence: float | None


async def answers_to(service: Service, wish: Wish) -> list[Answer]:
    """One answer a text, in the same order. Raises Refusal for a direction that no run has, and as the service does."""
    service.check_alternatives(wish.n_best - 1)
    pages = await asyncio.to_thread(lambda: [Page(text) for text in wish.texts]) if wish.markup else []
    prose = [page.texts for page in pages] if wish.markup else [[text] for text in wish.texts]
    found = await _directions(service, wish, prose)
    ranked: list[list[list[Whole]]] = [[] for _ in wish.texts]  # of each text, of each part of it
    linked = any(page.marked for page in pages)
    for direction in {one.source: one for one, _ in found}.values():
        places = [place for place, (own, _) in enumerate(found) if own.source == direction.source]
        parts = [part for place in places for part in prose[place]]
        answers = iter(
            await service.translate(direction, parts, n_best=wish.n_best, glossary=wish.glossary, linked=linked)
        )
        for place in places:
            ranked[place] = [next(answers) for _ in prose[place]]
    if wish.markup:
        whole = await asyncio.to_thread(lambda: [_filled(*one) for one in zip(pages, ranked, strict=True)])
    else:
        whole = [[one.text for one in own[0]] for own in ranked]
    return [
        Answer(own, direction.source, confidence) for own, (direction, confidence) in zip(whole, found, strict=True)
    ]


def _filled(page: Page, ranked: Sequence[Sequence[Whole]]) -> list[str]:
    """The distinct versions of a page, best first: version k has answer k of each text, or its best."""
    ranks = range(max(map(len, ranked), default=1))
    rows = ([own[rank] if rank < len(own) else own[0] for own in ranked] for rank in ranks)
    return list(dict.fromkeys(page.filled(row) for row in rows))


async def _directions(
    service: Service, wish: Wish, prose: Sequence[Sequence[str]]
) -> list[tuple[Direction, float | None]]:
    """The direction of each text, and how sure its source is.

    Where one source leads to the target, it is assumed (0.0); where nothing in a text tells several apart, the first
    one. Raises Refusal when the runs' own names of languages say nothing to the detector.
    """
    if wish.source != AUTO:
        return [(service.directions.find(wish.source, wish.target), None)] * len(wish.texts)
    choices = {one.source: one for one in service.directions.leading_to(wish.target)}
    sources = list(choices)
    if len(sources) == 1:
        return [(choices[sources[0]], 0.0)] * len(wish.texts)

    def detect() -> list[tuple[Direction, float | None]]:
        if service.detector.known(sources) != sources:
            names = " or ".join(sources)
            raise Refusal(400, f"auto is not supported: the source may be {names}; name it in the request")
        ranked = (service.detector.rank(" ".join(parts), sources) for parts in prose)
        return [(choices[own[0].language], own[0].confidence) if own else (choices[sources[0]], 0.0) for own in ranked]

    return await service.work(detect)

"""What a model of dialogues replies to test turns: counts beside the human replies, and several replies to one turn."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from textwrap import shorten
from typing import Any, NamedTuple, TypeVar

import numpy as np

from s2s.build.dialogues import DialogueCorpus
from s2s.corpus.dialogue.read import Dialogue
from s2s.errors import UserError
from s2s.metrics import bleu
from s2s.metrics.dialogue import Likeness, Reply, Spread, Variety, WordVectors, copies
from s2s.models import HRED
from s2s.text.turns import history
from s2s.text.vectors import read_vectors
from s2s.translator import Translator

SAMPLES = 100
"""Of the latent variable, a turn: what its importance-sampled perplexity is estimated from."""
_REPLIES = 2_000
_CONTEXTS = 200
_SEVERAL = 5
_SHOWN = 3

Row = TypeVar("Row")


@dataclass(frozen=True)
class Asked:
    """What is measured.

    Attributes:
        samples: of the latent variable.
        replies: test turns that are answered, spread over the test set; None: all.
        search: keys of `[search]` that win over the run's.
        vectors: a file of word vectors for the cosines of `Likeness`; of words in test and training turns.
    """

    samples: int = SAMPLES
    replies: int | None = _REPLIES
    search: Mapping[str, Any] | None = None
    vectors: Path | None = None


class Wanted(NamedTuple):
    """A test turn to be answered."""

    said: Dialogue
    human: str


def reply_scores(translator: Translator, corpus: DialogueCorpus, asked: Asked) -> dict[str, Any]:
    """What replies to test turns are like, beside the human ones; words are separated by white space, lower-cased."""
    wanted = [Wanted(dialogue[:at], turn) for dialogue in corpus.test for at, turn in enumerate(dialogue) if at]
    wanted = _spread_over(wanted, asked.replies)
    if not wanted:
        return {}
    known = {_words(turn) for turn in chain.from_iterable(corpus.train)}
    humans = [_words(one.human) for one in wanted]
    vectors = None if asked.vectors is None else word_vectors(asked.vectors, chain(known, humans))
    started = time.monotonic()
    answers = translator.translate([history(one.said) for one in wanted], search=asked.search)
    seconds = time.monotonic() - started
    replies = [_words(found[0].text) for found in answers]
    human = Variety.of(humans).scores()
    return {
        "search": search_words(translator, asked.search),
        **Variety.of(replies).scores(),
        **Likeness.of(replies, humans, vectors).scores(),
        **_bleu(replies, humans),
        **({} if asked.vectors is None else {"vectors": str(asked.vectors)}),
        "copies": copies(replies, known).value,
        "human": {name: human[name] for name in _OF_HUMANS},
        "seconds": round(seconds, 3),
        **_several(translator, wanted, asked),
    }


_OF_HUMANS = ("length", "distinct_1", "distinct_2", "entropy", "most_frequent", "most_frequent_share")


def _bleu(replies: Sequence[Reply], humans: Sequence[Reply]) -> dict[str, Any]:
    """sacreBLEU's, in lower case; of words that stand apart as they are."""
    metric = bleu(warn=False)  # of full stops that stand apart
    found = metric.corpus_score([" ".join(one) for one in replies], [[" ".join(one) for one in humans]])
    return {"bleu": found.score, "bleu_signature": str(metric.get_signature())}


def _several(translator: Translator, wanted: Sequence[Wanted], asked: Asked) -> dict[str, Any]:
    """How much replies to one turn differ, each drawn for itself (latent variable, words), and a few of them."""
    count = _SEVERAL if _draws(translator, asked.search) else 1
    chosen = _spread_over(wanted, _CONTEXTS if count > 1 else _SHOWN)
    said = [history(one.said) for one in chosen for _ in range(count)]
    texts = [found[0].text for found in translator.translate(said, search=asked.search)]
    drawn = [texts[start : start + count] for start in range(0, len(texts), count)]
    spread = Spread.of([[_words(text) for text in several] for several in drawn]).scores()
    shown = _spread_over(list(zip(chosen, drawn, strict=True)), _SHOWN)
    examples = [{"said": one.said, "human": one.human, "replies": several} for one, several in shown]
    return {**spread, **({"contexts": len(chosen), "samples": count} if spread else {}), "examples": examples}


def _draws(translator: Translator, search: Mapping[str, Any] | None) -> bool:
    """Whether a turn may be answered in several ways."""
    latent = isinstance(translator.model, HRED) and translator.model.latent is not None
    return latent or bool((search or {}).get("sample", translator.config.search.sample))


def search_words(translator: Translator, search: Mapping[str, Any] | None) -> str:
    """How replies are found: `greedy`, `beam 5`, `sampled, temperature 0.8`."""
    keys = {**translator.config.search.model_dump(), **(search or {})}
    if not keys["sample"]:
        return "greedy" if keys["beam"] == 1 else f"beam {keys['beam']}"
    limits = [f"{name} {keys[name]:g}" for name, whole in (("top_k", 0), ("top_p", 1.0)) if keys[name] != whole]
    return ", ".join(["sampled", f"temperature {keys['temperature']:g}", *limits])


def word_vectors(path: Path, texts: Iterable[Reply]) -> WordVectors:
    """The vectors of the words of these texts.

    Raises:
        UserError: no such file, a broken one, or one that has none of the words.
    """
    wanted = {word for text in texts for word in text}
    found = read_vectors(path, wanted)
    if not found.words:
        raise UserError(
            f"{path} has none of the {len(wanted):,} words of the dialogues, which are in lower case; its words are"
            f" like {', '.join(found.first)}. Name another file"
        )
    return dict(zip(found.words, found.values_NE, strict=True))


def replies_text(found: Mapping[str, Any]) -> list[str]:
    """The scores of replies for people, a line each."""
    human = found["human"]
    lines = [
        f"{found['replies']:,} replies ({found['search']}): {found['length']:.1f} words (human {human['length']:.1f}),"
        f" distinct-1 {found['distinct_1']:.4f} (human {human['distinct_1']:.4f}), distinct-2 {found['distinct_2']:.4f}"
        f" (human {human['distinct_2']:.4f}), {found['entropy']:.2f} bits a word (human {human['entropy']:.2f})",
        f"unigram F1 {found['unigram_f1']:.4f}, BLEU {found['bleu']:.2f}, {100 * found['copies']:.1f} % are turns of"
        f" the training set; most frequent {_most_frequent(found)}, of people {_most_frequent(human)}",
    ]
    if "vectors" in found:
        cosines = (f"{name} {found.get(f'embedding_{name}', 0.0):.4f}" for name in ("average", "extrema", "greedy"))
        lines.append(f"cosines by {found['vectors']}: {', '.join(cosines)}")
    if "samples" in found:
        lines.append(
            f"{found['samples']} replies to each of {found['contexts']:,} turns:"
            f" {100 * found['samples_different']:.1f} % different, 1 - unigram F1 of two of them"
            f" {found['samples_distance']:.4f}"
        )
    for example in found["examples"]:
        lines += [f"  {example['said'][-1]}", *(f"    {reply}" for reply in example["replies"])]
    return lines


def _most_frequent(scores: Mapping[str, Any]) -> str:
    text = scores["most_frequent"]
    return f"{100 * scores['most_frequent_share']:.2f} % ({shorten(text, 60, placeholder=' …') or text[:60]})"


def _spread_over(rows: Sequence[Row], most: int | None) -> list[Row]:
    """At most so many, from all over."""
    if most is None or len(rows) <= most:
        return list(rows)
    return [rows[row] for row in np.linspace(0, len(rows) - 1, most).round().astype(int)]


def _words(text: str) -> Reply:
    return tuple(text.lower().split())

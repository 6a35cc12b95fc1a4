"""Word vectors from texts by word2vec (Mikolov et al. 2013, arXiv 1301.3781 and 1310.4546), as gensim trains them."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from s2s.errors import MissingExtraError, UserError
from s2s.text.vectors.table import Vectors

LONGEST = 10_000
"""Words of a sentence that gensim reads; it would drop what follows."""


@dataclass(frozen=True)
class Learning:
    """How vectors are learned."""

    size: int
    """Numbers of a vector."""
    window: int
    """Words on each side, at most, that a word is seen with."""
    min_count: int
    """Rarer words get no vector."""
    epochs: int
    negative: int
    """Random words beside each true one."""
    cbow: bool
    """A word from the words around it (CBOW); otherwise these from the word (skip-gram)."""
    seed: int
    workers: int
    """Threads; with one the same text gives the same vectors."""


def learn_vectors(sentences: Iterable[Sequence[str]], how: Learning, *, say: Callable[[str], None]) -> Vectors:
    """Vectors of the words of the sentences, the most frequent first.

    `sentences` is gone through once to count and once an epoch, the same each time. `say` gets a line about the words
    and one an epoch.

    Raises:
        MissingExtraError: gensim is not installed.
        UserError: no words, or none that is frequent enough.
    """
    try:
        from gensim.models import Word2Vec
    except ImportError:
        raise MissingExtraError("gensim", "vectors", "training word vectors") from None
    counts, total = _count(sentences)
    kept = _frequent(counts, how.min_count)
    say(
        f"{counts.total():,} words in {total:,} sentences; {len(kept):,} of {len(counts):,} different ones get a vector"
    )
    model = Word2Vec(
        vector_size=how.size,
        window=how.window,
        min_count=1,
        negative=how.negative,
        sg=int(not how.cbow),
        seed=how.seed,
        workers=how.workers,
        hashfxn=_hash,
    )
    model.build_vocab_from_freq(kept, corpus_count=total)
    model.train(sentences, total_examples=total, epochs=how.epochs, callbacks=[_Epochs(how.epochs, say)])
    words = list(model.wv.index_to_key)
    return Vectors(words, model.wv.vectors, how.size, len(words), tuple(words[:3]))


def _count(sentences: Iterable[Sequence[str]]) -> tuple[Counter[str], int]:
    """Words, and the number of sentences."""
    counts: Counter[str] = Counter()
    total = 0
    for sentence in sentences:
        counts.update(sentence)
        total += 1
    return counts, total


def _frequent(counts: Counter[str], least: int) -> dict[str, int]:
    """The words that occur so often, the most frequent first, ties in the order of the words.

    Raises:
        UserError: there are none.
    """
    if not counts:
        raise UserError("word vectors need text, got none. Give files whose lines are not all empty")
    kept = sorted(
        ((word, count) for word, count in counts.items() if count >= least), key=lambda pair: (-pair[1], pair[0])
    )
    if not kept:
        word, count = max(counts.items(), key=lambda pair: (pair[1], pair[0]))
        raise UserError(
            f"no word occurs {least:,} times: the most frequent of {len(counts):,}, {word!r}, does {count:,} times."
            " Lower --min-count, or give more text"
        )
    return dict(kept)


def _hash(text: str) -> int:
    """The same in every process, as Python's own is not."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


class _Epochs:
    """What gensim calls while it trains."""

    def __init__(self, epochs: int, say: Callable[[str], None]) -> None:
        self.epochs, self.say = epochs, say
        self.done = 0

    def on_train_begin(self, _model: object) -> None: ...

    def on_train_end(self, _model: object) -> None: ...

    def on_epoch_begin(self, _model: object) -> None: ...

    def on_epoch_end(self, _model: object) -> None:
        self.done += 1
        self.say(f"epoch {self.done} of {self.epochs}")

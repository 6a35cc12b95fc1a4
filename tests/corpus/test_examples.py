from __future__ import annotations

from collections.abc import Callable

import pytest

from s2s.corpus.examples import Drawn, Encoded, Example, encode_pairs
from s2s.corpus.formats import Pair
from s2s.text.subwords import Subwords
from s2s.text.vocab import UNK
from s2s.text.words import Words

PAIRS = [Pair(f"the lowest newest widest {n} newer lower wider", f"lowest {n} newest") for n in range(20)]


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def drawn(request: pytest.FixtureRequest) -> Drawn:
    texts = [text for pair in PAIRS for text in (pair.source, pair.target)]
    tokenizer = Subwords.train(request.param, texts, vocab_size=60)
    held = Encoded(encode_pairs(PAIRS, tokenizer, tokenizer))
    return Drawn(PAIRS, tokenizer, tokenizer, held.source_lengths, held.target_lengths, strength=0.3, seed=1)


def ids_of(examples: list[Example]) -> list[tuple[list[int], list[int]]]:
    return [(list(one.source), list(one.target)) for one in examples]


def test_encoded_examples_are_the_same_in_every_epoch() -> None:
    examples = Encoded([Example([4, 5], [6]), Example([], [4, 5, 6])])
    assert examples.source_lengths.tolist() == [2, 0]
    assert examples.target_lengths.tolist() == [1, 3]
    assert examples.take([1, 0], 0) == examples.take([1, 0], 7) == [examples.examples[1], examples.examples[0]]


def test_what_is_drawn_depends_on_epoch_rows_and_seed_alone(drawn: Drawn) -> None:
    rows = list(range(20))
    first = ids_of(drawn.take(rows, 0))
    drawn.take([3], 5)  # whatever was drawn in between
    assert ids_of(drawn.take(rows, 0)) == first
    assert ids_of(drawn.take(rows, 1)) != first


def test_what_is_drawn_reads_as_the_text(drawn: Drawn) -> None:
    taken = drawn.take(range(20), 0)
    assert [drawn.source.decode(one.source) for one in taken] == [pair.source for pair in PAIRS]
    assert [drawn.target.decode(one.target) for one in taken] == [pair.target for pair in PAIRS]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_strength(kind: str, held_to: Callable[[str, float], int]) -> None:
    """More merges left out make more pieces; a large exponent finds the likeliest again."""
    if kind == "bpe":
        assert held_to(kind, 1e-9) < held_to(kind, 0.2) < held_to(kind, 0.6)
    else:
        assert held_to(kind, 100.0) < held_to(kind, 0.2)


@pytest.fixture
def held_to() -> Callable[[str, float], int]:
    def count(kind: str, strength: float) -> int:
        texts = [pair.source for pair in PAIRS]
        tokenizer = Subwords.train("bpe" if kind == "bpe" else "unigram", texts, vocab_size=60)
        return sum(map(len, tokenizer.sample_batch(texts, strength=strength, seed=1)))

    return count


def test_nothing_to_draw() -> None:
    tokenizer = Subwords.train("bpe", [pair.source for pair in PAIRS], vocab_size=60)
    assert tokenizer.sample_batch([], strength=0.1, seed=1) == []


def test_extended_pairs_share_the_ids_of_unknown_words() -> None:
    tokenizer = Words.train(["the man sees"])
    size = len(tokenizer.vocabulary)
    pairs = [Pair("Zaphod sees Ford", "Ford Arthur Zaphod"), Pair("the man", "Ford the")]
    the, man, sees = tokenizer.encode("the man sees")
    unlike, plain = encode_pairs(pairs, tokenizer, tokenizer, extended=True)
    assert (unlike.source, unlike.target) == ([size, sees, size + 1], [size + 1, UNK, size])
    assert plain == encode_pairs(pairs, tokenizer, tokenizer)[1] == Example([the, man], [UNK, the])

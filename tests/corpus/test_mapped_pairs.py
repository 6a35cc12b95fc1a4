"""Mapped pairs are a sequence like a list; filters, lengths, splits and overlap agree with those of pairs in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.corpus.examples import Drawn, encode_pairs
from s2s.corpus.filter import Filters, apply_filters, filter_rows
from s2s.corpus.mapped import lengths as lengths_room
from s2s.corpus.mapped import pairs as pairs_room
from s2s.corpus.mapped.lengths import token_lengths
from s2s.corpus.mapped.make import open_store
from s2s.corpus.mapped.pairs import MappedPairs
from s2s.corpus.read import Pair
from s2s.corpus.split import overlap
from s2s.errors import UserError
from s2s.text.tokenizer import Tokenizer, train_tokenizer

short = st.text("ab ", max_size=3)
some_pairs = st.lists(st.builds(Pair, short, short), min_size=1, max_size=30)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without workers, and in blocks of a few pairs."""
    monkeypatch.setattr("s2s.corpus.mapped.work.cores", lambda: 1)
    monkeypatch.setattr(pairs_room, "_BLOCK", 4)
    monkeypatch.setattr(lengths_room, "LINES", 4)


def mapped(folder: Path, *parts: Sequence[Pair]) -> MappedPairs:
    """One store a part."""
    stores = []
    for number, part in enumerate(parts):
        path = folder / f"{number}.tsv"
        path.write_text("".join(f"{source}\t{target}\n" for source, target in part) + "end\tend\n")
        stores.append(MappedPairs((open_store([path], folder / "stores"),))[:-1])
    found = stores[0]
    for more in stores[1:]:
        found = found + more
    return found


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mapped")


NUMBERED = [Pair(f"quelle {n}", f"ziel {n}") for n in range(23)]


def test_a_sequence_over_several_stores(folder: Path) -> None:
    pairs = mapped(folder, NUMBERED[:9], NUMBERED[9:10], NUMBERED[10:])
    assert len(pairs) == 23
    assert list(pairs) == NUMBERED
    assert [pairs[-1], pairs[0], pairs[9], pairs[10]] == [NUMBERED[place] for place in (-1, 0, 9, 10)]
    assert list(pairs[20:3:-2]) == NUMBERED[20:3:-2]
    assert list(pairs[5:].select(np.array([4, 0, 17]))) == [NUMBERED[place] for place in (9, 5, 22)]
    assert NUMBERED[7] in pairs
    for place in (23, -24):
        with pytest.raises(IndexError, match=f"pair {place} of 23"):
            pairs[place]


def test_the_hash_sees_texts_rows_and_order(folder: Path) -> None:
    pairs = mapped(folder, NUMBERED)
    others = [pairs[1:], pairs[::-1], pairs + pairs, mapped(folder / "..", [Pair("a", "b")])]
    assert len({one.sha256 for one in [pairs, *others]}) == 5
    assert mapped(folder, NUMBERED).sha256 == pairs.sha256


def test_a_store_that_is_cut_off_while_it_is_read(folder: Path) -> None:
    pairs = mapped(folder, NUMBERED)
    for name in ("text", "pairs"):
        os.truncate(pairs.stores[0].folder / name, 16)
    with pytest.raises(UserError, match="a file of it was cut off while it was in use"):
        pairs[20]
    with pytest.raises(UserError, match="its file pairs cannot be read"):
        pairs.values("pairs")


@given(
    parts=st.lists(some_pairs, min_size=1, max_size=3),
    limits=st.tuples(st.none() | st.integers(0, 3), st.none() | st.integers(0, 3), st.sampled_from([None, 1.5, 2.0])),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_filters_and_lengths_agree(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[Pair]], limits: tuple[Any, Any, Any], flags: Any
) -> None:
    pairs = [pair for part in parts for pair in part]
    on_disk = mapped(tmp_path_factory.mktemp("filters"), *parts)
    tokenizer = train_tokenizer("characters", ["ab "])
    found = token_lengths(on_disk, tokenizer, tokenizer)
    assert found.tolist() == [[len(source), len(target)] for source, target in pairs]
    filters = Filters(*limits, *flags)
    sides = {"source_lengths": found[:, 0].tolist(), "target_lengths": found[:, 1].tolist()}
    expected = apply_filters(pairs, filters, **sides)
    rows, dropped = filter_rows(on_disk.facts(filters), filters, found[:, 0], found[:, 1])
    assert rows.tolist() == expected.rows
    assert dropped == expected.dropped
    assert list(on_disk.select(rows)) == expected.pairs


def test_lengths_are_counted_once_a_tokenizer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = mapped(folder, NUMBERED)
    characters = train_tokenizer("characters", ["quelle ziel 0123456789"])
    words = train_tokenizer("words", ["quelle ziel"])
    assert token_lengths(pairs, words, characters).tolist() == [[2, len(pair.target)] for pair in NUMBERED]
    kept = {path.name: path.read_bytes() for path in pairs.stores[0].folder.glob("lengths-*")}
    with monkeypatch.context() as patch:
        patch.setattr(lengths_room, "_count", lambda *_: pytest.fail("counted a second time"))
        assert token_lengths(pairs[3:], words, characters).tolist()[0] == [2, 6]
    [name] = kept
    (pairs.stores[0].folder / name).write_bytes(kept[name][:-4])  # cut off
    assert len(token_lengths(pairs, words, characters)) == 23
    assert (pairs.stores[0].folder / name).read_bytes() == kept[name]
    token_lengths(pairs, characters, words)
    assert len(list(pairs.stores[0].folder.glob("lengths-*"))) == 2


def test_lengths_that_were_not_used_for_longest_are_forgotten(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lengths_room, "KEPT", 2)
    pairs = mapped(folder, NUMBERED)
    one, two, three = (train_tokenizer("words", [text]) for text in ("quelle", "ziel", "quelle ziel"))
    kept = []
    for tokenizer in (one, two, one, three):
        before = set(pairs.stores[0].folder.glob("lengths-*"))
        token_lengths(pairs, tokenizer, tokenizer)
        kept.append(set(pairs.stores[0].folder.glob("lengths-*")) - before)
    first, _, again, third = kept
    assert not again
    assert set(pairs.stores[0].folder.glob("lengths-*")) == first | third


@pytest.mark.parametrize("kind", ["characters", "words", "unigram"])
def test_examples_are_those_of_pairs_in_memory(folder: Path, kind: Any) -> None:
    pairs = mapped(folder, NUMBERED)
    texts = [text for pair in NUMBERED for text in pair]
    tokenizer: Tokenizer = train_tokenizer(kind, texts, vocab_size=30)
    lengths = token_lengths(pairs, tokenizer, tokenizer)
    drawn = Drawn(pairs, tokenizer, tokenizer, lengths[:, 0], lengths[:, 1], strength=0.0, seed=1)
    held = encode_pairs(NUMBERED, tokenizer, tokenizer)
    assert drawn.take([7, 0, 22], 3) == [held[7], held[0], held[22]]
    assert drawn.source_lengths.tolist() == [len(one.source) for one in held]


@given(pairs=some_pairs, count=st.integers(1, 9), seed=st.integers(0, 3))
def test_hold_out_shares_no_source(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[Pair], count: int, seed: int
) -> None:
    on_disk = mapped(tmp_path_factory.mktemp("hold"), pairs)
    if len({pair.source for pair in pairs}) == 1:
        with pytest.raises(UserError, match="both sides need at least one"):
            on_disk.hold_out(count=count, seed=seed)
        return
    count = min(count, len(pairs) - 1)
    train, held = on_disk.hold_out(count=count, seed=seed)
    assert sorted([*train, *held]) == sorted(pairs)
    assert not {pair.source for pair in train} & {pair.source for pair in held}
    rarest = min(sum(pair.source == source for pair in pairs) for source in {pair.source for pair in held})
    assert 0 < len(held) <= max(count, rarest)
    assert [list(part) for part in on_disk.hold_out(count=count, seed=seed)] == [list(train), held]


def test_hold_out_is_random_by_seed_and_keeps_the_order(folder: Path) -> None:
    numbered = [Pair(f"{n}", "x") for n in range(500)]
    pairs = mapped(folder, numbered)
    train, held = pairs.hold_out(count=50, seed=1)
    assert (len(train), len(held)) == (450, 50)
    assert held == sorted(held, key=lambda pair: int(pair.source)) != pairs.hold_out(count=50, seed=2)[1]
    assert list(train) == sorted(train, key=lambda pair: int(pair.source))
    assert sum(int(pair.source) < 250 for pair in held) in range(13, 38)


@given(st.lists(some_pairs, min_size=1, max_size=2), some_pairs)
def test_overlap_agrees(tmp_path_factory: pytest.TempPathFactory, parts: list[list[Pair]], test: list[Pair]) -> None:
    pairs = [pair for part in parts for pair in part]
    assert mapped(tmp_path_factory.mktemp("overlap"), *parts).overlap(test) == overlap(pairs, test)


def test_a_sample(folder: Path) -> None:
    pairs = mapped(folder, NUMBERED)
    assert pairs.sample(23, seed=1) is pairs
    sample = list(pairs.sample(9, seed=1))
    assert 4 <= len(sample) <= 9
    assert sample == [pair for pair in NUMBERED if pair in sample]
    assert list(pairs.sample(9, seed=2)) != sample

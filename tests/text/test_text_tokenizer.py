"""All tokenizers: round trips, specials, saving and loading, damaged files; SentencePiece quiet, repeatable, small."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.errors import UserError
from s2s.text.characters import Characters
from s2s.text.subwords import Subwords
from s2s.text.tokenizer import Kind, load_tokenizer, train_tokenizer
from s2s.text.vocab import BOS, EOS, PAD, UNK
from s2s.text.words import Words, join_tokens, split_chunk

KINDS: tuple[Kind, ...] = get_args(Kind)
TEXTS = [
    "Don't wait, (he) said!",
    "The cat is here; the cats are there.",
    "Wie spät ist es? Es ist halb neun.",
    "10/31/90 costs 3.50 euros - or 4,000?",
    'she said: "it\'s the 2nd one"...',
]
readable = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def folded(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("kind", KINDS)
def test_round_trip_and_batch(kind: Kind) -> None:
    tokenizer = train_tokenizer(kind, TEXTS, vocab_size=90 if kind in ("unigram", "bpe") else None)
    encoded = tokenizer.encode_batch(TEXTS)
    assert [tokenizer.decode(ids) for ids in encoded] == TEXTS
    assert encoded == [tokenizer.encode(text) for text in TEXTS]
    assert all(4 <= i < len(tokenizer.vocabulary) for ids in encoded for i in ids)
    assert tokenizer.encode_batch([]) == []
    assert tokenizer.encode_batch([""]) == [[]]
    assert tokenizer.decode([]) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_decode_stops_at_eos_and_skips_marks(kind: Kind) -> None:
    tokenizer = train_tokenizer(kind, TEXTS)
    ids = tokenizer.encode("the cat")
    assert tokenizer.decode([BOS, *ids, PAD, EOS, *ids, PAD]) == "the cat"
    assert tokenizer.decode([EOS, *ids]) == ""
    pieces = tokenizer.pieces([BOS, *ids, UNK, EOS, PAD])
    assert len(pieces) == len(ids) + 4
    assert pieces[0] == "<s>"
    assert pieces[-3:] == ["<unk>", "</s>", "<pad>"]
    assert all(piece.isprintable() and piece.strip() for piece in pieces)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_known_becomes_unk(kind: Kind) -> None:
    tokenizer = train_tokenizer(kind, TEXTS)
    ids = tokenizer.encode("cat 漢 cat")
    assert ids.count(UNK) == 1
    assert tokenizer.decode(ids) == "cat <unk> cat"


@pytest.mark.parametrize("kind", KINDS)
def test_marks_in_a_text_are_text(kind: Kind) -> None:
    tokenizer = train_tokenizer(kind, ["<s> a </s> <pad> b <unk>", "s p a d unk / < >"])
    ids = tokenizer.encode("<s> a </s> <pad> b <unk>")
    assert not {PAD, BOS, EOS, UNK} & set(ids)
    assert tokenizer.decode(ids) == "<s> a </s> <pad> b <unk>"


@pytest.mark.parametrize("kind", KINDS)
def test_a_lone_surrogate_does_not_stop_it(kind: Kind) -> None:
    tokenizer = train_tokenizer(kind, TEXTS)
    assert tokenizer.decode(tokenizer.encode("cat \ud800")).startswith("cat")
    assert tokenizer.encode_batch(["the \udfff cat"]) == [tokenizer.encode("the \ufffd cat")]


@pytest.mark.parametrize("kind", KINDS)
def test_lowercase(kind: Kind) -> None:
    tokenizer = train_tokenizer(kind, TEXTS, lowercase=True)
    assert tokenizer.encode("THE CAT") == tokenizer.encode("the cat")
    assert tokenizer.decode(tokenizer.encode("THE CAT")) == "the cat"
    assert not any(token != token.lower() for token in tokenizer.vocabulary.tokens)


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_save_and_load(kind: Kind, lowercase: bool, tmp_path: Path) -> None:
    tokenizer = train_tokenizer(kind, TEXTS, lowercase=lowercase)
    tokenizer.save(tmp_path / "new" / "folder", "source")
    loaded = load_tokenizer(tmp_path / "new" / "folder", "source")
    assert loaded == tokenizer
    assert loaded.kind == kind
    assert loaded.vocabulary.sha256 == tokenizer.vocabulary.sha256
    assert loaded.encode_batch(TEXTS) == tokenizer.encode_batch(TEXTS)
    expected = {"source.json", "source.model"} if kind in ("unigram", "bpe") else {"source.json"}
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == expected
    written = json.loads((tmp_path / "new" / "folder" / "source.json").read_text())
    assert written["kind"] == kind
    assert written["options"] == {"lowercase": lowercase}
    assert len(written["sha256"]) == 64


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_is_the_users_to_mend(kind: Kind) -> None:
    for texts in ([], [""]):
        with pytest.raises(UserError, match=r"needs text, got none\. Give a corpus"):
            train_tokenizer(kind, texts)


# ---- characters ----


@given(st.lists(readable))
def test_characters_lose_nothing(texts: list[str]) -> None:
    tokenizer = Characters.train([*texts, "x"])
    assert [tokenizer.decode(tokenizer.encode(text)) for text in texts] == texts


def test_characters_vocabulary_limits() -> None:
    tokenizer = train_tokenizer("characters", ["aaabbc"], vocab_size=6)
    assert tokenizer.vocabulary.tokens[4:] == ("a", "b")
    assert train_tokenizer("characters", ["aaabbc"], min_count=3).vocabulary.tokens[4:] == ("a",)
    assert Characters.train(["\n "]).pieces([4, 5]) == ["⏎", "␣"]


# ---- words ----


@given(st.lists(readable))
def test_words_lose_nothing_but_white_space(texts: list[str]) -> None:
    tokenizer = Words.train([*texts, "x"])
    assert [tokenizer.decode(tokenizer.encode(text)) for text in texts] == [folded(text) for text in texts]


@given(st.text("a1'￭％f.,( ", max_size=20))
def test_joiners_and_escapes_in_the_text(text: str) -> None:
    tokens = [token for chunk in text.split() for token in split_chunk(chunk)]
    assert join_tokens(tokens) == folded(text)


@pytest.mark.parametrize(
    ("chunk", "tokens"),
    [
        ("Don't", ["Don", "￭'￭", "t"]),
        ("(he)", ["(￭", "he", "￭)"]),
        ("...", [".", "￭.", "￭."]),
        ("3.50", ["3", "￭.￭", "50"]),
        ("-", ["-"]),
        ("snake_case", ["snake_case"]),
        ("￭", ["％ffed"]),
        ("％ffed", ["％ff05￭", "ffed"]),
        ("हिन्दी", ["हिन्दी"]),  # vowel signs are marks, not letters
        ("cafe\u0301!", ["cafe\u0301", "￭!"]),
    ],
)
def test_how_words_are_split(chunk: str, tokens: list[str]) -> None:
    assert split_chunk(chunk) == tokens


def test_words_vocabulary_limits() -> None:
    tokenizer = train_tokenizer("words", ["a a a b b c"], vocab_size=6, min_count=2)
    assert tokenizer.vocabulary.tokens[4:] == ("a", "b")
    assert tokenizer.decode(tokenizer.encode("a c b")) == "a <unk> b"


# ---- spaces ----


@given(st.lists(st.one_of(readable, st.text("<s>a/％￭f03c d", max_size=12))))
def test_spaces_lose_nothing_but_white_space(texts: list[str]) -> None:
    tokenizer = Words.train([*texts, "x"], kind="spaces")
    encoded = tokenizer.encode_batch(texts)
    assert [tokenizer.decode(ids) for ids in encoded] == [folded(text) for text in texts]
    assert [len(ids) for ids in encoded] == [len(text.split()) for text in texts]
    assert all(i > UNK for ids in encoded for i in ids)  # no text spells a mark


def test_tokens_are_what_stands_between_spaces() -> None:
    tokenizer = train_tokenizer("spaces", ["I don ’ t. I do!", "I don't?"], lowercase=True)
    assert tokenizer.pieces(tokenizer.encode("I don't  don ’ t.")) == ["i", "<unk>", "don", "’", "t."]
    assert tokenizer.pieces(tokenizer.encode("I don't?")) == ["i", "don't?"]
    small = train_tokenizer("spaces", ["a, a, a, b b c"], vocab_size=6, min_count=2)
    assert small.vocabulary.tokens[4:] == ("a,", "b")


# ---- SentencePiece ----


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_subwords_are_the_same_every_time(kind: Kind) -> None:
    one, other = (train_tokenizer(kind, TEXTS * 20, vocab_size=80) for _ in range(2))
    assert one == other
    assert len(one.vocabulary) <= 80


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_small_text_gives_a_smaller_vocabulary_and_says_so(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="s2s"):
        tokenizer = train_tokenizer(kind, ["hello world", "the cat is here"], vocab_size=8000)
    size = len(tokenizer.vocabulary)
    assert 15 < size < 100
    assert f"{kind} vocabulary: asked for 8000 pieces, the text gave {size}" in caplog.text


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_size_below_the_characters_names_the_least(kind: Kind) -> None:
    with pytest.raises(
        UserError, match=rf"{kind} vocabulary of 10 pieces.*at least 17\. Raise vocab_size or lower char"
    ):
        train_tokenizer(kind, ["hello world", "the cat is here"], vocab_size=10)


def test_a_very_large_corpus_is_sampled_by_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s2s.text.subwords.LARGEST_SAMPLE", 20)
    texts = [f"{word}{word} {i}" for i, word in enumerate(["ab", "cd", "ef", "gh", "ij"] * 20)]
    one, again, other = (train_tokenizer("bpe", texts, vocab_size=60, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_subwords_normalise_to_nfkc_and_single_spaces() -> None:
    tokenizer = train_tokenizer("unigram", TEXTS)
    assert tokenizer.decode(tokenizer.encode("  the \u00a0 \n cat ")) == "the cat"


def test_long_texts_are_not_dropped() -> None:
    tokenizer = train_tokenizer("bpe", ["ab" * 5000 + "z"], vocab_size=20)
    assert UNK not in tokenizer.encode("z")


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_training_is_silent(kind: Kind) -> None:
    # In a process of its own: the library writes from C++, past sys.stderr.
    code = f"from s2s.text.tokenizer import train_tokenizer as t; t({kind!r}, ['a b c d', 'a d' * 40], vocab_size=99)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_importing_tokenizers_does_not_import_torch() -> None:
    code = "import s2s.text.tokenizer, s2s.corpus.read, s2s.corpus.toys, s2s.corpus.fetch, s2s.corpus.split, sys"
    assert (
        subprocess.run([sys.executable, "-c", f"{code}; sys.exit('torch' in sys.modules)"], check=False).returncode == 0
    )


# ---- files that are missing or damaged ----


def test_a_missing_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"joint\.json is missing: .*Give the folder of a finished run"):
        load_tokenizer(tmp_path, "joint")
    train_tokenizer("bpe", TEXTS).save(tmp_path, "joint")
    (tmp_path / "joint.model").unlink()
    with pytest.raises(UserError, match=r"joint\.model is missing"):
        load_tokenizer(tmp_path, "joint")


def test_a_truncated_model(tmp_path: Path) -> None:
    train_tokenizer("unigram", TEXTS).save(tmp_path, "joint")
    model = tmp_path / "joint.model"
    model.write_bytes(model.read_bytes()[:100])
    with pytest.raises(UserError, match=r"joint\.model is not a sound tokenizer file: its sha256.*joint\.json names"):
        load_tokenizer(tmp_path, "joint")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "syllables"}, "kind 'syllables'"),
        ({"tokens": ["<pad>", "<s>", "</s>", "<unk>", "b"]}, "do not have the sha256"),
        ({"tokens": ["a"]}, "starts with"),
        ({"tokens": [1]}, "is not a tokenizer of this version"),
        ({"options": {}}, "'lowercase' should be true or false, got None"),
        ({"options": {"lowercase": "no"}}, "'lowercase' should be true or false, got 'no'"),
        ({"sha256": 3}, "the fields kind, options, sha256 and tokens were expected"),
    ],
)
@pytest.mark.parametrize("kind", ["characters", "words"])
def test_a_changed_json_file(kind: Kind, change: dict[str, object], message: str, tmp_path: Path) -> None:
    train_tokenizer(kind, ["a"]).save(tmp_path, "source")
    path = tmp_path / "source.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=message):
        load_tokenizer(tmp_path, "source")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_json(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "source.json").write_bytes(content)
    with pytest.raises(UserError, match=r"source\.json is not a sound tokenizer file"):
        load_tokenizer(tmp_path, "source")


def test_a_model_that_is_none_with_a_right_hash(tmp_path: Path) -> None:
    Subwords("bpe", b"nonsense").save(tmp_path, "source")
    with pytest.raises(UserError, match=r"source\.model is not a sound tokenizer file"):
        load_tokenizer(tmp_path, "source")


def test_saving_over_a_file_leaves_no_litter_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_tokenizer("characters", ["a"]).save(tmp_path, "source")
    before = (tmp_path / "source.json").read_bytes()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        train_tokenizer("characters", ["b"]).save(tmp_path, "source")
    assert (tmp_path / "source.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["source.json"]

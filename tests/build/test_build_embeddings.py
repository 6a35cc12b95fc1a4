"""Embeddings that start from a file: what is found, what is not, both sides, and freezing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from s2s.build.embeddings import fill_embeddings
from s2s.build.model import build_model
from s2s.build.text import Tokenizers
from s2s.config import Model
from s2s.corpus.mapped.make import open_store
from s2s.corpus.mapped.pairs import MappedPairs
from s2s.corpus.read import Pair
from s2s.errors import UserError
from s2s.models import Seq2Seq
from s2s.text.subwords import Subwords
from s2s.text.words import Words

GERMAN, ENGLISH = (Words.train([text], vocab_size=None) for text in ("das Haus steht", "the house stands"))
PAIRS = [Pair("das Haus steht", "the house stands")]
BOTH = Words.train(["das Haus steht", "the house stands"], vocab_size=None)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "vectors.txt"
    path.write_text("Haus 1 2 3\nhouse 4 5 6\nthe 7 8 9\nother 0 0 0\n", encoding="utf-8")
    return str(path)


def built(
    tokenizers: Tokenizers, keys: dict[str, Any], pairs: Sequence[Pair] = PAIRS
) -> tuple[Seq2Seq, Seq2Seq, list[str]]:
    """The model as it starts without a file and with it, and the notes."""
    made = []
    for chosen in ({"tie": keys.get("tie", "none")}, keys):
        model = Model.model_validate({"hidden_size": 4, "embedding_size": 3, **chosen})
        torch.manual_seed(1)
        sizes = len(tokenizers.source.vocabulary), len(tokenizers.target.vocabulary)
        whole = build_model(model, source_vocabulary=sizes[0], target_vocabulary=sizes[1])
        made.append((whole, fill_embeddings(model, whole, tokenizers, pairs)))
    assert made[0][1] == []
    return made[0][0], made[1][0], made[1][1]


def row(model: Seq2Seq, side: str, tokenizer: Words, word: str) -> list[float]:
    (token,) = tokenizer.vocabulary.ids([word])
    return getattr(model, side).embedding.weight[token].tolist()  # type: ignore[no-any-return]


def test_both_sides_take_what_they_find(file: str) -> None:
    plain, filled, notes = built(Tokenizers(GERMAN, ENGLISH), {"embeddings": file})
    assert row(filled, "encoder", GERMAN, "Haus") == [1, 2, 3]
    assert row(filled, "decoder", ENGLISH, "the") == [7, 8, 9]
    for side, tokenizer, missing in (("encoder", GERMAN, "das"), ("decoder", ENGLISH, "stands")):
        for word in (missing, "<unk>", "<s>"):
            assert row(filled, side, tokenizer, word) == row(plain, side, tokenizer, word)
    assert not filled.encoder.embedding.weight[0].any()
    assert notes[0].endswith(
        "4 vectors of 3; 1 of the encoder's 3 tokens (33.3 %) start from them, 33.3 % of the tokens of its texts;"
        " 2 start at random"
    )
    assert "2 of the decoder's 3 tokens (66.7 %)" in notes[1]


def test_one_side_alone(file: str) -> None:
    plain, filled, notes = built(Tokenizers(GERMAN, ENGLISH), {"encoder": {"embeddings": ""}, "embeddings": file})
    assert torch.equal(plain.encoder.embedding.weight, filled.encoder.embedding.weight)
    assert row(filled, "decoder", ENGLISH, "house") == [4, 5, 6]
    assert len(notes) == 1


def test_tied_tables_are_filled_once(file: str) -> None:
    _, filled, notes = built(Tokenizers(BOTH, BOTH), {"embeddings": file, "tie": "all", "attention": "luong"})
    assert row(filled, "encoder", BOTH, "Haus") == [1, 2, 3]
    assert filled.output.weight is filled.decoder.embedding.table.weight is filled.encoder.embedding.table.weight
    assert len(notes) == 1


def test_another_width_names_both(file: str) -> None:
    model = Model(hidden_size=4, embedding_size=5, embeddings=file)
    whole = build_model(model, source_vocabulary=7, target_vocabulary=7)
    with pytest.raises(UserError, match=r"vectors of 3 numbers, but the encoder's embedding has 5.*embedding_size = 3"):
        fill_embeddings(model, whole, Tokenizers(GERMAN, ENGLISH), PAIRS)


def test_frozen_tables_do_not_learn() -> None:
    model = Model(hidden_size=4, embedding_size=3, freeze_embeddings=True)
    whole = build_model(model, source_vocabulary=7, target_vocabulary=7)
    assert {name for name, p in whole.named_parameters() if not p.requires_grad} == {
        "encoder.embedding.table.weight",
        "decoder.embedding.table.weight",
    }
    one = build_model(
        Model(tie="decoder", encoder={"freeze_embeddings": True}),  # type: ignore[arg-type]
        source_vocabulary=7,
        target_vocabulary=7,
    )
    assert one.output.weight.requires_grad
    assert not one.encoder.embedding.weight.requires_grad


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"freeze_embeddings": True, "tie": "decoder"}, "output layer is the embedding"),
        ({"encoder": {"freeze_embeddings": True}, "tie": "all"}, "output layer is the embedding"),
        ({"encoder": {"embeddings": "a.txt"}, "tie": "all"}, "name one file: model.embeddings"),
    ],
    ids=str,
)
def test_choices_that_do_not_fit(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Model.model_validate(keys)


def test_subwords_start_from_means(file: str) -> None:
    pairs = [Pair("das Haus steht", "the house"), Pair("Haus", "house the house")]
    tokenizer = Subwords.train("bpe", [text for pair in pairs for text in pair], vocab_size=40)
    _, filled, notes = built(Tokenizers(tokenizer, tokenizer), {"embeddings": file, "tie": "all"}, pairs)
    table = dict(zip(tokenizer.vocabulary.tokens, filled.encoder.embedding.weight.tolist(), strict=True))
    assert {tuple(table[piece]) for piece in tokenizer.cut("Haus")} >= {(1, 2, 3)}
    assert "start from means of them" in notes[0]


def test_vectors_that_cover_nothing_are_refused(file: str) -> None:
    model = Model(hidden_size=4, embedding_size=3, embeddings=file)
    whole = build_model(model, source_vocabulary=6, target_vocabulary=6)
    other = Words.train(["xx yy"])
    with pytest.raises(
        UserError, match=r"none of the encoder's 2 tokens: they are like 'xx', 'yy', its words like"
    ) as no:
        fill_embeddings(model, whole, Tokenizers(other, other), [Pair("xx yy", "xx")])
    assert "'Haus', 'house', 'the'" in str(no.value)
    assert 'model.encoder.embeddings = ""' in str(no.value)


def test_a_mapped_corpus_is_counted_too(file: str, tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("das Haus steht\tthe house stands\n", encoding="utf-8")
    store = open_store([tmp_path / "pairs.tsv"], tmp_path / "stores")
    notes = built(Tokenizers(GERMAN, ENGLISH), {"embeddings": file}, MappedPairs((store,)))[2]
    assert notes == built(Tokenizers(GERMAN, ENGLISH), {"embeddings": file})[2]

"""The configuration: what is refused and in which words, and that a written one reads back the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from s2s.config import Config, Section
from s2s.config.io import all_keys, check, merge, parse_overrides, read_toml
from s2s.errors import UserError


def refused(*words: str) -> str:
    with pytest.raises(UserError) as caught:
        check(parse_overrides(words), "run.toml")
    return str(caught.value)


# ---- unknown keys


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("training.epoch=3", "training.epochs"),
        ("trainin.epochs=3", "training"),
        ("model.encoder.hiden_size=3", "model.encoder.hidden_size"),
        ("training.hidden_size=3", "model.hidden_size"),
        ("hidden_size=3", "model.hidden_size"),
        ("model.encoder.beam=3", "search.beam"),
        ("serve.prot=1", "serve.port"),
        ("model.atention=none", "model.attention"),
        ("nme=x", "name"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(word: str, near: str) -> None:
    key = word.partition("=")[0]
    found = refused(word)
    where = "trainin" if key.startswith("trainin.") else key
    assert f"{where}: unknown key; did you mean {near}?" in found


def test_a_key_like_no_other_points_to_the_list() -> None:
    assert "zzz: unknown key; `s2s config explain` lists all keys" in refused("zzz=1")


def test_every_misspelt_key_is_found_again() -> None:
    for key in all_keys():
        if len(key.rpartition(".")[2]) >= 5:
            assert f"did you mean {key}?" in refused(f"{key}x=1"), key


def test_all_problems_stand_together() -> None:
    words = ["training.epochs=many", "model.core=gruu", "data.fil=x", "model.decays=[0.5,2.0]", "search.beam=0"]
    found = refused(*words).splitlines()
    assert found[0] == "run.toml: 5 problems in the configuration"
    assert len(found) == 6
    for word in (
        "training.epochs = 'many'",
        "model.core = 'gruu'",
        "data.fil: ",
        "model.decays.1 = 2.0",
        "search.beam = 0",
    ):
        assert sum(word in line for line in found) == 1, word


# ---- types and bounds


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("training.epochs=true", "training.epochs = True: input should be a valid integer"),
        ('training.epochs="5"', "training.epochs = '5': input should be a valid integer"),
        ("training.epochs=1.5", "training.epochs = 1.5: input should be a valid integer"),
        ("training.learning_rate=fast", "training.learning_rate = 'fast': input should be a valid number"),
        ("training.learning_rate=nan", "finite"),
        ("training.learning_rate=0", "greater than 0"),
        ("model.dropout=1.0", "less than 1"),
        ("model.dropout=-0.1", "greater than or equal to 0"),
        ("model.hidden_size=0", "greater than or equal to 1"),
        ("model.hidden_size=none", "model.hidden_size = 'none'"),
        ("model.peeky=yes", "model.peeky = 'yes': input should be a valid boolean (true or false)"),
        ("model.decays=[]", "at least 1"),
        ("model.decays=0.5", "valid list"),
        ("training.betas=[0.9]", "training.betas"),
        ("training.betas=[0.9,1.0]", "training.betas.1 = 1.0"),
        ("model.attention=loung", "'bahdanau', 'luong', 'book' or 'joey'"),
        ("model.core=lstmm", "Did you mean lstm?"),
        ("model.core=python:module", "no such core"),
        ("model.decoder.core=foo", "model.decoder.core = 'foo': no such core"),
        ("model.core=5", "model.core = 5: input should be a valid string"),
        ("model=5", "model = 5: this is a section"),
        ("name=5", "name = 5: input should be a valid string"),
        ("serve.port=65536", "less than or equal to 65535"),
        ("training.threads=5000", "more threads than any machine has"),
        ('data.train=["a","b","c"]', "one file of pairs, or two parallel files"),
        ("data.train=[1]", "data.train.0 = 1"),
    ],
)
def test_impossible_values(word: str, message: str) -> None:
    assert message in refused(word)


# ---- rules between keys


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.decoder.bidirectional=true"], "a decoder writes from left to right"),
        (["model.bridge=copy"], "bidirectional must be false"),
        (["model.bridge=copy", "model.bidirectional=false", "model.decoder.core=gru"], "core must be equal"),
        (["model.bridge=copy", "model.bidirectional=false", "model.encoder.layers=2"], "layers must be equal"),
        (["model.bridge=copy", "model.bidirectional=false", "model.encoder.hidden_size=2"], "hidden_size must be"),
        (["model.attention=none", "model.attention_score=dot"], "takes no attention_score"),
        (["model.attention=bahdanau", "model.attention_feed=attentional"], "attention_query = 'current'"),
        (["model.attention=joey", "model.attention_query=previous"], "attention_query = 'current'"),
        (["training.epochs=none"], "one of epochs, updates, minutes"),
        (["training.batch_tokens=none"], "one of batch_size, batch_tokens"),
        (["training.schedule=cosine", "training.epochs=none", "training.minutes=1"], "needs epochs or updates"),
        (["training.schedule=noam"], "needs warmup above 0"),
        (["model.tie=all"], "text.shared = true"),
        (["model.tie=all", "text.shared=true", "model.encoder.embedding_size=8"], "same embedding_size"),
        (["training.metric=bleu", "training.decode_limit=0"], "decode_limit above 0"),
    ],
)
def test_rules_between_keys(words: list[str], message: str) -> None:
    assert message in refused(*words)


@pytest.mark.parametrize(
    "words",
    [
        ["model.bridge=copy", "model.bidirectional=false"],
        ["model.attention=joey", "model.attention_query=previous", "model.attention_feed=context"],
        ["model.tie=all", "text.shared=true"],
        ["training.epochs=none", "training.minutes=0.5"],
        ["training.metric=token_accuracy", "training.decode_limit=0"],
        ["model.core=python:my.module:Core"],
    ],
)
def test_what_the_rules_allow(words: list[str]) -> None:
    check(parse_overrides(words), "x")


def test_sides_inherit_and_win() -> None:
    words = ["model.core=sru", "model.hidden_size=8", "model.decoder.hidden_size=16", "model.encoder.core=gru"]
    model = check(parse_overrides(words), "x").model
    encoder, decoder = model.side("encoder"), model.side("decoder")
    assert (encoder.core, encoder.hidden_size, encoder.bidirectional) == ("gru", 8, True)
    assert (decoder.core, decoder.hidden_size, decoder.bidirectional) == ("statistical", 16, False)


def test_a_side_may_say_false_and_zero() -> None:
    model = check(
        parse_overrides(["model.dropout=0.5", "model.encoder.dropout=0", "model.encoder.bidirectional=false"]), "x"
    )
    assert model.model.side("encoder").dropout == 0.0
    assert not model.model.side("encoder").bidirectional
    assert model.model.side("decoder").dropout == 0.5


def test_nothing_changes_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().training.epochs = 3


# ---- none


def test_none_leaves_a_key_empty_only_where_that_is_allowed() -> None:
    config = check(parse_overrides(["training.clip_norm=none", "text.vocab_size=none", "model.attention=none"]), "x")
    assert config.training.clip_norm is None
    assert config.text.vocab_size is None
    assert config.model.attention == "none"


def test_none_is_a_choice_of_the_feed() -> None:
    words = ["model.attention=joey", "model.attention_feed=none"]
    assert check(parse_overrides(words), "x").model.attention_feed == "none"
    assert check(parse_overrides(words[:1]), "x").model.attention_feed is None


# ---- overrides and files


def test_overrides_are_toml_values_or_strings() -> None:
    words = [
        "a.b.c=5", "a.b.d=1e-3", "a.e=true", 'a.f="5"', "a.g=[0.5, 0.9]", "a.h=plain text", "i=", "a.j=x=y", "k=a.tsv",
        'l=["a b", "c"]', "m=-1", "n={x = 1}",
    ]  # fmt: skip
    assert parse_overrides(words) == {
        "a": {"b": {"c": 5, "d": 1e-3}, "e": True, "f": "5", "g": [0.5, 0.9], "h": "plain text", "j": "x=y"},
        "i": "",
        "k": "a.tsv",
        "l": ["a b", "c"],
        "m": -1,
        "n": {"x": 1},
    }


def test_the_last_override_wins_and_values_are_no_tables() -> None:
    assert parse_overrides(["a.b=1", "a.b=2"]) == {"a": {"b": 2}}
    with pytest.raises(UserError, match=r"a\.b\.c=2.*b was given a value before"):
        parse_overrides(["a.b=1", "a.b.c=2"])


def test_one_path_needs_no_brackets() -> None:
    data = check(parse_overrides(["data.train=a.tsv", 'data.valid=["b.de", "b.en"]']), "x").data
    assert data.train == ["a.tsv"]
    assert data.valid == ["b.de", "b.en"]


def test_later_tables_win_key_by_key() -> None:
    first: dict[str, Any] = {"a": {"b": 1, "c": 2}, "d": [1]}
    assert merge(first, {"a": {"c": 3}, "d": [2]}, {"e": 4}) == {"a": {"b": 1, "c": 3}, "d": [2], "e": 4}
    assert first == {"a": {"b": 1, "c": 2}, "d": [1]}


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    with pytest.raises(UserError, match="no such file"):
        read_toml(path)
    path.write_text("[model\ncore = 1\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"not valid TOML.*line 1"):
        read_toml(path)
    path.write_bytes(b'name = "\xff"\n')
    with pytest.raises(UserError, match="can't be read"):
        read_toml(path)
    with pytest.raises(UserError, match="can't be read"):
        read_toml(tmp_path)
    path.write_text('name = "é"\n', encoding="utf-8")
    assert read_toml(path) == {"name": "é"}


def test_every_section_refuses_what_it_does_not_know() -> None:
    def sections(section: type[Section]) -> list[type[Section]]:
        inner = [f.annotation for f in section.model_fields.values()]
        return [section] + [x for s in inner if isinstance(s, type) and issubclass(s, Section) for x in sections(s)]

    for section in sections(Config):
        assert section.model_config["extra"] == "forbid"
        assert section.model_config["strict"]
        assert section.model_config["frozen"]

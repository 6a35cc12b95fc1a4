"""A configuration in words: written, read back, and explained key by key."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.config import Config
from s2s.config.io import all_keys, check, dump, explain
from s2s.errors import UserError

# ---- round trip

words = st.text(st.characters(codec="utf-8"), max_size=12)
positive = st.integers(1, 10**6)
small = st.floats(0.0, 1.0, exclude_max=True)


def some(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of the keys."""
    return st.fixed_dictionaries({}, optional=keys)


trees = some(
    name=words,
    data=some(
        train=st.lists(words, max_size=2),
        root=words,
        max_source=st.none() | positive,
        max_ratio=st.none() | st.floats(1.0, 1e9, exclude_min=True),
        skip_bad=st.booleans(),
    ),
    text=some(vocab_size=st.none() | positive, lowercase=st.booleans()),
    model=some(
        core=st.sampled_from(["gru", "sru", "python:a.b:C"]),
        attention=st.sampled_from(["joey", "book"]),
        attention_feed=st.sampled_from(["none", "context", None]),
        dropout=small,
        decays=st.lists(small, min_size=1, max_size=4),
        forget_bias=st.none() | st.floats(-1e6, 1e6),
        encoder=some(core=st.just("rwa"), dropout=small, layers=positive),
    ),
    training=some(
        clip_norm=st.none() | st.floats(1e-30, 1e30),
        betas=st.tuples(small, small),
        epsilon=st.floats(5e-324, 1.0),
        minutes=st.none() | st.floats(1e-3, 1e5),
    ),
)


@given(trees)
def test_a_written_configuration_reads_back_the_same(tree: dict[str, Any]) -> None:
    config = check(tree, "x")
    text = dump(config, header=["one", "two"], reasons={"model.core": "because"})
    assert check(tomllib.loads(text), "x") == config


def test_the_defaults_read_back_and_all_of_them_are_written() -> None:
    text = dump(Config(), header=["A run."], reasons={"model.core": "chosen", "training.epochs": "enough"})
    assert text.startswith("# A run.\n")
    assert 'core = "lstm" # chosen' in text
    assert check(tomllib.loads(text), "x") == Config()
    written = _keys(tomllib.loads(text))
    optional = {key for key, default, _, _ in explain() if default in ("none", "not set")}
    assert set(all_keys()) - written <= optional
    assert 'clip_norm = "none"' in dump(check({"training": {"clip_norm": "none"}}, "x"))


def _keys(tree: dict[str, Any], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for key, value in tree.items():
        found |= _keys(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}"}
    return found


# ---- explain


def test_every_key_is_explained() -> None:
    found = list(explain())
    assert [key for key, *_ in found] == all_keys()
    assert len(found) > 90
    for key, default, allowed, meaning in found:
        assert meaning, key
        assert meaning.endswith("."), key
        assert allowed, key
        empty = ("name", "corpus", "root", "store", "source_lang", "target_lang")
        assert default != "" or key.split(".")[-1] in empty, key
        assert "any" not in allowed.split(" | "), key


def test_what_explain_says() -> None:
    rows = {key: (default, allowed) for key, default, allowed, _ in explain()}
    assert rows["training.epochs"] == ("10", "whole number >= 0 | none")
    assert rows["training.updates"] == ("none", "whole number >= 0 | none")
    assert rows["model.peeky"] == ("false", "true | false")
    assert rows["model.attention_feed"] == ("not set", "none | context | attentional")
    assert rows["model.encoder.core"][1].startswith("elman | lstm | gru")
    assert [key for key, *_ in explain("serve")][:4] == [
        f"serve.{name}" for name in ("host", "port", "char_limit", "batch_limit")
    ]
    assert [key for key, *_ in explain("training.seed")] == ["training.seed"]
    with pytest.raises(UserError, match=r"training\.sed: unknown key; did you mean training\.seed\?"):
        list(explain("training.sed"))

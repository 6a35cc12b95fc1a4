"""Training on mapped pairs through the command line: the same run as in memory, resumed exactly, refused clearly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cli_tools import PHRASES, SMALL, ran, refused, s2s, same_run, train

from s2s.build import corpus

RUN = (
    *SMALL,
    "text.tokenizer=characters",
    "training.epochs=none",
    "training.updates=12",
    "training.validate_every=6",
    "training.batch_size=8",
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """The phrases in a file that a test may change."""
    return Path(shutil.copy(PHRASES, tmp_path / "pairs.de-en.tsv"))


def stores(root: Path) -> list[Path]:
    return [path for path in root.iterdir() if path.is_dir()]


def test_the_same_run_as_in_memory(pairs: Path, tmp_path: Path, cache: Path) -> None:
    words = (pairs, *RUN, "data.drop_duplicates=true", "data.max_source=30")
    valid = ("--valid", pairs)
    train(*words, *valid, "-o", tmp_path / "memory")
    result = train(*words, *valid, "data.mapped=always", "-o", tmp_path / "mapped")
    assert same_run(tmp_path / "memory", tmp_path / "mapped")
    assert "mapped 62 pairs into" in result.err
    assert "dropped" in result.err
    assert len(stores(cache / "stores")) == 1
    again = train(*words, *valid, "data.mapped=always", "-o", tmp_path / "again")
    assert "mapped 62 pairs" not in again.err


def test_large_files_are_mapped_by_themselves(
    pairs: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "LARGE", pairs.stat().st_size)
    train(pairs, *RUN, "-o", tmp_path / "run", f"data.store={tmp_path / 'elsewhere'}")
    assert len(stores(tmp_path / "elsewhere")) == 1
    monkeypatch.setattr(corpus, "LARGE", pairs.stat().st_size + 1)
    train(pairs, *RUN, "-o", tmp_path / "other")
    assert not cache.exists()


def test_resumed_exactly_with_pairs_held_out(pairs: Path, tmp_path: Path, cache: Path) -> None:
    words = (pairs, *RUN, "data.mapped=always", "text.tokenizer=unigram", "text.subword_sampling=0.2")
    train(*words, "-o", tmp_path / "whole")
    train(*words, "training.updates=6", "-o", tmp_path / "half")
    shutil.rmtree(cache)  # the store is made again
    again = train("--resume", tmp_path / "half", "training.updates=12")
    assert same_run(tmp_path / "whole", tmp_path / "half")
    assert "mapped 62 pairs" in again.err
    assert "mapped 62 pairs" not in train("--resume", tmp_path / "half", "training.updates=13").err
    assert "mapped 62 pairs" not in train("--resume", tmp_path / "whole", "training.updates=13").err
    assert len(stores(cache / "stores")) == 1


def test_other_pairs_are_not_resumed(pairs: Path, tmp_path: Path) -> None:
    train(pairs, *RUN, "data.mapped=always", "-o", tmp_path / "run")
    pairs.write_text(pairs.read_text(encoding="utf-8") + "neu\tnew\n", encoding="utf-8")
    result = s2s("train", "--resume", tmp_path / "run", "training.updates=20")
    refused(result, "the training or validation data is not what this run began with")


def test_a_mix_of_mapped_corpora(pairs: Path, tmp_path: Path, cache: Path) -> None:
    more = tmp_path / "more.tsv"
    more.write_text("".join(f"zahl {n}\tnumber {n}\n" for n in range(40)))
    recipe = tmp_path / "mix.toml"
    recipe.write_text(
        f'[data]\ntrain = ["{pairs}"]\nvalid = ["{pairs}"]\nweight = 1.0\n'
        f'[[data.mix]]\ntrain = ["{more}"]\nweight = 3.0\n'
    )
    train(recipe, *RUN, "-o", tmp_path / "memory")
    train(recipe, *RUN, "data.mapped=always", "-o", tmp_path / "mapped")
    assert len(stores(cache / "stores")) == 2
    assert same_run(tmp_path / "memory", tmp_path / "mapped")


def test_the_run_is_evaluated_on_what_it_held_out(pairs: Path, tmp_path: Path) -> None:
    train(pairs, *RUN, "data.mapped=always", "-o", tmp_path / "run")
    result = s2s("evaluate", tmp_path / "run")
    assert result.code == 0, result.err
    assert "6 pairs" in result.out


def test_damage_is_refused_and_nothing_is_left(pairs: Path, tmp_path: Path, cache: Path) -> None:
    words = ("train", pairs, *RUN, "data.mapped=always", "-o", tmp_path / "run")
    train(*words[1:])
    [store] = stores(cache / "stores")
    with (store / "text").open("ab") as text:
        text.truncate(100)
    result = s2s(*words, "--overwrite")
    refused(result, "this store of a corpus is damaged: its file text has 100 bytes", "Remove the folder")
    shutil.rmtree(store)
    assert s2s(*words, "--overwrite").code == 0


def test_bad_lines_are_refused_and_counted(pairs: Path, tmp_path: Path) -> None:
    pairs.write_text(pairs.read_text(encoding="utf-8") + "alone\n", encoding="utf-8")
    words = (pairs, *RUN, "data.mapped=always", "-o", tmp_path / "run")
    refused(s2s("train", *words), "pairs.de-en.tsv, line 63: found 1 column", "--skip-bad")
    assert not (tmp_path / "run").exists()
    assert "skipped 1 bad line of" in train(*words, "--skip-bad").err


def test_what_can_not_be_mapped(tmp_path: Path) -> None:
    refused(
        s2s("train", "-", "data.mapped=always", stdin=b"a\tb\n"),
        "data.mapped is 'always', but what is generated or comes from standard input is held in memory",
    )
    place = tmp_path / "file"
    place.write_text("")
    result = s2s("train", PHRASES, "data.mapped=always", f"data.store={place}", "-o", tmp_path / "run")
    refused(result, "the store of the corpus could not be written", "data.store")


def test_with_workers(tmp_path: Path) -> None:
    """As a program of its own, over more pairs than one worker reads at once."""
    path = tmp_path / "many.tsv"
    path.write_text("".join(f"zahl {n}\tnumber {n % 100}\n" for n in range(45_000)))
    done = ran(
        *("train", path, *RUN, "data.mapped=always", "training.updates=2", "data.valid_size=20", "-o", "run"),
        folder=tmp_path,
        S2S_CACHE=str(tmp_path / "cache"),
    )
    assert done.code == 0, done.err
    assert "mapped 45,000 pairs into" in done.err
    assert "44,980 training pairs" in done.err


def test_one_file_of_json_lines_for_two_directions(tmp_path: Path, cache: Path) -> None:
    """Each direction has a store of its own, found again by a run that goes on; the keys are the name's languages."""
    rows = [{"translation": {"de": "ab" * (1 + n % 3), "en": "ba", "fr": "aabbaabb"}} for n in range(40)]
    file = tmp_path / "all.de-en.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    mix = f'data.mix=[{{train = "{file}", target_lang = "fr"}}]'
    words = (file, *RUN, "text.tags=true", mix)
    train(*words, "data.mapped=always", "-o", tmp_path / "mapped", "--valid", file)
    assert len(stores(cache / "stores")) == 2
    train(*words, "-o", tmp_path / "memory", "--valid", file)
    assert same_run(tmp_path / "memory", tmp_path / "mapped")
    again = train("--resume", tmp_path / "mapped", "training.updates=13")
    assert "mapped" not in again.err.replace(str(tmp_path / "mapped"), "")
    assert len(stores(cache / "stores")) == 2


def test_a_generator_is_no_part_of_a_mix(pairs: Path, tmp_path: Path) -> None:
    result = s2s("train", pairs, *RUN, 'data.mix=[{corpus = "dates"}]', "-o", tmp_path / "run")
    refused(result, "dates", "is generated")

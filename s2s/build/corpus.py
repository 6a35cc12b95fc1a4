"""The pairs that a configuration names: from files, from a corpus card, or from a generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from s2s import resources
from s2s.config import Data
from s2s.corpus import fetch
from s2s.corpus.read import Pair, languages_of, read_pairs
from s2s.corpus.split import hold_out, overlap
from s2s.corpus.toys import dates
from s2s.errors import UserError

GENERATORS = ("dates",)
STDIN = "-"


@dataclass(frozen=True)
class Corpus:
    """The pairs of a run and what its reader should know about them."""

    train: list[Pair]
    valid: list[Pair]
    test: list[Pair]
    source_lang: str
    target_lang: str
    notes: list[str] = field(default_factory=list)


def load_corpus(data: Data, *, stdin: Path | None = None) -> Corpus:
    """Read (or make) every pair of a run.

    Args:
        data: the `[data]` section.
        stdin: where standard input was spooled to, for a path of `-`.

    Raises:
        UserError: whatever is wrong with the files, or nothing was named.
    """
    notes: list[str] = []
    if data.corpus in GENERATORS:
        made = dates(train=data.train_size, valid=data.valid_size, test=data.test_size, seed=data.seed)
        parts = (made["train"], made["valid"], made["test"])
        languages: tuple[str | None, str | None] = (None, None)
    else:
        paths, languages = _paths(data)
        train, valid, test = (_read(data, part, stdin, notes) for part in paths)
        if not valid:
            count = max(1, min(data.valid_size, len(train) // 10))
            train, valid = hold_out(train, count=count, seed=data.seed)
            notes.append(f"held out {len(valid):,} of {len(train) + len(valid):,} pairs for validation")
        parts = (train, valid, test)
    leak = overlap(parts[0], parts[2] or parts[1])
    if leak:
        notes.append("warning: " + (leak.sentence() if parts[2] else leak.sentence().replace("test", "validation")))
    source = data.source_lang or languages[0] or "src"
    target = data.target_lang or languages[1] or "tgt"
    return Corpus(*parts, source, target, notes)


def _paths(data: Data) -> tuple[tuple[Sequence[str], Sequence[str], Sequence[str]], tuple[str | None, str | None]]:
    """The files of train, valid and test, and the languages that their names give away."""
    if not data.corpus:
        if not data.train:
            raise UserError(
                "no training data: name a file of pairs, two parallel files, or data.corpus (`s2s data list`)"
            )
        return (data.train, data.valid, data.test), languages_of(data.train)
    card = fetch.card(data.corpus)
    source, target = data.source_lang or card.languages[0], data.target_lang or card.languages[1]
    root = Path(data.root) if data.root else None
    folder = fetch.fetch(card, cache=resources.cache() / "corpora", source=root, languages=(source, target))
    named = {
        part: [str(path) for path in card.paths(folder, part, source, target)] if part in card.splits else []
        for part in ("train", "valid", "test")
    }
    return (
        data.train or named["train"],
        data.valid or named["valid"],
        data.test or named["test"],
    ), (source, target)


def _read(data: Data, paths: Sequence[str], stdin: Path | None, notes: list[str]) -> list[Pair]:
    if not paths:
        return []
    places: list[str | Path] = [stdin if path == STDIN and stdin is not None else path for path in paths]
    keys = (data.source_lang or "source", data.target_lang or "target")
    try:
        result = read_pairs(places, format=data.format, skip_bad=data.skip_bad, source_key=keys[0], target_key=keys[1])
    except UserError as error:
        raise UserError(str(error).replace(str(stdin), "standard input")) from None
    if result.bad:
        notes.append(f"skipped {result.bad:,} bad lines of {result.where.replace(str(stdin), 'standard input')}")
    return result.pairs

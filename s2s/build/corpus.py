"""The pairs that a configuration names: from files, from a corpus card, or from a generator."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from s2s import resources
from s2s.build.say import counted
from s2s.config import Data, Mixed
from s2s.corpus import fetch
from s2s.corpus.direction import check_direction
from s2s.corpus.mapped.make import open_store
from s2s.corpus.mapped.pairs import MappedPairs
from s2s.corpus.read import Pair, languages_of, read_pairs
from s2s.corpus.split import corpus_hash, hold_out, overlap
from s2s.corpus.toys import addition, dates
from s2s.errors import UserError

GENERATORS = {"dates": dates, "addition": addition}
STDIN = "-"
LARGE = 256 * 2**20
"""Bytes of training files from which on their pairs are mapped, since in memory they take some twelve times as many."""
SOURCE, TARGET = "src", "tgt"
"""What languages are called that nothing names."""


Pairs = list[Pair] | MappedPairs
_Files = tuple[Sequence[str], Sequence[str], Sequence[str]]


@dataclass(frozen=True)
class Part:
    """Training pairs of one origin, which stand together."""

    name: str
    pairs: int
    source_lang: str
    target_lang: str
    weight: float | None


@dataclass(frozen=True)
class Corpus:
    """The pairs of a run and what its reader should know about them; `parts` of `train` in order, the main one first.

    Validation and test pairs, and the languages, are those of the main part.
    """

    train: Sequence[Pair]
    valid: list[Pair]
    test: list[Pair]
    source_lang: str
    target_lang: str
    parts: Sequence[Part]
    notes: list[str] = field(default_factory=list)

    @property
    def sha256(self) -> str:
        """Of the training and validation pairs."""
        if isinstance(self.train, MappedPairs):
            return hashlib.sha256(f"{self.train.sha256} {corpus_hash(self.valid)}".encode()).hexdigest()
        return corpus_hash([*self.train, *self.valid])

    @property
    def directions(self) -> list[tuple[str, str]]:
        """Source and target language of the parts, each pair once."""
        return list(dict.fromkeys((part.source_lang, part.target_lang) for part in self.parts))

    @property
    def targets(self) -> list[str]:
        """The languages that are translated to."""
        return list(dict.fromkeys(target for _, target in self.directions))


def load_corpus(data: Data, *, stdin: Path | None = None) -> Corpus:
    """Read (or make) every pair of a run.

    Args:
        data: the `[data]` section.
        stdin: where standard input was spooled to, for a path of `-`.

    Raises:
        UserError: whatever is wrong with the files, or nothing was named.
    """
    notes: list[str] = []
    paths, languages = _paths(data)
    source = data.source_lang or languages[0] or SOURCE
    target = data.target_lang or languages[1] or TARGET
    sections = [_section(data, mixed, (source, target)) for mixed in data.mix]
    more = [_paths(section)[0][0] for section in sections]
    read = partial(_map if _maps(data, [paths[0], *more]) else _read, stdin=stdin, notes=notes)
    train, valid, test = _main(data, paths, read, stdin, notes)
    parts = [Part(_name(data.corpus, data.train), len(train), source, target, data.weight)]
    alike = train
    for mixed, section, files in zip(data.mix, sections, more, strict=True):
        pairs = read(section, files)
        train = _joined(train, pairs)
        alike = _joined(alike, pairs) if section.target_lang == target else alike
        name = _name(mixed.corpus, mixed.train)
        parts.append(Part(name, len(pairs), section.source_lang, section.target_lang, mixed.weight))
    leak = alike.overlap(test or valid) if isinstance(alike, MappedPairs) else overlap(alike, test or valid)
    if leak:
        notes.append("warning: " + (leak.sentence() if test else leak.sentence().replace("test", "validation")))
    return Corpus(train, valid, test, source, target, parts, notes)


def _main(
    data: Data, paths: _Files, read: Callable[..., Pairs], stdin: Path | None, notes: list[str]
) -> tuple[Pairs, list[Pair], list[Pair]]:
    """Train, valid and test without the mix."""
    if data.corpus in GENERATORS:
        make = GENERATORS[data.corpus]
        made = make(train=data.train_size, valid=data.valid_size, test=data.test_size, seed=data.seed)
        return made["train"], made["valid"], made["test"]
    train = read(data, paths[0])
    valid, test = (_read(data, part, stdin=stdin, notes=notes) for part in paths[1:])
    if not valid:
        count = max(1, min(data.valid_size, len(train) // 10))
        if isinstance(train, MappedPairs):
            train, valid = train.hold_out(count=count, seed=data.seed)
        else:
            train, valid = hold_out(train, count=count, seed=data.seed)
        notes.append(f"held out {len(valid):,} of {len(train) + len(valid):,} pairs for validation")
    return train, valid, test


def _joined(first: Pairs, second: Pairs) -> Pairs:
    if isinstance(first, MappedPairs) and isinstance(second, MappedPairs):
        return first + second
    return [*first, *second]


def _section(data: Data, mixed: Mixed, main: tuple[str, str]) -> Data:
    """One `[[data.mix]]`; what it does not say is as in `[data]`.

    File suffixes count where the main languages have names, so that a suffix alone makes no second language.
    """
    if mixed.corpus in GENERATORS:
        raise UserError(
            f"[[data.mix]] corpus = {mixed.corpus!r}: is generated, expected a corpus card or files (train); only the"
            " main corpus can be generated"
        )
    found = languages_of(mixed.train)
    own = {
        "corpus": mixed.corpus,
        "train": mixed.train,
        "valid": [],
        "test": [],
        "format": mixed.format,
        "source_lang": mixed.source_lang or (main[0] != SOURCE and found[0]) or main[0],
        "target_lang": mixed.target_lang or (main[1] != TARGET and found[1]) or main[1],
    }
    return data.model_copy(update=own)


def directions_of(data: Data) -> list[tuple[str, str]]:
    """The directions of a run, whose section names its languages."""
    pairs = [(data.source_lang, data.target_lang), *((mixed.source_lang, mixed.target_lang) for mixed in data.mix)]
    return list(dict.fromkeys((source or SOURCE, target or TARGET) for source, target in pairs))


def named_languages(data: Data, corpus: Corpus) -> Data:
    """The section with the languages that were found."""
    main, *rest = ({"source_lang": part.source_lang, "target_lang": part.target_lang} for part in corpus.parts)
    mix = [mixed.model_copy(update=languages) for mixed, languages in zip(data.mix, rest, strict=True)]
    return data.model_copy(update={**main, "mix": mix})


def _name(corpus: str, paths: Sequence[str]) -> str:
    return ", ".join(Path(path).name for path in paths) or corpus


def _paths(data: Data) -> tuple[_Files, tuple[str | None, str | None]]:
    """The files of train, valid and test, and the languages that their names give away.

    Raises:
        UserError: nothing was named, or names and languages contradict each other.
    """
    if data.corpus in GENERATORS:
        return ((), (), ()), (None, None)
    files, languages = _files(data)
    for paths in files:
        direction = (data.source_lang or languages[0] or SOURCE, data.target_lang or languages[1] or TARGET)
        check_direction(paths, direction, format=data.format)
    return files, languages


def _files(data: Data) -> tuple[_Files, tuple[str | None, str | None]]:
    if not data.corpus:
        if not data.train:
            raise UserError(
                "no training data: name a file of pairs, two parallel files, or data.corpus (`s2s data list`)"
            )
        return (data.train, data.valid, data.test), languages_of(data.train)
    card = fetch.card(data.corpus)
    if not card.languages:
        raise UserError(f"corpus {card.name} holds dialogues, expected pairs. Name another in data.corpus")
    source, target = data.source_lang or card.languages[0], data.target_lang or card.languages[1]
    if source == target:
        raise UserError(
            f"corpus {card.name}: source and target are both {source!r}, expected two of its languages"
            f" ({', '.join(card.languages)}); mend data.source_lang or data.target_lang"
        )
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


def _maps(data: Data, files: Sequence[Sequence[str]]) -> bool:
    """Whether the training pairs of all these files are mapped.

    Raises:
        UserError: they are to be, and can't.
    """
    paths = [path for part in files for path in part]
    whole = bool(files[0]) and STDIN not in paths
    if data.mapped == "always" and not whole:
        raise UserError(
            "data.mapped is 'always', but what is generated or comes from standard input is held in memory; write it to"
            " a file and name that, or leave data.mapped at 'auto'"
        )
    found = [Path(path) for path in paths if Path(path).is_file()]
    size = sum(path.stat().st_size * (4 if path.suffix == ".gz" else 1) for path in found)
    return whole and (data.mapped == "always" or (data.mapped == "auto" and size >= LARGE))


def _keys(data: Data, paths: Sequence[str]) -> tuple[str, str]:
    """Where JSON lines have their sides: by language as it was said, or as the file's name says; else by side."""
    found = languages_of(paths)
    source = found[0] if data.source_lang in ("", SOURCE) else data.source_lang
    target = found[1] if data.target_lang in ("", TARGET) else data.target_lang
    return source or "source", target or "target"


def _map(data: Data, paths: Sequence[str], *, stdin: Path | None, notes: list[str]) -> MappedPairs:  # noqa: ARG001
    keys = _keys(data, paths)
    root = Path(data.store) if data.store else resources.cache() / "stores"
    store = open_store(paths, root, format=data.format, skip_bad=data.skip_bad, source_key=keys[0], target_key=keys[1])
    if store.manifest.bad:
        notes.append(f"skipped {counted(store.manifest.bad, 'bad line')} of {' and '.join(paths)}")
    return MappedPairs((store,))


def _read(data: Data, paths: Sequence[str], *, stdin: Path | None, notes: list[str]) -> list[Pair]:
    if not paths:
        return []
    places: list[str | Path] = [stdin if path == STDIN and stdin is not None else path for path in paths]
    keys = _keys(data, paths)
    try:
        result = read_pairs(places, format=data.format, skip_bad=data.skip_bad, source_key=keys[0], target_key=keys[1])
    except UserError as error:
        raise UserError(worded(str(error), stdin)) from None
    if result.bad:
        notes.append(f"skipped {counted(result.bad, 'bad line')} of {worded(result.where, stdin)}")
    return result.pairs


def worded(text: str, stdin: Path | None) -> str:
    """The place where standard input was spooled to, by its name."""
    return text if stdin is None else text.replace(str(stdin), "standard input")

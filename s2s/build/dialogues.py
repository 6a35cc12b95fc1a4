"""The dialogues of a run: read, cut to size, and told apart by what may have leaked into the test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import get_args

from s2s import resources
from s2s.build.corpus import STDIN, Corpus, load_corpus, worded
from s2s.build.say import counted
from s2s.config import Config, Data
from s2s.corpus import fetch
from s2s.corpus.dialogue.clean import clean_dialogues
from s2s.corpus.dialogue.cut import cut_dialogues
from s2s.corpus.dialogue.read import Dialogue, dialogues_hash, read_dialogues
from s2s.corpus.dialogue.text import join_contractions
from s2s.corpus.formats import DialogueFormat
from s2s.corpus.split import hold_out
from s2s.errors import UserError


@dataclass(frozen=True)
class DialogueCorpus:
    """Dialogues of two turns and more.

    Attributes:
        clean: rows of `test` whose dialogues share no two turns in a row with the training set.
        notes: what was read, cut and left out.
        parts: of each of `test`, the number of the dialogue that it is a part of; None: none was cut.
    """

    train: list[Dialogue]
    valid: list[Dialogue]
    test: list[Dialogue]
    clean: list[int]
    notes: list[str] = field(default_factory=list)
    parts: list[int] | None = None

    def scored(self) -> tuple[DialogueCorpus, str]:
        """With the dialogues of the validation as test where there are none, and what the test set is called then."""
        if self.test:
            return self, "test"
        clean = clean_dialogues(self.valid, self.train).rows
        return replace(self, test=self.valid, clean=list(clean)), "validation (the run has no test dialogues)"

    @property
    def sha256(self) -> str:
        """Of what is trained and validated on."""
        return dialogues_hash([*self.train, ("",), *self.valid])


def holds_dialogues(config: Config) -> bool:
    """Whether a run is of dialogues rather than pairs: by its model, or by its corpus."""
    data = config.data
    if config.model.of_dialogues or data.format in get_args(DialogueFormat):
        return True
    return (
        bool(data.corpus)
        and not data.task
        and any(card.name == data.corpus and not card.languages for card in fetch.corpora())
    )


def load_any(config: Config, *, stdin: Path | None = None) -> Corpus | DialogueCorpus:
    """Pairs or dialogues, as the run has them; arguments as of `load_corpus`."""
    return (load_dialogues if holds_dialogues(config) else load_corpus)(config.data, stdin=stdin)


def load_dialogues(data: Data, *, stdin: Path | None = None) -> DialogueCorpus:
    """Read every dialogue of a run.

    Args:
        data: the `[data]` section.
        stdin: where standard input was spooled to, for a path of `-`.

    Raises:
        UserError: whatever is wrong with the files, or nothing was named.
    """
    if data.mix:
        raise UserError("data.mix is of pairs; name dialogues in data.train, in one file or a corpus card")
    notes: list[str] = []
    files, joined = _files(data)
    if data.join_contractions is not None:
        joined = data.join_contractions
    train, valid, test = (_read(data, paths, joined, notes, stdin) for paths in files)
    clean = clean_dialogues([one.raw for one in test], [one.raw for one in train])
    learned, checked = _held_out(data, [one.text for one in train], [one.text for one in valid], notes)
    (learned, _), (checked, _), (asked, rows) = (
        _cut(data, name, part, notes)
        for name, part in (("training", learned), ("validation", checked), ("test", [one.text for one in test]))
    )
    if asked:
        notes.append(clean.sentence())
    known = set(clean.rows)
    return DialogueCorpus(learned, checked, asked, [at for at, row in enumerate(rows) if row in known], notes, rows)


def _held_out(
    data: Data, train: list[Dialogue], valid: list[Dialogue], notes: list[str]
) -> tuple[list[Dialogue], list[Dialogue]]:
    """Training and validation; dialogues are held out whole, before they are cut into windows."""
    usable = [one for one in train if any(before.strip() and turn.strip() for before, turn in pairwise(one))]
    if not usable:
        raise UserError("no training dialogue of two turns is left; look at the file and at data.format")
    if valid:
        return train, valid
    count = max(1, min(data.valid_size, len(usable) // 10))
    learned, held = hold_out(usable, count=count, seed=data.seed)
    lone = len(train) - len(usable)
    left_out = f", {lone:,} without a reply left out" if lone else ""
    notes.append(f"held out {len(held):,} of {len(train):,} dialogues for validation{left_out}")
    return learned, held


@dataclass(frozen=True)
class _Read:
    """A dialogue as its file has it, and as it is used."""

    raw: Dialogue
    text: Dialogue


def _files(data: Data) -> tuple[tuple[Sequence[str], Sequence[str], Sequence[str]], bool]:
    """Files of train, valid and test, and whether contractions are joined."""
    if not data.corpus:
        if not data.train:
            raise UserError("no training data: name a file of dialogues, or data.corpus (`s2s data list`)")
        return (data.train, data.valid, data.test), False
    card = fetch.card(data.corpus)
    if card.languages:
        raise UserError(
            f"corpus {card.name} holds pairs, and model.kind asks for dialogues; name another, such as dailydialog"
        )
    root = Path(data.root) if data.root else None
    folder = fetch.fetch(card, cache=resources.cache() / "corpora", source=root)
    named = {part: [str(card.path(folder, part))] if part in card.splits else [] for part in ("train", "valid", "test")}
    files = data.train or named["train"], data.valid or named["valid"], data.test or named["test"]
    return files, card.join_contractions


def _read(data: Data, paths: Sequence[str], joined: bool, notes: list[str], stdin: Path | None) -> list[_Read]:
    if not paths:
        return []
    places = [stdin if path == STDIN and stdin is not None else path for path in paths]
    try:
        found = read_dialogues(places, format=data.format, skip_bad=data.skip_bad)
    except UserError as error:
        raise UserError(worded(str(error), stdin)) from None
    if found.bad:
        notes.append(f"skipped {counted(found.bad, 'bad line')} of {worded(found.where, stdin)}")
    return [_Read(one, join_contractions(one) if joined else one) for one in found.dialogues]


def _cut(data: Data, name: str, dialogues: Sequence[Dialogue], notes: list[str]) -> tuple[list[Dialogue], list[int]]:
    """Dialogues, and the row of each among those that were read."""
    if not dialogues:
        return [], []
    cut = cut_dialogues(dialogues, max_turns=data.max_turns)
    notes.append(f"{name}: {cut.sentence()}")
    return cut.dialogues, cut.rows

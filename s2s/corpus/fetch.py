"""Public corpora: a card says where the files lie, their checksums and terms; `fetch` brings them here."""

from __future__ import annotations

import difflib
import hashlib
import http.client
import logging
import os
import tempfile
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from s2s import resources
from s2s.errors import UserError

Split = Literal["train", "valid", "test"]
Progress = Callable[[str, int, int], None]  # file name, bytes so far, bytes in all

_CHUNK = 1 << 16
_TIMEOUT = 30.0  # seconds without a byte
_log = logging.getLogger("s2s")


class CardFile(BaseModel):
    """One file of a corpus at its public home."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, Field(pattern=r"^(https?|file)://")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(gt=0)]
    also: tuple[str, ...] = ()
    """Other names under which a folder that is already there may hold the same, in this form or another."""


class Card(BaseModel):
    """A corpus: its terms, its files, and for each split the pattern of their names (`train.{lang}.gz`); for dialogues,
    which have no languages, the name of its file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str
    licence: str
    homepage: str
    citation: str
    languages: tuple[str, ...] = ()
    join_contractions: bool = False
    """Whether `don ’ t` is read as `don't` (`corpus.dialogue.text`)."""
    splits: dict[Split, str]
    files: dict[str, CardFile]

    @field_validator("languages")
    @classmethod
    def _two_or_none(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        if len(languages) == 1:
            raise ValueError("expected two at least, or none for dialogues")
        return languages

    @model_validator(mode="after")
    def _every_split_has_its_files(self) -> Card:
        for split, pattern in self.splits.items():
            if bool(self.languages) != ("{lang}" in pattern):
                fault = "lacks {lang}" if self.languages else "has {lang}, but there are no languages"
                raise ValueError(f"splits.{split}: the pattern {pattern!r} {fault}")
            if lacking := [name for name in self._names(split, self.languages) if name not in self.files]:
                raise ValueError(f"splits.{split}: no [files] entry for {', '.join(lacking)}")
        return self

    def names(self, languages: Sequence[str] | None = None) -> list[str]:
        """The file names of all splits in these languages (None: all). UserError for a language it does not have."""
        for language in languages or ():
            self._check_language(language)
        return [name for split in self.splits for name in self._names(split, languages or self.languages)]

    def paths(self, folder: Path, split: Split, source_lang: str, target_lang: str) -> tuple[Path, Path]:
        """The two parallel files of a split; an unpacked file is taken where the packed one is not there.

        UserError for a language or a split that the corpus does not have.
        """
        self._check_split(split)
        for language in (source_lang, target_lang):
            self._check_language(language)
        source, target = (self.present(folder, name) for name in self._names(split, (source_lang, target_lang)))
        return source, target

    def path(self, folder: Path, split: Split) -> Path:
        """The file of a split of dialogues. UserError for a split that there is not, or a corpus of pairs."""
        self._check_split(split)
        if self.languages:
            raise UserError(f"corpus {self.name} holds pairs of {self.contents}, expected dialogues. Name another.")
        return self.present(folder, self.splits[split])

    @property
    def contents(self) -> str:
        """The languages of its pairs, or "dialogues"."""
        return ", ".join(self.languages) or "dialogues"

    def present(self, folder: Path, name: str) -> Path:
        """The file, or else what is there in its place: unpacked, or by another of its names."""
        places = [Path(folder) / other for other in (name, name.removesuffix(".gz"), *self.files[name].also)]
        return next((place for place in places if place.exists()), places[0])

    def _names(self, split: Split, languages: Sequence[str]) -> list[str]:
        pattern = self.splits[split]
        return [pattern.replace("{lang}", language) for language in languages] if self.languages else [pattern]

    def _check_split(self, split: Split) -> None:
        if split not in self.splits:
            raise UserError(f"corpus {self.name} has no split {split!r}; it has {', '.join(self.splits)}.")

    def _check_language(self, language: str) -> None:
        if language not in self.languages:
            raise UserError(f"corpus {self.name} has no language {language!r}; it has {self.contents}.")


def corpora() -> list[Card]:
    """All cards, by name. UserError when a card is not well-formed."""
    return [read_card(path) for path in sorted(resources.corpora().glob("*.toml"))]


def card(name: str) -> Card:
    """The card of a corpus. UserError with the nearest name when there is none."""
    names = sorted(path.stem for path in resources.corpora().glob("*.toml"))
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(names)}."
        raise UserError(f"there is no corpus named {name!r}. {hint}")
    return read_card(resources.corpora() / f"{name}.toml")


def read_card(path: Path) -> Card:
    """The card in a TOML file. UserError naming every field that is wrong."""
    try:
        return Card.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path}: the corpus card cannot be read: {error}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'card'}: {fault['msg']}" for fault in error.errors())
        raise UserError(f"{path}: the corpus card is wrong: {faults}") from error


def fetch(
    card: Card,
    *,
    cache: Path,
    source: Path | None = None,
    languages: Sequence[str] | None = None,
    progress: Progress | None = None,
    strict: bool = False,
) -> Path:
    """The folder that holds the corpus' files (of these languages; None: all).

    With `source`, that folder, after a look whether the files are there (another checksum is a warning, or an error
    where `strict` asks for these very files). Else
    `cache/<name>`, into which the files that are not there yet are downloaded, checked and moved.
    UserError: files missing in `source`; offline, not found, wrong checksum, or no room.
    """
    names = card.names(languages)
    if source is not None:
        return _look(card, Path(source), names, strict=strict)
    folder = Path(cache) / card.name
    for name in names:
        file = card.files[name]
        if _sha256(folder / name) != file.sha256:
            _download(card, file, folder / name, progress or _silent)
    return folder


def _look(card: Card, folder: Path, names: Sequence[str], *, strict: bool) -> Path:
    if not folder.is_dir():
        raise UserError(f"--from {folder}: no such folder. Give the one with the files of {card.name}.")
    lacking = [name for name in names if not card.present(folder, name).is_file()]
    if lacking:
        raise UserError(
            f"--from {folder}: {len(lacking)} of {len(names)} files of {card.name} are missing: {', '.join(lacking)}. "
            f"Get them from {card.homepage}."
        )
    for name in names:
        if (folder / name).is_file() and _sha256(folder / name) != card.files[name].sha256:
            if strict:
                raise UserError(
                    f"{folder / name}: sha256 is {_sha256(folder / name)}, the corpus card says"
                    f" {card.files[name].sha256}. Get the file again from {card.homepage}"
                )
            _log.warning("%s is not the %s of the corpus card: its sha256 differs", folder / name, name)
    return folder


def _download(card: Card, file: CardFile, path: Path, progress: Progress) -> None:
    """To a temporary file beside the place, checked, then moved: the place never holds half a file."""
    way_out = f"Get the files by other means from {card.homepage} and name their folder with --from DIR."
    beside: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, text = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        beside = Path(text)
        with os.fdopen(handle, "wb") as out:
            sha256 = _copy(file, out.write, lambda done: progress(path.name, done, file.bytes))
        if sha256 != file.sha256:
            raise UserError(f"{file.url}: sha256 is {sha256}, the corpus card says {file.sha256}. {way_out}")
        os.replace(beside, path)
    except urllib.error.HTTPError as error:
        with error:
            raise UserError(f"{file.url}: the server answered {error.code} {error.reason}. {way_out}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(f"{file.url} could not be fetched to {path.parent}: {reason}. {way_out}") from error
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)


def _copy(file: CardFile, write: Callable[[bytes], int], progress: Callable[[int], None]) -> str:
    digest, done = hashlib.sha256(), 0
    with urllib.request.urlopen(file.url, timeout=_TIMEOUT) as answer:
        while chunk := answer.read(_CHUNK):
            write(chunk)
            digest.update(chunk)
            done += len(chunk)
            progress(done)
    return digest.hexdigest()


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return None


def _silent(name: str, done: int, total: int) -> None:
    """No progress was asked for."""

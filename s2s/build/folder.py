"""The run directory: what stands where, and how a folder is recognised as a run."""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

import s2s
from s2s.config import Config
from s2s.config.io import check, dump, merge, read_toml
from s2s.errors import UserError
from s2s.training.files import flush, write_text

FORMAT = 1
DAY = 24 * 60 * 60


@dataclass(frozen=True)
class RunFolder:
    """Paths inside one run."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    @property
    def about(self) -> Path:
        """`run.json`: format, versions, languages, vocabulary, what a resumed run must share."""
        return self.path / "run.json"

    @property
    def weights(self) -> Path:
        """The best weights so far."""
        return self.path / "model.safetensors"

    @property
    def shortlist(self) -> Path:
        """What `s2s shortlist` learned."""
        return self.path / "shortlist.safetensors"

    @property
    def best(self) -> Path:
        """The best few models, if they are kept."""
        return self.path / "best"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def scores(self) -> Path:
        return self.path / "scores.json"

    @property
    def card(self) -> Path:
        return self.path / "README.md"

    @property
    def plots(self) -> Path:
        return self.path / "plots"

    @property
    def stdin(self) -> Path:
        """What was read from standard input."""
        return self.path / "stdin.txt"

    def log_lines(self) -> list[dict[str, Any]]:
        """The whole lines of `metrics.jsonl`: none where it is not there; the last may be half of a killed process."""
        found = []
        try:
            lines = self.metrics.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and {"event", "step", "seconds"} <= row.keys():
                found.append(row)
        return found

    def exists(self) -> bool:
        """Whether the folder holds a run."""
        return self.config.is_file() and self._about() is not None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Within the context no other process trains in this run. The system gives the lock back when a process dies.

        Raises:
            UserError: one does.
        """
        if not self.exists():
            yield
            return
        self.checkpoints.mkdir(exist_ok=True)
        lock = FileLock(self.checkpoints / "lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise UserError(
                f"{self.path}: another process is training in this run; wait for its end or stop it, or train in"
                " another folder (-o)"
            ) from None
        except NotImplementedError:  # a file system without locks is no reason not to train
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def refuse_if_taken(self, *, overwrite: bool) -> None:
        """Nothing of the user's is overwritten unasked, and nothing that is no run is ever removed.

        Raises:
            UserError: the folder holds a run and `overwrite` is false, or it holds something else.
        """
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise UserError(f"{self.path}: is a file; expected a new folder for the run. Choose one with -o")
        if self.exists() and not overwrite:
            raise UserError(
                f"{self.path}: already holds a run. Go on with it (`s2s train --resume {self.path}`), replace it"
                " (--overwrite), or choose another folder (-o)"
            )
        if not self.exists() and any(self.path.iterdir()):
            raise UserError(
                f"{self.path}: is not empty and holds no run, so it is left alone. Choose another folder (-o)"
            )

    def create(
        self,
        config: Config,
        about: Mapping[str, Any],
        fill: Callable[[RunFolder], None],
        *,
        header: Iterable[str] = (),
        reasons: Mapping[str, str] | None = None,
    ) -> None:
        """Make the run, whole or not at all: it is written beside, then takes its place, and an old run goes last.

        Args:
            config: for `config.toml`.
            about: for `run.json`.
            fill: writes the rest into the folder that it is given.
            header, reasons: comments for `config.toml`.

        Raises:
            UserError: the disk refused.
        """
        place = self.path.resolve()
        empty = place.is_dir() and not any(place.iterdir())  # may be a mount point, which nothing can replace
        new = RunFolder(place if empty else place.with_name(f".{place.name}.{os.getpid()}.new"))
        try:
            new.checkpoints.mkdir(parents=True)
            fill(new)
            new.config.write_text(dump(config, header=header, reasons=reasons), encoding="utf-8")
            text = json.dumps({"format": FORMAT, "s2s": s2s.__version__, **about}, indent=1, ensure_ascii=False)
            new.about.write_text(text + "\n", encoding="utf-8")  # last: without it the folder is no run
            for file in filter(Path.is_file, new.path.rglob("*")):
                flush(file)
            if not empty:
                _take_place(new.path, place)
                _sweep(place)
        except BaseException as error:
            _clear(new.path, keep=empty)
            if not isinstance(error, OSError):
                raise
            why = error.strerror or error
            raise UserError(
                f"{self.path}: a run can't be written there ({why}: {error.filename or place}); expected a folder that"
                " this user may write to, with room. Choose another with -o"
            ) from None

    def amend(self, training: Mapping[str, Any]) -> None:
        """Write changed keys of `[training]` into `config.toml`, whose comments stay."""
        import tomlkit

        document = tomlkit.parse(self.config.read_text(encoding="utf-8"))
        table: Any = document.setdefault("training", tomlkit.table())
        for key, value in training.items():
            table[key] = value
        write_text(self.config, tomlkit.dumps(document))

    def read(self, overrides: Mapping[str, Any] | None = None) -> tuple[Config, dict[str, Any]]:
        """Configuration and `run.json`.

        Raises:
            UserError: the folder is no run, or was written by a newer version.
        """
        if not self.path.is_dir():
            found = "is a file" if self.path.exists() else "no such folder"
            raise UserError(f"{self.path}: {found}; expected a run directory made by `s2s train`")
        missing = [path.name for path in (self.config, self.about) if not path.is_file()]
        if missing:
            names = " and ".join(missing)
            raise UserError(
                f"{self.path}: not a run directory ({names} missing); expected one made by `s2s train`. Check the path"
            )
        about = self._about()
        if about is None:
            raise UserError(f"{self.about}: damaged, or not of a run; restore it from a copy, or train again")
        if about["format"] > FORMAT:
            raise UserError(
                f"{self.path}: written by s2s {about.get('s2s')}, newer than this one ({s2s.__version__}). Upgrade s2s"
            )
        return check(merge(read_toml(self.config), overrides or {}), str(self.config)), about

    def _about(self) -> dict[str, Any] | None:
        """`run.json`, or None where it is missing, damaged or something else's."""
        try:
            about = json.loads(self.about.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(about, dict) or not isinstance(about.get("format"), int):
            return None
        return about if {"vocabulary", "identity"} <= about.keys() else None


def _take_place(new: Path, place: Path) -> None:
    """Give `new` the name `place`; an old run of that name is removed only then."""
    old = place.with_name(f".{place.name}.{os.getpid()}.old")
    if place.exists():
        os.rename(place, old)
    try:
        os.rename(new, place)
    except OSError:
        if old.exists():
            os.rename(old, place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _sweep(place: Path) -> None:
    """Remove what processes that were killed in the middle of `create` left beside, a day later at the earliest.

    Their numbers may be those of another machine that shares the disk, hence the day.
    """
    for left in place.parent.glob(f".{glob.escape(place.name)}.*.*"):
        named = re.fullmatch(r"(\d+)\.(?:new|old)", left.name.removeprefix(f".{place.name}."))
        if named and time.time() - left.stat().st_mtime > DAY and not _runs(int(named[1])):
            shutil.rmtree(left, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True


def _clear(folder: Path, *, keep: bool) -> None:
    """Remove what was half-made; the folder itself stays where it was there before."""
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for entry in folder.iterdir():
        shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink(missing_ok=True)

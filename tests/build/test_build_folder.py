"""The run directory: whole or not there, and nothing of the user's is touched unasked."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from s2s.build.folder import RunFolder
from s2s.config import Config
from s2s.errors import UserError

ABOUT = {"vocabulary": "v", "identity": {}}


def _nothing(_: RunFolder) -> None:
    return None


def _make(path: Path, name: str = "one") -> RunFolder:
    folder = RunFolder(path)
    folder.create(Config(name=name), ABOUT, _nothing)
    return folder


def test_what_is_created_is_read_back(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "deep" / "run")
    folder.create(
        Config(name="x"),
        ABOUT,
        lambda new: new.stdin.write_bytes(b"pairs") and None,
        header=["made for a test"],
        reasons={"model.core": "because"},
    )
    assert folder.exists()
    config, about = folder.read({"model": {"hidden_size": 3}})
    assert (config.name, config.model.hidden_size) == ("x", 3)
    assert about["identity"] == {}
    assert folder.stdin.read_bytes() == b"pairs"
    text = folder.config.read_text()
    assert text.startswith("# made for a test\n")
    assert 'core = "lstm" # because' in text
    assert list((tmp_path / "deep").iterdir()) == [folder.path]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("a bug")])
@pytest.mark.parametrize("before", ["nothing", "empty", "run"])
def test_a_failure_leaves_everything_as_it_was(tmp_path: Path, error: BaseException, before: str) -> None:
    place = tmp_path / "run"
    if before == "empty":
        place.mkdir()
    elif before == "run":
        _make(place)
        (place / "mine").write_text("kept")
    shape = sorted(str(path) for path in tmp_path.rglob("*"))

    def fail(new: RunFolder) -> None:
        new.stdin.write_bytes(b"half")
        raise error

    kind = UserError if isinstance(error, OSError) else type(error)
    with pytest.raises(kind) as caught:
        RunFolder(place).create(Config(), ABOUT, fail)
    if kind is UserError:
        assert "No space left on device" in str(caught.value)
        assert "-o" in str(caught.value)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == shape


def test_the_new_run_takes_the_place_of_the_old(tmp_path: Path) -> None:
    (_make(tmp_path / "run").path / "stale").touch()
    seen = []

    def look(_: RunFolder) -> None:
        seen.append((tmp_path / "run" / "stale").exists())

    RunFolder(tmp_path / "run").create(Config(name="two"), ABOUT, look)
    assert seen == [True]
    assert RunFolder(tmp_path / "run").read()[0].name == "two"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["checkpoints", "config.toml", "run", "run.json"]


def test_the_old_run_comes_back_when_the_name_cannot_be_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, rename = _make(tmp_path / "run"), os.rename

    def refuse(source: str | Path, target: str | Path) -> None:
        if str(source).endswith(".new"):
            raise OSError(16, "Device or resource busy")
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(UserError, match="resource busy"):
        folder.create(Config(name="two"), ABOUT, _nothing)
    assert folder.read()[0].name == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_link_to_a_run_stays_a_link(tmp_path: Path) -> None:
    _make(tmp_path / "run")
    (tmp_path / "link").symlink_to(tmp_path / "run")
    _make(tmp_path / "link", "two")
    assert (tmp_path / "link").is_symlink()
    assert RunFolder(tmp_path / "run").read()[0].name == "two"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "1"}', '{"format": 1}', "\x00"])
def test_what_is_no_run(tmp_path: Path, content: str) -> None:
    folder = _make(tmp_path / "run")
    folder.about.write_text(content)
    assert not folder.exists()
    for overwrite in (False, True):
        with pytest.raises(UserError, match="holds no run"):
            folder.refuse_if_taken(overwrite=overwrite)
    with pytest.raises(UserError, match="damaged"):
        folder.read()


def test_taken_and_free(tmp_path: Path) -> None:
    RunFolder(tmp_path / "new").refuse_if_taken(overwrite=False)
    RunFolder(tmp_path).refuse_if_taken(overwrite=False)
    folder = _make(tmp_path / "run")
    with pytest.raises(UserError, match="--overwrite"):
        folder.refuse_if_taken(overwrite=False)
    folder.refuse_if_taken(overwrite=True)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    folder = _make(tmp_path / "run")
    folder.about.write_text(json.dumps({"format": 99, "s2s": "9.0", **ABOUT}))
    with pytest.raises(UserError, match=r"9\.0.*Upgrade"):
        folder.read()


def test_amend_changes_only_what_it_should(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create(Config(), ABOUT, _nothing, reasons={"training.epochs": "why", "model.core": "because"})
    before = folder.config.read_text()
    folder.amend({"epochs": 77, "minutes": 1.5})
    after = folder.config.read_text()
    assert folder.read()[0].training.epochs == 77
    assert folder.read()[0].training.minutes == 1.5
    assert "epochs = 77 # why" in after
    assert set(before.splitlines()) - set(after.splitlines()) == {"epochs = 10 # why"}


def test_what_killed_processes_left_is_removed_a_day_later(tmp_path: Path) -> None:
    dead, mine = 2**22 + 1, os.getppid()  # above the largest number that Linux gives by default
    left = [tmp_path / f".run.{number}.{kind}" for number in (dead, mine) for kind in ("old", "new")]
    others = [tmp_path / f".run.{dead}.txt", tmp_path / f".runs.{dead}.old", tmp_path / f".run.x{dead}.old"]
    fresh = tmp_path / f".run.{dead - 1}.old"
    for path in (*left, *others, fresh):
        path.mkdir()
        (path / "weights").write_text("")
    for path in (*left, *others):
        os.utime(path, (0, 0))
    _make(tmp_path / "run")
    assert {path.name for path in tmp_path.iterdir()} == {
        "run", fresh.name, *(path.name for path in others), *(path.name for path in left if str(mine) in path.name)
    }  # fmt: skip

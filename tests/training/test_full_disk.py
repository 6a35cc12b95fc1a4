"""A disk that is full, at every single write: the state saved before it is what a run goes on from."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from miniature import Miniature, assert_identical, saved, steps
from tiny import tiny_model

from s2s.errors import UserError
from s2s.training import checkpoint, files
from s2s.training.checkpoint import save_weights


def refusal(save: Callable[[], None]) -> str | None:
    try:
        save()
    except UserError as error:
        return str(error)
    return None


WRITES = ["save_model", "save_file", "write_json", "write_text", "flush", "os.replace", "Path.mkdir", "Path.write_text"]


def failing(wrapped: Callable[..., Any], after: list[int], error: Exception) -> Callable[..., Any]:
    """`wrapped`, until the count in `after` runs out; then the disk is full."""

    def call(*args: Any, **kwargs: Any) -> Any:
        after[0] -= 1
        if after[0] < 0:
            raise error
        return wrapped(*args, **kwargs)

    return call


def patch(monkeypatch: pytest.MonkeyPatch, name: str, after: list[int], error: Exception) -> None:
    match name:
        case "os.replace":
            monkeypatch.setattr(os, "replace", failing(os.replace, after, error))
        case "Path.mkdir" | "Path.write_text":
            method = name.removeprefix("Path.")
            monkeypatch.setattr(Path, method, failing(getattr(Path, method), after, error))
        case "flush":
            for module in (checkpoint, files):
                monkeypatch.setattr(module, "flush", failing(files.flush, after, error))
        case _:
            monkeypatch.setattr(checkpoint, name, failing(getattr(checkpoint, name), after, error))


@pytest.mark.parametrize("name", WRITES)
def test_a_full_disk_leaves_the_previous_state(name: str, tmp_path: Path) -> None:
    made, checkpoints = saved(tmp_path, 1)
    before = made.state()
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter.add_(1.0)  # the model moves on, so a mix of both states would show
    failures = 0
    for after in range(40):
        error = OSError(errno.ENOSPC, "No space left on device")
        with pytest.MonkeyPatch.context() as monkeypatch:
            patch(monkeypatch, name, [after], error)
            message = refusal(lambda: checkpoints.save(2, made.parts, {}))
        if message is None:
            break
        failures += 1
        assert "No space left on device" in message
        assert "--resume" in message
        left = checkpoints.latest()
        assert left.name == "step-1"
        assert not list(checkpoints.folder.glob(".*"))
        fresh = Miniature(tmp_path, seed=50)
        fresh.checkpoints.restore(left, fresh.parts)
        assert_identical(fresh.state(), before)
    assert failures >= 1
    assert checkpoints.latest().name == "step-2"
    assert not list(checkpoints.folder.glob(".*"))


def test_safetensors_own_words_for_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors import SafetensorError

    made, checkpoints = saved(tmp_path, 1)
    error = SafetensorError("Error while serializing: IoError(Os { code: 28, kind: StorageFull })")
    patch(monkeypatch, "save_file", [0], error)
    with pytest.raises(UserError, match="could not be written"):
        checkpoints.save(2, made.parts, {})


def test_a_bug_is_not_called_a_full_disk(tmp_path: Path) -> None:
    made, checkpoints = saved(tmp_path, 1)
    with pytest.raises(TypeError, match="JSON"):
        checkpoints.save(2, made.parts, {"bad": object()})
    assert checkpoints.latest().name == "step-1"
    assert not list(checkpoints.folder.glob(".*"))


def test_a_killed_process_leaves_nothing_that_counts(tmp_path: Path) -> None:
    made, checkpoints = saved(tmp_path, 1)
    half = checkpoints.folder / ".step-2.4242.tmp"
    shutil.copytree(checkpoints.folder / "step-1", half)
    assert checkpoints.latest().name == "step-1"
    checkpoints.save(3, made.parts, {})
    assert not half.exists()
    assert steps(checkpoints) == ["step-1", "step-3"]


def test_atomic_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.txt"
    files.write_text(path, "old")
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", failing(os.replace, [0], OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(UserError, match=r"x\.txt: could not be written"):
            files.write_text(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["x.txt"]
    files.write_json(path, {"ä": 1})
    assert json.loads(path.read_text(encoding="utf-8")) == {"ä": 1}


def test_a_full_disk_leaves_the_old_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, model = tmp_path / "model.safetensors", tiny_model()
    save_weights(path, model, {"update": "1"})
    before = path.read_bytes()
    patch(monkeypatch, "save_model", [0], OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(UserError, match="could not be written"):
        save_weights(path, model, {"update": "2"})
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1

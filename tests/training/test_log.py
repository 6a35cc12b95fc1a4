"""What a run tells, and how its log is cut back when it goes on."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from s2s.errors import MissingExtraError, UserError
from s2s.training.log import RunLog, Sample, Validation
from s2s.training.state import Progress
from s2s.training.stop import stop_on_signals


def opened(folder: Path, start: Progress | None = None, **options: Any) -> tuple[RunLog, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, width=200, force_terminal=options.pop("terminal", False))
    return RunLog(folder, console, total=options.pop("total", 100), start=start or Progress(), **options), out


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def updates(log: RunLog, progress: Progress, count: int) -> None:
    for _ in range(count):
        progress.update += 1
        log.update(progress, loss=float(progress.update), rate=0.1, norm=2.0, tokens=10 * progress.update)


FOUND = Validation({"loss": 1.5, "exact_match": 0.25}, [Sample("[a]", "b", "b "), Sample("c", "d", "e")], 0.5)


@pytest.mark.parametrize("terminal", [False, True])
def test_training_lines_sum_up_and_none_is_lost(terminal: bool, tmp_path: Path) -> None:
    log, _ = opened(tmp_path, terminal=terminal)
    progress = Progress()
    with log:
        updates(log, progress, 53)
        log.validation(progress, FOUND, best=True)
    rows = lines(tmp_path)
    assert [(row["event"], row["step"]) for row in rows] == [("train", 50), ("train", 53), ("valid", 53)]
    mean = sum(i * 10 * i for i in range(1, 51)) / sum(10 * i for i in range(1, 51))
    assert rows[0]["loss"] == pytest.approx(mean)  # weighted by tokens
    assert rows[0] | {"learning_rate": 0.1, "gradient_norm": 2.0} == rows[0]
    assert rows[2] | {"best": True, "loss": 1.5, "exact_match": 0.25, "validation_seconds": 0.5} == rows[2]


def test_an_epoch_of_a_few_updates_has_its_training_loss(tmp_path: Path) -> None:
    log, _ = opened(tmp_path)
    progress = Progress()
    with log:
        for _ in range(3):
            updates(log, progress, 4)
            log.validation(progress, FOUND, best=False)
    assert [row["event"] for row in lines(tmp_path)] == ["train", "valid"] * 3


def test_what_the_reader_sees(tmp_path: Path) -> None:
    log, out = opened(tmp_path)
    with log:
        log.validation(Progress(update=7, epoch=1, seconds=3.2), FOUND, best=True)
        log.validation(Progress(update=9, epoch=1, batch=2), FOUND, best=False)
    text = out.getvalue().splitlines()
    assert text[0].startswith("epoch 1, update 7, 3 s: loss 1.5000  exact_match 25.00 %  *best*")
    assert text[1] == "    [a]  →  b   =  b"  # brackets are text here, not markup
    assert text[2] == "    c  →  e  ≠  d"
    assert text[3].startswith("epoch 2, update 9")
    assert "best" not in text[3]


def test_counts_are_whole_numbers(tmp_path: Path) -> None:
    log, out = opened(tmp_path)
    with log:
        found = Validation({"loss": 1.5, "active_units": 52.0, "kl_weight": 0.25}, [], 0.5)
        log.validation(Progress(update=7), found, best=False)
    assert "active_units 52  kl_weight 0.25" in out.getvalue()


def test_of_a_long_source_the_last_words_are_shown(tmp_path: Path) -> None:
    """A flat dialogue's source is everything that was said before."""
    log, out = opened(tmp_path)
    source = " ".join(f"word{number}" for number in range(200))
    with log:
        log.validation(Progress(), Validation({"loss": 1.0}, [Sample(source, "yes", "no")], 0.1), best=True)
    shown = " ".join(out.getvalue().split())
    assert "… word185 " in shown
    assert "word199 → no ≠ yes" in shown
    assert "word184" not in shown


def test_the_log_is_cut_back_to_where_the_run_goes_on(tmp_path: Path) -> None:
    log, _ = opened(tmp_path)
    progress = Progress()
    with log:
        for _ in range(3):
            updates(log, progress, 4)
            log.validation(progress, FOUND, best=False)
    with (tmp_path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 12, "event": "tr')  # killed in the middle of a line
    opened(tmp_path, Progress(update=8, validated=8))
    kept = [(row["event"], row["step"]) for row in lines(tmp_path)]
    assert kept == [("train", 4), ("valid", 4), ("train", 8), ("valid", 8)]
    # Interrupted at 8 before its validation: that one comes again.
    opened(tmp_path, Progress(update=8, validated=4))
    assert [(row["event"], row["step"]) for row in lines(tmp_path)] == kept[:3]
    opened(tmp_path, Progress())
    assert lines(tmp_path) == []


def test_what_a_run_mended_is_said_and_written_down(tmp_path: Path) -> None:
    log, out = opened(tmp_path)
    progress = Progress()
    with log:
        updates(log, progress, 4)
        log.validation(progress, FOUND, best=True)
        updates(log, progress, 60)
        log.trouble(progress, "out_of_memory", "cut in two")
        assert [row["step"] for row in lines(tmp_path)] == [4, 4, 54, 64]
        assert "  cut in two\n" in out.getvalue()
        assert lines(tmp_path)[-1] | {"event": "out_of_memory", "text": "cut in two"} == lines(tmp_path)[-1]
        log.went_back(Progress(update=4, validated=4))
        assert [row["step"] for row in lines(tmp_path)] == [4, 4]
        updates(log, progress, 1)
        log.validation(progress, FOUND, best=True)
    assert lines(tmp_path)[-2]["loss"] == 65.0  # of the one update since then


def test_a_full_disk_under_the_log_is_the_users_to_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, _ = opened(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(UserError, match=r"metrics\.jsonl: could not be written.*No space left"):
        log.validation(Progress(update=1), FOUND, best=True)


def test_a_run_without_a_terminal_says_how_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("s2s.training.log.time.monotonic", lambda: now[0])
    log, out = opened(tmp_path)
    progress = Progress()
    with log:
        updates(log, progress, 1)
        assert out.getvalue() == ""
        now[0] = 21.0
        updates(log, progress, 1)
        assert out.getvalue() == "  update 2: loss 1.667, 1 tokens/s, 0 s\n"
        updates(log, progress, 1)
        assert out.getvalue().count("\n") == 1
    assert [row["step"] for row in lines(tmp_path)] == [2]


def test_a_validation_does_not_slow_down_the_speed_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("s2s.training.log.time.monotonic", lambda: now[0])
    log, _ = opened(tmp_path)
    progress = Progress()
    with log:
        for _ in range(2):
            now[0] += 2.0
            updates(log, progress, 1)
            now[0] += 40.0  # the validation
            log.validation(progress, FOUND, best=True)
    assert [row["tokens_per_second"] for row in lines(tmp_path) if row["event"] == "train"] == [5.0, 10.0]


def test_tensorboard_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 's2s\[tensorboard\]'"):
        opened(tmp_path, tensorboard=True)
    log, _ = opened(tmp_path)
    assert log.path == tmp_path / "metrics.jsonl"


# ---- signals


def test_the_first_signal_is_a_wish_and_the_second_ctrl_c_an_order() -> None:
    said: list[str] = []
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stop_on_signals(said.append) as stopped:
        assert not stopped()
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped() == "interrupted"
        assert len(said) == 1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    with stop_on_signals(said.append) as stopped:
        signal.raise_signal(signal.SIGTERM)
        assert stopped() == "terminated"
        signal.raise_signal(signal.SIGTERM)  # a second one of these is patient
        assert stopped() == "terminated"


def test_a_run_in_another_thread_leaves_signals_alone() -> None:
    found: list[str] = []

    def work() -> None:
        with stop_on_signals(lambda _: None) as stopped:
            found.append(stopped())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [""]

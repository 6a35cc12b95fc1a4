"""`s2s train` in two processes: one model, one voice, one end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import torch
from cli_tools import DATES, SMALL, Result, program, refused, same_run, train, weights
from rich.console import Console
from safetensors.torch import load_file

from s2s.build.compose import compose
from s2s.errors import UserError

LONG = (*DATES, "training.epochs=8", "training.checkpoint_every=6", "model.output_dropout=0.2", "training.ema=0.9")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def torchrun(*words: str | Path) -> list[str]:
    """Two processes under torch's own launcher."""
    return [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "-m", "s2s", *map(str, words)]


@contextmanager
def launched(command: Sequence[str], folder: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def pair(
    first: Sequence[str | Path], second: Sequence[str | Path], folder: Path
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes as torchrun would start them, without it in between."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    with ExitStack() as stack:
        ranks = [{"RANK": rank, "LOCAL_RANK": rank, **shared} for rank in "01"]
        starts = [
            launched(program("train", *words), folder, **rank)
            for words, rank in zip((first, second), ranks, strict=True)
        ]
        yield [stack.enter_context(start) for start in starts]


def ended(process: subprocess.Popen[bytes]) -> Result:
    out, err = process.communicate(timeout=120)
    return Result(process.returncode, out.decode(), err.decode())


def trained(*words: str | Path, folder: Path) -> Result:
    """`torchrun -m s2s train words...`, which must succeed."""
    with launched(torchrun("train", *words), folder) as process:
        result = ended(process)
    assert result.code == 0, result.err
    return result


def _wait_for(run: Path, step: int) -> None:
    latest = run / "checkpoints" / "latest"
    for _ in range(30000):
        if latest.is_file() and int(latest.read_text().rpartition("-")[2] or 0) >= step:
            return
        time.sleep(0.005)
    pytest.fail(f"no checkpoint of step {step}")


def _children(process: subprocess.Popen[bytes]) -> dict[str, int]:
    """The processes that torchrun started, by rank."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            variables = (
                dict(part.split("=", 1) for part in (path / "environ").read_text().split("\0") if "=" in part)
                if parent == process.pid
                else {}
            )
        except OSError:
            continue
        if "RANK" in variables:
            found[variables["RANK"]] = int(path.name)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of LONG in two processes, never interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    said = trained(*LONG, "-o", "run", folder=folder).err
    assert said.count("Ended: 8 epochs done") == 1
    assert said.count("epoch 3, update 21") == 1
    return folder / "run"


def test_two_processes_train_what_one_does(here: Path) -> None:
    words = (*DATES, "model.output_dropout=0")
    trained(*words, "-o", "two", folder=here)
    train(*words, "-o", "one")
    left, right = (load_file(here / run / "checkpoints/step-14/model.safetensors") for run in ("one", "two"))
    for name, tensor in left.items():
        torch.testing.assert_close(right[name], tensor, rtol=1e-4, atol=1e-5)
    losses = [
        [row["loss"] for row in map(json.loads, (here / run / "metrics.jsonl").read_text().splitlines())]
        for run in ("one", "two")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert len(losses[0]) == 4
    told = [json.loads((here / run / "run.json").read_text())["identity"] for run in ("one", "two")]
    assert [one["world_size"] for one in told] == [1, 2]
    assert told[0] | {"world_size": 2} == told[1]


@pytest.mark.slow
def test_a_sequence_task_in_two_processes(here: Path) -> None:
    task = ("data.task=adding", "data.length=10", "model.kind=predictor", "data.valid_size=40", "data.test_size=40")
    words = (*task, *SMALL[:1], *SMALL[2:5], "training.batch_size=21", "training.updates=6")
    trained(*words, "-o", "two", folder=here)
    train(*words, "-o", "one")
    left, right = (load_file(here / run / "model.safetensors") for run in ("one", "two"))
    for name, tensor in left.items():
        torch.testing.assert_close(right[name], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the processes in /proc")
def test_a_process_dies_and_the_run_goes_on_to_the_same_bits(here: Path, whole: Path) -> None:
    with launched(torchrun("train", *LONG, "-o", "run"), here) as process:
        _wait_for(here / "run", 12)
        ranks = _children(process)
        os.kill(ranks["1"], signal.SIGKILL)
        said = ended(process)
    assert said.code != 0
    assert said.err.count("error: another process of this run died") == 1
    assert "go on from the last checkpoint with `s2s train --resume RUN`" in said.err
    assert "RuntimeError" not in said.err
    trained("--resume", "run", folder=here)
    assert same_run(whole, here / "run")
    last = Path("checkpoints/step-56")
    for name in ("ema", "generators"):
        assert weights(here / "run" / last / f"{name}.safetensors") == weights(whole / last / f"{name}.safetensors")


@pytest.mark.slow
def test_a_signal_to_one_stops_both(here: Path, whole: Path) -> None:
    words = (*LONG, "-o", "run")
    with pair(words, words, here) as processes:
        _wait_for(here / "run", 12)
        processes[1].send_signal(signal.SIGTERM)
        first, second = map(ended, processes)
    assert (first.code, second.code) == (143, 143)
    assert "Saved. Go on with: s2s train --resume run" in first.err
    assert second.err == ""
    with pair(("--resume", "run"), ("--resume", "run"), here) as processes:
        first, second = map(ended, processes)
    assert (first.code, second.code, second.err) == (0, 0, "")
    assert same_run(whole, here / "run")


@pytest.mark.slow
def test_another_number_of_processes_goes_on_with_a_warning(here: Path, whole: Path) -> None:
    shutil.copytree(whole, here / "run")
    said = train("--resume", "run", "training.epochs=9").err
    assert "warning: world_size was 2 and is 1: the run goes on, but not bit for bit" in said
    assert (here / "run/checkpoints/latest").read_text() == "step-63\n"


def test_a_mistake_is_said_once(here: Path) -> None:
    (here / "bad.tsv").write_text("no tab\n")
    with pair(("bad.tsv", "-o", "run"), ("bad.tsv", "-o", "run"), here) as processes:
        results = sorted(map(ended, processes), key=lambda result: result.err)
    assert [result.code for result in results] == [2, 2]
    assert results[0].err == ""
    refused(results[1], "bad.tsv, line 1")
    assert not (here / "run").exists()


@pytest.mark.slow
def test_processes_that_read_other_pairs(here: Path) -> None:
    words = (*DATES, "-o", "run")
    with pair(words, (*words, "data.seed=5"), here) as processes:
        results = [ended(process) for process in processes]
    assert [result.code for result in results] == [2, 2]
    assert (
        sum("the training and validation pairs of process 1 are not those of process 0" in r.err for r in results) == 1
    )
    assert not (here / "run").exists()


def test_standard_input_is_for_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="standard input can be read by one process only"):
        compose(["-"], {}, Console(quiet=True))

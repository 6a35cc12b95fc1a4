"""Running the command line from tests: in this process where that is enough, as a program where it is not."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from s2s import cli

ROOT = Path(__file__).resolve().parents[2]
PHRASES = ROOT / "data" / "samples" / "phrases.de-en.tsv"
SMALL = (
    "model.hidden_size=16",
    "model.embedding_size=16",
    "training.threads=1",
    "training.precision=float32",
    "training.plots=false",
    "training.samples=0",
)
"""Overrides that make any run quick."""
DATES = (
    "date-attention",
    *SMALL,
    "data.train_size=200",
    "data.valid_size=20",
    "data.test_size=20",
    "training.batch_size=32",
    "training.epochs=2",
)
"""The words of a run of 14 updates on generated dates."""


class Result(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str


def s2s(*words: str | Path, stdin: bytes = b"") -> Result:
    """`s2s words...` in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(2))
    fed = io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
    code = 0
    with (
        mock.patch.object(sys, "argv", ["s2s", *map(str, words)]),
        mock.patch.object(sys, "path", list(sys.path)),
        mock.patch.multiple(sys, stdin=fed, stdout=out, stderr=err),
    ):
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        texts = []
        for stream in (out, err):
            stream.flush()
            assert isinstance(stream.buffer, io.BytesIO)
            texts.append(stream.buffer.getvalue().decode("utf-8"))
    return Result(code, *texts)


def train(*words: str | Path, stdin: bytes = b"") -> Result:
    """`s2s train words...`, which must succeed."""
    result = s2s("train", *words, stdin=stdin)
    assert result.code == 0, result.err
    return result


def program(*words: str | Path) -> list[str]:
    """`s2s words...` as a command of its own."""
    return [sys.executable, "-m", "s2s", *map(str, words)]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


@contextmanager
def started(words: Sequence[str | Path], folder: Path, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """`s2s words...` running in `folder`; it does not outlive the context."""
    pipe = subprocess.PIPE
    with subprocess.Popen(program(*words), cwd=folder, env=environment(), stdout=pipe, stderr=pipe, **more) as process:
        try:
            yield process
        finally:
            process.kill()


def ran(*words: str | Path, folder: Path, stdin: bytes = b"", **variables: str) -> Result:
    """`s2s words...` as a program of its own, in `folder`."""
    done = subprocess.run(
        program(*words), cwd=folder, env=environment(**variables), input=stdin, capture_output=True, timeout=120
    )
    return Result(done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8"))


def weights(path: Path) -> tuple[dict[str, Any], bytes]:
    """Header (whose keys have no order) and bytes of a safetensors file: equal means bit for bit the same model."""
    content = path.read_bytes()
    length = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:length]), content[length:]


def same_run(one: Path, other: Path) -> bool:
    """Whether two runs ended at the same best models, the same last update and the same state there."""
    latest = (one / "checkpoints" / "latest").read_text()
    if latest != (other / "checkpoints" / "latest").read_text():
        return False
    step = Path("checkpoints") / latest.strip()
    patterns = ("model.safetensors", "best/*.safetensors", f"{step}/*.safetensors")
    left, right = (
        {str(path.relative_to(run)): weights(path) for pattern in patterns for path in run.glob(pattern)}
        for run in (one, other)
    )
    return left == right and str(step / "optimizer.safetensors") in left


def refused(result: Result, *parts: str) -> None:
    """Exit code 2 and one clear message that says all of `parts`; nothing on standard output, no traceback."""
    assert result.code == 2, result
    assert result.out == ""
    assert "Traceback" not in result.err
    for part in parts:
        assert part in result.err, result.err


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

"""What the system refuses: a full disk, a port that is taken, a device that is not there."""

from __future__ import annotations

import shutil
import socket
import sys
from pathlib import Path

import pytest
import torch
from cli_tools import DATES, Result, environment, program, refused, s2s, same_run, snapshot, train


@pytest.fixture
def copy(dates: Path, here: Path) -> Path:
    """A run that a test may replace."""
    shutil.copytree(dates, here / "copy")
    return Path("copy")


@pytest.mark.skipif(sys.platform == "win32", reason="file-size limits are POSIX")
class TestFullDisk:
    """A limit on the size of files refuses as a full disk does."""

    WORDS = ("training.checkpoint_every=2", "model.hidden_size=32")

    @staticmethod
    def _limited(size: int, *words: str | Path) -> Result:
        import resource

        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            return s2s(*words)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    def test_while_the_run_is_made(self, here: Path) -> None:
        refused(self._limited(64, "train", *DATES, "-o", "run"), "run", "File too large")
        assert not list(here.iterdir())

    def test_while_the_run_replaces_another(self, copy: Path) -> None:
        before = snapshot(Path())
        refused(self._limited(64, "train", *DATES, "-o", copy, "--overwrite"), "File too large")
        assert snapshot(Path()) == before

    def test_while_a_checkpoint_is_saved(self, here: Path) -> None:
        words = (*DATES, *self.WORDS)
        train(*words, "-o", "whole")
        weights = (here / "whole/model.safetensors").stat().st_size
        result = self._limited(int(1.5 * weights), "train", *words, "-o", "run")  # Adam's state is twice the weights
        refused(result, "step-2", "could not be written", "File too large", "s2s train --resume")
        assert (here / "run/checkpoints/latest").read_text() == "step-0\n"
        assert sorted(path.name for path in (here / "run/checkpoints").iterdir()) == ["latest", "lock", "step-0"]
        train("--resume", "run")
        assert same_run(here / "whole", here / "run")


def test_port(dates: Path) -> None:
    refused(s2s("serve", dates, "--port", "99999"), "--port", "65535")
    refused(s2s("serve", dates, "--port", "http"), "--port")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(s2s("serve", dates, "--port", str(port)), f"Port {port}", "in use", "another port")
    refused(s2s("serve", dates, "--host", "no.such.host.invalid"), "no.such.host.invalid", "127.0.0.1")


@pytest.mark.parametrize("verb", ["evaluate", "translate", "serve"])
def test_device(dates: Path, verb: str) -> None:
    refused(s2s(verb, dates, "--device", "tpu"), "--device", "'cuda'")
    if not torch.cuda.is_available():
        refused(s2s(verb, dates, "--device", "cuda"), "cuda", "use auto or cpu")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_standard_output_that_takes_nothing(dates: Path, here: Path) -> None:
    import subprocess

    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            program("translate", dates), cwd=here, env=environment(), input=b"1\n", stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 2
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr

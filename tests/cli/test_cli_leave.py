"""The end of the program: nothing is lost, and torch is not taken down."""

from __future__ import annotations

import subprocess
import sys

import pytest
from cli_tools import environment

CODE = """
import atexit, sys, threading, time, types

class Large:
    def __del__(self):
        print("taken down")

large = types.ModuleType("torch")
large.held = Large()
if "small" not in sys.argv:
    sys.modules["torch"] = large
if "thread" in sys.argv:
    threading.Thread(target=time.sleep, args=(3,)).start()
atexit.register(print, "left")
sys.argv[1:] = sys.argv[1].split()
from s2s.cli import program
program()
"""


def ended(*words: str) -> tuple[int, list[str]]:
    done = subprocess.run([sys.executable, "-c", CODE, *words], capture_output=True, env=environment(), timeout=60)
    return done.returncode, done.stdout.decode().splitlines()[-2:]


@pytest.mark.parametrize(("words", "code"), [("recipes", 0), ("trian", 2), ("data fetch multi40k", 2)])
def test_all_is_done_but_taking_torch_down(words: str, code: int) -> None:
    found, lines = ended(words)
    assert found == code
    assert lines[-1] == "left"


@pytest.mark.parametrize("how", ["small", "thread"])
def test_without_torch_and_beside_another_thread_the_end_is_python_s(how: str) -> None:
    assert ended("recipes", how) == (0, ["left", "taken down"])


def test_a_stream_that_takes_nothing_ends_as_in_python() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", CODE, "recipes"], stdout=full, stderr=subprocess.PIPE, env=environment(), timeout=60
        )
    assert done.returncode != 0

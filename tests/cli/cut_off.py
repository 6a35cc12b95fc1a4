"""Ends training at one operation on the disk after another, as `kill -9` would, and resumes each time.

    python cut_off.py SHARE WORDS...

About SHARE of all operations (creating, renaming, removing files) are tried, evenly spread. Prints JSON: how many
operations a whole run has, after how many cuts it was resumed, and what went wrong. Each run is a fork of this process.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from cli_tools import Result, s2s, same_run

KILLED = 137
_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir"}


def main() -> None:
    share, words = int(sys.argv[1]), sys.argv[2:]
    whole = Path("whole").absolute()
    s2s("train", *words, "-o", "warm")  # imports and set-up, once instead of in every fork
    operations = _forked(["train", *words, "-o", str(whole)], whole, count=True)
    wrong: list[Any] = []
    resumed = 0
    for number in range(1, operations + 1, max(1, operations // share)):
        run = Path(f"cut-{number}").absolute()
        code = _forked(["train", *words, "-o", str(run)], run, at=number)
        if code != KILLED:
            wrong.append([number, "not killed", code])
        elif run.exists():
            has_state = any(run.glob("checkpoints/step-*"))
            code = _forked(["train", "--resume", str(run)], run)
            resumed += has_state
            if code != (0 if has_state else 2) or (has_state and not same_run(whole, run)):
                wrong.append([number, "resumed", code])
    print(json.dumps({"operations": operations, "resumed": resumed, "wrong": wrong}))


def _forked(words: list[str], run: Path, *, at: int | None = None, count: bool = False) -> int:
    """The exit code of a child that runs `s2s words...`, or the number of its operations on the run."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        seen = 0

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal seen
            opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if (opened or event in _CHANGES) and run.name in str(arguments[0]):
                seen += 1
                if seen == at:
                    os._exit(KILLED)

        sys.addaudithook(watch)
        result: Result = s2s(*words)
        sys.stderr.write(result.err)
        os.write(writing, str(seen).encode())
        os._exit(result.code)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    told = os.read(reading, 100)
    os.close(reading)
    return int(told) if count else os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    main()

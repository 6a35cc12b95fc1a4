"""Text in, text out, from a run directory: what the command line, the server and Python programs use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from s2s.build.run import load_translator
from s2s.translator import Alignment, Translation, Translator

__all__ = ["Alignment", "Translation", "Translator", "load", "translate_lines"]


def load(
    run: str | Path, *, device: Literal["auto", "cpu", "cuda", "mps"] = "auto", threads: int | None = None
) -> Translator:
    """The model of a run directory, ready to answer.

    Raises:
        UserError: the folder is no run, or its weights are damaged or belong to another vocabulary.
    """
    return load_translator(Path(run), device=device, threads=threads)


def translate_lines(
    translator: Translator,
    lines: Iterable[str],
    *,
    n_best: int = 1,
    beam: int | None = None,
    batch_size: int | None = None,
    chunk: int = 1024,
) -> Iterator[list[Translation]]:
    """Answers to a stream of lines, one list a line and in order; `chunk` lines are sorted and decoded together."""
    waiting: list[str] = []
    for line in lines:
        waiting.append(line)
        if len(waiting) == chunk:
            yield from translator.translate(waiting, n_best=n_best, beam=beam, batch_size=batch_size)
            waiting = []
    yield from translator.translate(waiting, n_best=n_best, beam=beam, batch_size=batch_size)

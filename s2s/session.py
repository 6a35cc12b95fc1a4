"""Text in, text out, from a run directory: what the command line, the server and Python programs use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

from s2s.build.load import load_translator
from s2s.errors import UserError
from s2s.translator import Alignment, Translation, Translator

__all__ = ["Alignment", "Translation", "Translator", "load", "text_lines", "translate_lines"]


def load(
    run: str | Path, *, device: Literal["auto", "cpu", "cuda", "mps"] = "auto", threads: int | None = None
) -> Translator:
    """The model of a run directory, ready to answer.

    Raises:
        UserError: the folder is no run, or its weights are damaged or belong to another vocabulary.
    """
    return load_translator(Path(run), device=device, threads=threads)


def text_lines(stream: Iterable[bytes], name: str) -> Iterator[str]:
    """The lines of a byte stream; only a line feed (with or without a carriage return before it) ends one.

    Raises:
        UserError: a line is not UTF-8.
    """
    for number, line in enumerate(stream, start=1):
        try:
            text = line.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{name}, line {number}: not UTF-8 ({error.reason} at byte {error.start + 1} of the line); convert it"
                " first, for example: iconv -f ISO-8859-1 -t UTF-8 OLD > NEW"
            ) from None
        yield text.removeprefix("\ufeff") if number == 1 else text


def translate_lines(
    translator: Translator,
    lines: Iterable[str],
    *,
    n_best: int = 1,
    beam: int | None = None,
    batch_size: int | None = None,
    chunk: int = 1024,
) -> Iterator[tuple[str, list[Translation]]]:
    """Each line of a stream with its answers, in order; `chunk` lines are sorted and decoded together."""
    stream = iter(lines)
    while waiting := list(islice(stream, chunk)):
        answers = translator.translate(waiting, n_best=n_best, beam=beam, batch_size=batch_size)
        yield from zip(waiting, answers, strict=True)

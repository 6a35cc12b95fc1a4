"""Text in, text out, from a run directory: what the command line, the server and Python programs use."""

from __future__ import annotations

from pathlib import Path

from s2s.build.load import Device, Precision, load_translator
from s2s.translator import Alignment, Chat, Constraints, Translation, Translator

__all__ = ["Alignment", "Chat", "Constraints", "Translation", "Translator", "load"]


def load(
    run: str | Path, *, device: Device = "auto", threads: int | None = None, precision: Precision = "float32"
) -> Translator:
    """The model of a run directory, ready to answer.

    Args:
        run: made by `s2s train`.
        device: where it runs; `auto` takes a GPU where there is one.
        threads: of the processor; None: one a core.
        precision: of the products (`docs/serving.md`).

    Raises:
        UserError: the folder is no run, or its weights are damaged or belong to another vocabulary; int8 on a GPU.
    """
    return load_translator(Path(run), device=device, threads=threads, precision=precision)

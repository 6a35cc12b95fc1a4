"""What the server needs of a model, and all that it knows of one: lines of text in, ranked hypotheses out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Translation(Protocol):
    """One hypothesis for one line."""

    @property
    def text(self) -> str: ...

    @property
    def score(self) -> float: ...


class Translator(Protocol):
    """One trained run with one direction. Several threads may call `translate` at once."""

    @property
    def source_lang(self) -> str: ...

    @property
    def target_lang(self) -> str: ...

    @property
    def name(self) -> str: ...

    def translate(
        self, texts: Sequence[str], *, n_best: int = 1, beam: int | None = None
    ) -> Sequence[Sequence[Translation]]:
        """N lines in, N lists out, each with one to n_best hypotheses, best first. No line holds a line break.

        The server leaves `beam` at None: the run's own width, widened to n_best where that is larger.
        """
        ...

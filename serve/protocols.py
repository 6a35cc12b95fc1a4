"""What the server needs of a run, and all that it knows of one: lines of text in and ranked hypotheses out, or turns of
a dialogue in and replies out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias, runtime_checkable

Links: TypeAlias = Sequence[tuple[int, int]]
"""(word of a text, word of its translation) in any number: words are what white space separates, counted from 0."""


class Translation(Protocol):
    """One hypothesis for one line."""

    @property
    def text(self) -> str: ...

    @property
    def links(self) -> Links | None:
        """Which words belong together; None where nobody asked, or the model can't tell."""
        ...


class Attention(Protocol):
    """What a model looked at: one row of weights a word of the answer, one column a word of the source."""

    @property
    def source(self) -> Sequence[str]: ...

    @property
    def target(self) -> Sequence[str]: ...

    @property
    def weights(self) -> Sequence[Sequence[float]]: ...


class Translator(Protocol):
    """One trained run with one direction. Several threads may call `translate` at once."""

    @property
    def source_lang(self) -> str: ...

    @property
    def target_lang(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def draws(self) -> bool:
        """Whether answers are samples, which depend on a line's place in the call, so that none mixes requests."""
        ...

    def translate(
        self,
        texts: Sequence[str],
        *,
        n_best: int = 1,
        required: Sequence[Sequence[str]] | None = None,
        linked: bool = False,
    ) -> Sequence[Sequence[Translation]]:
        """N lines in, N lists out, each with one to n_best hypotheses, best first. No line holds a line break.

        `required` has for each line the words that its hypotheses hold. `linked` asks for their links. Raises UserError
        for a word that the model can't write.
        """
        ...

    def attention(self, source: str, target: str) -> Sequence[Attention]:
        """What the model looks at while it writes `target` as the translation of `source`, both one line.

        One map, or one a sentence where the line is too long for the model; none where there is nothing to show: no
        attention in the model, or too much to show.
        """
        ...


class Reply(Protocol):
    """What was said; `tokens` of the model it has, and `finished` is False where the limit cut it off."""

    @property
    def text(self) -> str: ...

    @property
    def tokens(self) -> int: ...

    @property
    def finished(self) -> bool: ...


@runtime_checkable
class Speaker(Protocol):
    """One run that was trained on dialogues. Several threads may call it at once."""

    @property
    def name(self) -> str: ...

    def tokens(self, turns: Sequence[str]) -> int:
        """How many tokens of a history the model reads."""
        ...

    def reply(
        self,
        turns: Sequence[str],
        *,
        count: int = 1,
        temperature: float | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        max_tokens: int | None = None,
    ) -> Sequence[Reply]:
        """Up to `count` replies to the last of the turns, best first; what is None is as the run does it.

        A temperature of 0 takes the likeliest words, another one (or `top_p`) draws them. Raises UserError when the
        run can't do what is asked.
        """
        ...


Run: TypeAlias = Translator | Speaker

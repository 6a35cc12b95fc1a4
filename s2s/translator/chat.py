"""A conversation with a model of dialogues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from s2s.errors import UserError
from s2s.text.turns import Turns, history, one_turn
from s2s.translator.answers import Translation

if TYPE_CHECKING:
    from s2s.translator.translator import Translator


class Chat:
    """What was said so far, and a model that answers. `turns` is all of its state: it may be read, saved and set.

    Args:
        translator: of a run of dialogues.
        search: keys of `[search]` that win over the run's, such as `{"sample": True, "temperature": 0.8}`.

    Raises:
        UserError: the run is not of dialogues, or keys that do not exist or go together.
    """

    def __init__(self, translator: Translator, *, search: Mapping[str, Any] | None = None) -> None:
        if not isinstance(translator.source, Turns):
            raise UserError(
                f"{translator.name}: was trained on pairs and holds no conversation; ask it with `s2s translate`, or"
                " train on dialogues (docs/dialogue.md)"
            )
        translator.translate([], search=search)  # checks the keys
        self.translator, self.search = translator, dict(search or {})
        self.turns: list[str] = []

    def say(self, text: str, *, candidates: int = 1) -> list[Translation]:
        """The model's replies to a turn, best first; the first one is what it said.

        Samples differ in what is drawn, a latent variable included, as the seed and the number of the turn decide.
        Otherwise they are the best of a beam.

        Raises:
            UserError: nothing but white space, or no candidates are asked for.
        """
        turn = one_turn(text)
        if not turn:
            raise UserError("nothing was said: expected a turn with text")
        found = self._replies(history([*self.turns, turn]), candidates)
        self.turns += [turn, found[0].text]
        return found

    def go_on(self, *, candidates: int = 1) -> list[Translation]:
        """The model's replies to whatever was said last, also by itself; with nothing said it begins. As `say`."""
        found = self._replies(history(self.turns), candidates)
        self.turns.append(found[0].text)
        return found

    def reset(self) -> None:
        """Forget what was said."""
        self.turns.clear()

    def _replies(self, said: str, candidates: int) -> list[Translation]:
        if candidates < 1:
            raise UserError(f"candidates = {candidates}: expected at least 1, the reply itself")
        translate, first = self.translator.translate, len(self.turns) * 1_000
        sampled = self.search.get("sample", self.translator.config.search.sample)
        if not sampled:
            return translate([said], n_best=candidates, search=self.search, first=first)[0]
        drawn = translate([said] * candidates, search=self.search, first=first)
        return sorted((one[0] for one in drawn), key=lambda reply: -reply.score)

"""Which run answers a pair of language codes, and what to say when none does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from s2s.errors import UserError

from .protocols import Translator
from .refusal import Refusal

AUTO = "auto"
LONGEST_CODE = 35  # RFC 5646, section 4.4.1; longer ones are cut when an error repeats them


@dataclass(frozen=True)
class Direction:
    """A resolved request. Without a translator the text stays as it is; `assumed`: the client left the source open."""

    source: str
    translator: Translator | None
    assumed: bool = False


class Directions:
    """The table (source, target) -> translator of one server."""

    def __init__(self, translators: Sequence[Translator]) -> None:
        """Raise UserError when there is nothing to serve, or when two runs would answer the same pair."""
        if not translators:
            raise UserError("There is no run to serve; name at least one run directory.")
        self._table: dict[tuple[str, str], Translator] = {}
        for translator in translators:
            pair = (translator.source_lang, translator.target_lang)
            if AUTO in pair:
                raise UserError(
                    f"The run {translator.name!r} calls a language 'auto', which clients send for 'detect'."
                )
            if (other := self._table.setdefault(pair, translator)) is not translator:
                both = f"{other.name!r} and {translator.name!r}"
                raise UserError(f"The runs {both} both translate {pair[0]} to {pair[1]}; serve one of them.")

    def sources(self) -> dict[str, list[str]]:
        """Each source code with its targets, in the order in which the runs were given."""
        targets: dict[str, list[str]] = {}
        for source, target in self._table:
            targets.setdefault(source, []).append(target)
        return targets

    def find(self, source: str, target: str) -> Direction:
        """Resolve what a client asked for; `auto` stands for the only source that leads to the target.

        Equal codes without a run of their own leave the text unchanged, as LibreTranslate does. Raises Refusal (400).
        """
        known = {code for pair in self._table for code in pair}
        for code in (target,) if source == AUTO else (source, target):
            if code not in known:
                raise Refusal(400, f"{code[:LONGEST_CODE]} is not supported")
        if source == AUTO:
            return self._assume(target)
        if (translator := self._table.get((source, target))) is not None:
            return Direction(source, translator)
        if source == target:
            return Direction(source, None)
        if source not in self.sources():
            raise Refusal(400, f"{source} is not supported as a source; {self._available()}")
        raise Refusal(400, f"{target} is not supported as a target of {source}; {self._available()}")

    def _assume(self, target: str) -> Direction:
        sources = [pair[0] for pair in self._table if pair[1] == target]
        match sources:
            case []:
                raise Refusal(400, f"{target} is not supported as a target; {self._available()}")
            case [source]:
                return Direction(source, self._table[source, target], assumed=True)
            case _:
                choices = " or ".join(sources)
                raise Refusal(400, f"auto is not supported: the source may be {choices}; name it in the request")

    def _available(self) -> str:
        return "available: " + ", ".join(f"{source} -> {target}" for source, target in self._table)

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
    """A resolved request. Without a translator the text stays as it is."""

    source: str
    translator: Translator | None


class Directions:
    """The table (source, target) -> translator of one server."""

    def __init__(self, translators: Sequence[Translator]) -> None:
        """Raise UserError when two runs would answer the same pair."""
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

    def targets(self) -> list[str]:
        """Each target code."""
        return list(dict.fromkeys(target for _, target in self._table))

    def codes(self) -> list[str]:
        """Every language code, sources first."""
        return list(dict.fromkeys([pair[side] for side in (0, 1) for pair in self._table]))

    def find(self, source: str, target: str) -> Direction:
        """What answers a pair of codes.

        Equal codes without a run of their own leave the text unchanged, as LibreTranslate does. Raises Refusal (400).
        """
        self._check_known(source, target)
        if (translator := self._table.get((source, target))) is not None:
            return Direction(source, translator)
        if source == target:
            return Direction(source, None)
        if source not in self.sources():
            raise Refusal(400, f"{source} is not supported as a source; {self._available()}")
        raise Refusal(400, f"{target} is not supported as a target of {source}; {self._available()}")

    def leading_to(self, target: str) -> list[Direction]:
        """All that answer in this language, at least one. Raises Refusal (400)."""
        self._check_known(target)
        found = [Direction(pair[0], translator) for pair, translator in self._table.items() if pair[1] == target]
        if not found:
            raise Refusal(400, f"{target} is not supported as a target; {self._available()}")
        return found

    def _check_known(self, *codes: str) -> None:
        for code in codes:
            if code not in self.codes():
                raise Refusal(400, f"{code[:LONGEST_CODE]} is not supported")

    def _available(self) -> str:
        return "available: " + (", ".join(f"{source} -> {target}" for source, target in self._table) or "none")

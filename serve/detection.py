"""Which of some languages a text is written in, by py3langid's naive Bayes over byte sequences."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from s2s.errors import MissingExtraError

LONGEST = 2000  # characters that are looked at
SYNONYMS = {"nb": "no", "fil": "tl", "iw": "he"}


class Guess(NamedTuple):
    """A language code as the runs have it, and its probability among those asked for."""

    language: str
    confidence: float


class Detector:
    """Loads its model (5 MB, which comes with the library) when it is first asked; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._identifier: Any = None

    def known(self, codes: Iterable[str]) -> list[str]:
        """Those of the codes that it can tell; runs may name their languages as they like."""
        labels = set(self._loaded().labels)
        return [code for code in codes if _label(code) in labels]

    def rank(self, text: str, codes: Sequence[str]) -> list[Guess]:
        """The codes, the likeliest first; [] when nothing in the text tells them apart. It must know all of them."""
        ranked = dict(self._loaded().rank(text[:LONGEST])) if text.strip() else {}
        found = {code: ranked.get(_label(code), 0.0) for code in codes}
        total = sum(found.values())
        if len({*found.values()}) < 2:
            return []
        return sorted((Guess(code, share / total) for code, share in found.items()), key=lambda one: -one.confidence)

    def _loaded(self) -> Any:
        with self._lock:
            if self._identifier is None:
                try:
                    from py3langid.langid import MODEL_FILE, LanguageIdentifier
                except ImportError:
                    raise MissingExtraError("py3langid", "serve", "detecting languages") from None
                self._identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
            return self._identifier


def _label(code: str) -> str:
    """The identifier's name of a language: without a country or script (pt-BR, zh_Hant)."""
    base = code.replace("_", "-").partition("-")[0].lower()
    return SYNONYMS.get(base, base)

"""Two habits that all tokenizers share: where a decoded text ends, and what a lone surrogate becomes."""

from __future__ import annotations

from collections.abc import Iterable

from s2s.text.vocab import BOS, EOS, PAD


def content(ids: Iterable[int]) -> list[int]:
    """The ids before the first EOS, without PAD and BOS."""
    kept: list[int] = []
    for i in ids:
        if i == EOS:
            break
        if i not in (PAD, BOS):
            kept.append(int(i))
    return kept


def encodable(text: str) -> str:
    """The text with U+FFFD for every lone surrogate (JSON can carry them, UTF-8 and SentencePiece cannot)."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    return text

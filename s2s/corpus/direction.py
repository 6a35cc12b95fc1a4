"""Which way round the languages of files are, by their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from s2s.corpus.formats import Format, suffix_format
from s2s.corpus.lines import named
from s2s.corpus.read import languages_of
from s2s.errors import UserError


def check_direction(paths: Sequence[str | Path], direction: tuple[str, str], *, format: Format = "auto") -> None:
    """Refuse files whose names put the languages the other way round: `train.de train.en` for English to German.

    `direction` is (source, target). Names that say nothing, or other codes (`train.cn` for zh), contradict nothing;
    neither do JSON lines, where keys say what is what. UserError with what the names say and what was expected.
    """
    if not paths or (len(paths) == 1 and (format == "jsonl" or suffix_format(paths[0]) == "jsonl")):
        return
    codes = languages_of(paths)
    if not _contradict(codes, direction):
        return
    files = " and ".join(named(path) for path in paths)
    said, wanted = (f"{one[0] or '?'} to {one[1] or '?'}" for one in (codes, direction))
    order = "Name the file of the source first" if len(paths) == 2 else "Put the column of the source first"
    raise UserError(
        f"{files}: by name {said}, expected {wanted} (data.source_lang and data.target_lang, else the names of the"
        f" training files). {order}, or mend the languages"
    )


def _contradict(codes: tuple[str | None, str | None], direction: tuple[str, str]) -> bool:
    """Whether a side is named as the language of the other one."""
    source, target = direction
    if source == target:
        return None not in codes and codes[0] != codes[1] and source in codes
    return codes[0] == target or codes[1] == source

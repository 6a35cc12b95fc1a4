"""HTML that stays as it is while its text is translated.

The text between two tags (or comments) is translated by itself, so a sentence with a tag inside is translated in parts.
Everything else is given back letter by letter: tags with their attributes, comments, declarations, white space around
texts, and what stands in an element that holds no prose or that says `translate="no"`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import accumulate

SILENT = frozenset(
    {"script", "style", "code", "pre", "kbd", "samp", "var", "textarea", "math", "svg", "noscript", "template"}
)
VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
)
SPACES = re.compile(r"[ \t\r\n\f]+")
CLOSING = "-->"
"""Put behind a text: else the parser would look for the end of everything left open again and again."""


class Page:
    """A text with markup; `texts` are what to translate, in order, each in one line."""

    def __init__(self, source: str) -> None:
        reader = _Reader(source)
        self._parts = [""]  # markup and text in turn, markup first and last
        for raw, is_text in reader.pieces():
            inner = raw.strip()
            if not is_text or not html.unescape(inner).strip():
                self._parts[-1] += raw
                continue
            start = raw.index(inner)
            self._parts[-1] += raw[:start]
            self._parts += [inner, raw[start + len(inner) :]]
        self.texts = [SPACES.sub(" ", html.unescape(part)) for part in self._parts[1::2]]

    def filled(self, translations: Sequence[str]) -> str:
        """The page with a translation in the place of each text."""
        parts = list(self._parts)
        parts[1::2] = [html.escape(text, quote=False) for text in translations]
        return "".join(parts)


class _Reader(HTMLParser):
    """Notes where each tag, comment and text begins; what they say is read from the source itself."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self._source = source
        self._lines = [0, *accumulate(len(line) + 1 for line in source.split("\n"))]
        self._starts: list[tuple[int, bool]] = []
        self._silent: list[str] = []  # elements under way, from the one that keeps what is in it
        self.feed(source + CLOSING)
        self.close()

    def pieces(self) -> list[tuple[str, bool]]:
        """The source cut into markup (False) and text (True)."""
        ends = [start for start, _ in self._starts[1:]] + [len(self._source)]
        found = [(self._source[start:end], text) for (start, text), end in zip(self._starts, ends, strict=True)]
        return [(raw, text) for raw, text in found if raw]

    def _note(self, *, text: bool) -> None:
        line, column = self.getpos()
        start = min(self._lines[line - 1] + column, len(self._source)) if self._starts else 0
        if not self._starts or self._starts[-1] != (start, text):
            self._starts.append((start, text))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(text=False)
        if tag not in VOID and (self._silent or tag in SILENT or ("translate", "no") in attrs):
            self._silent.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self._note(text=False)

    def handle_endtag(self, tag: str) -> None:
        self._note(text=False)
        if tag in self._silent:  # an end closes what was left open within
            del self._silent[len(self._silent) - 1 - self._silent[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:  # noqa: ARG002
        self._note(text=not self._silent)

    def handle_comment(self, data: str) -> None:  # noqa: ARG002
        self._note(text=False)

    def handle_decl(self, decl: str) -> None:  # noqa: ARG002
        self._note(text=False)

    def handle_pi(self, data: str) -> None:  # noqa: ARG002
        self._note(text=False)

    def parse_marked_section(self, i: int, report: int = 1) -> int:  # noqa: ARG002
        """`<![CDATA[` and the like are comments in HTML; the parser below stumbles over those that it does not know."""
        return self.parse_bogus_comment(i)

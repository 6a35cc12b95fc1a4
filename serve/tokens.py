"""HTML in parts: text, tags within sentences, and what stands between sentences or is not to be translated."""

from __future__ import annotations

import html
from collections.abc import Mapping
from html.parser import HTMLParser
from itertools import accumulate
from typing import Literal, NamedTuple

SILENT = frozenset(
    {"script", "style", "code", "pre", "kbd", "samp", "var", "textarea", "math", "svg", "noscript", "template"}
)
VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
)
BLOCKS = frozenset({
    "address", "article", "aside", "audio", "blockquote", "body", "br", "button", "canvas", "caption", "center",
    "col", "colgroup", "dd", "details", "dialog", "dir", "div", "dl", "dt", "fieldset", "figcaption", "figure",
    "footer", "form", "frame", "frameset", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hgroup", "hr",
    "html", "iframe", "legend", "li", "main", "menu", "nav", "noscript", "object", "ol", "optgroup", "option",
    "p", "pre", "section", "select", "summary", "table", "tbody", "td", "template", "textarea", "tfoot", "th",
    "thead", "title", "tr", "ul", "video",
})  # fmt: skip
"""Between what is before and behind these no sentence goes on; it does across all others, also unknown ones."""

CLOSING = "-->"
"""Put behind a text: else the parser would look for the end of everything left open again and again."""

Kind = Literal["text", "open", "close", "point", "block"]


class Token(NamedTuple):
    """A part of the source. Points are markup within a sentence that holds no text of it: `<img>`, a comment, `<code>`
    with all that is in it."""

    raw: str
    kind: Kind
    name: str = ""

    @property
    def prose(self) -> str:
        return html.unescape(self.raw) if self.kind == "text" else ""


def tokens_of(source: str) -> list[Token]:
    """The parts of a text with markup; together they are the text. Anything is read, also what is no HTML."""
    return _Reader(source).tokens()


class _Reader(HTMLParser):
    """Notes where each part begins; what it says is read from the source itself."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self._source = source
        self._lines = [0, *accumulate(len(line) + 1 for line in source.split("\n"))]
        self._starts: list[tuple[int, Kind, str]] = []
        self._silent: list[str] = []  # elements under way, from the one that keeps what is in it
        self.feed(source + CLOSING)
        self.close()

    def tokens(self) -> list[Token]:
        """The source in its parts."""
        ends = [start for start, _, _ in self._starts[1:]] + [len(self._source)]
        found = [
            Token(self._source[start:end], kind, name)
            for (start, kind, name), end in zip(self._starts, ends, strict=True)
        ]
        return [token for token in found if token.raw]

    def _note(self, kind: Kind, name: str = "") -> None:
        if self._silent:
            return
        line, column = self.getpos()
        start = min(self._lines[line - 1] + column, len(self._source)) if self._starts else 0
        self._starts.append((start, "block" if name in BLOCKS else kind, name))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        silent = tag not in VOID and (bool(self._silent) or tag in SILENT or _kept(dict(attrs)))
        self._note("point" if silent or tag in VOID else "open", tag)
        if silent:
            self._silent.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self._note("point", tag)

    def handle_endtag(self, tag: str) -> None:
        self._note("close", tag)
        if tag in self._silent:  # an end closes what was left open within
            del self._silent[len(self._silent) - 1 - self._silent[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:  # noqa: ARG002
        self._note("text")

    def handle_comment(self, data: str) -> None:  # noqa: ARG002
        self._note("point")

    def handle_decl(self, decl: str) -> None:  # noqa: ARG002
        self._note("point")

    def handle_pi(self, data: str) -> None:  # noqa: ARG002
        self._note("point")

    def parse_marked_section(self, i: int, report: int = 1) -> int:  # noqa: ARG002
        """`<![CDATA[` and the like are comments in HTML; the parser below stumbles over those that it does not know."""
        return self.parse_bogus_comment(i)


def _kept(attributes: Mapping[str, str | None]) -> bool:
    """Whether an element says that its content is not to be translated."""
    return attributes.get("translate") == "no" or "notranslate" in (attributes.get("class") or "").split()

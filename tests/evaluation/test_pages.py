"""Reports: valid HTML and Markdown that show any text as it is."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from s2s.evaluation import Evaluation, Picture, System, Table, summary, tables
from s2s.evaluation.pages import html, markdown
from s2s.evaluation.words import as_text
from s2s.metrics import compared_scores
from s2s.metrics.buckets import word_counts
from s2s.metrics.sampling import Sampling

VOID = {"meta", "img"}
NASTY = "</td><script>alert('1')</script> & \"x\" | `y` *z* [a](b) \\ <unk> $"
PICTURE = Picture("a.png", "Attention <of> it", b"\x89PNG")


class Reader(HTMLParser):
    """Checks that tags are closed in order, and keeps the text of cells and everything that is loaded."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.cells: list[str] = []
        self.loaded: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def evaluated(answers: dict[str, list[str]], references: list[str], **scores: Any) -> Evaluation:
    rows = compared_scores(list(answers.values()), references, sampling=Sampling(resamples=20))
    systems = [
        System(name, references, texts, {**row, **scores})
        for (name, texts), row in zip(answers.items(), rows, strict=True)
    ]
    counts = word_counts(references)
    return Evaluation("a.tsv", references, systems, counts=counts, counted="the references", test="paired bootstrap")


def test_a_page_is_whole_and_escapes() -> None:
    evaluation = evaluated({NASTY: [NASTY, "b c d"]}, ["x y z", NASTY])
    found = [*summary(evaluation), *tables(evaluation, examples=2)]
    page = html(evaluation, found, [PICTURE])
    assert page.startswith("<!DOCTYPE html>\n")
    reader = read(page)
    assert {"html", "head", "title", "body", "table", "img"} <= reader.tags
    assert not {"script", "link", "iframe"} & reader.tags
    assert reader.loaded == ["data:image/png;base64,iVBORw=="]
    assert "http" not in page
    assert NASTY in reader.cells
    assert [cell for table in found for row in [table.header, *table.rows] for cell in row] == reader.cells


CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=4))
def test_any_text_stays_what_it_is(rows: list[tuple[str, str]]) -> None:
    evaluation = evaluated({"a": ["x"]}, ["x"])
    table = Table("Title", ["one", "two"], rows)
    assert read(html(evaluation, [table], [])).cells == ["one", "two", *(cell for row in rows for cell in row)]
    lines = markdown(evaluation, [table], []).split("\n")
    start = lines.index("| one | two |")
    for row, line in zip(rows, lines[start + 2 :], strict=False):
        cells = [" ".join(cell.split()) for cell in row]
        assert re.split(r"(?<!\\)(?:\\\\)*\|", line)[0] == ""
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 3
        assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", line) == "| " + " | ".join(cells) + " |"


def test_markdown_shows_pictures_and_escapes() -> None:
    evaluation = evaluated({"run|1": ["<unk> a"]}, ["<unk> b"])
    text = markdown(evaluation, [*summary(evaluation), *tables(evaluation, examples=1)], [PICTURE])
    assert "# Evaluation of run\\|1\n" in text
    assert "![Attention \\<of\\> it](a.png)" in text
    assert "\\<unk\\> a" in text
    assert "|  | run\\|1 |" in text


def test_scores_and_differences() -> None:
    answers = {"weak": ["a b c d x", "e f g h x"] * 9, "good": ["a b c d e", "e f g h i"] * 9}
    evaluation = evaluated(answers, ["a b c d e", "e f g h i"] * 9, perplexity=1e9, token_accuracy=0.25)
    scores, differences = summary(evaluation)
    cells = {row[0]: row[1:] for row in scores.rows}
    assert scores.header == ["", "weak", "good"]
    assert cells["BLEU"][1] == "100.00 ± 0.00"
    assert cells["exact match, %"] == ["0.00 ± 0.00", "100.00 ± 0.00"]
    assert cells["perplexity a token"] == ["1.00e+09"] * 2
    assert cells["token accuracy, %"] == ["25.00"] * 2
    assert differences.title == "Difference to weak"
    assert {row[0]: row[1][:7] for row in differences.rows}["exact match, %"] == "+100.00"
    assert all(row[1].endswith("*") for row in differences.rows)
    assert "perplexity a token" not in {row[0] for row in differences.rows}


def test_worst_and_best() -> None:
    answers = {"a": ["right one", "zz", "right onf"]}
    evaluation = evaluated(answers, ["right one"] * 3)
    worst, best = tables(evaluation, examples=2)[-2:]
    assert [row[0] for row in worst.rows] == ["2", "3"]
    assert [row[0] for row in best.rows] == ["1", "3"]
    assert len(tables(evaluation, examples=0)) == 3


def test_the_console_gets_whole_lines(monkeypatch: Any) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    text = as_text([Table("T [bold]", ["pair", "text"], [["1", "long " * 80], ["2", "[red]x[/]"]], "note")])
    assert "long " * 79 in text
    assert "[red]x[/]" in text
    assert text.startswith("T [bold]\n")
    assert text.endswith("note")

"""One report as Markdown (pictures beside it) and as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape

from s2s.evaluation.result import Evaluation, Picture, Table
from s2s.evaluation.tables import LABELS

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; color: #222; }
div { overflow-x: auto; }
table { border-collapse: collapse; margin: 0.5em 0; }
th, td { padding: 0.25em 0.75em; text-align: left; vertical-align: top; border-bottom: 1px solid #ccc; }
th { border-bottom: 2px solid #222; }
code { overflow-wrap: anywhere; }
img { max-width: 100%; }
""".strip()


def title(evaluation: Evaluation) -> str:
    return "Evaluation of " + ", ".join(system.name for system in evaluation.systems)


def facts(evaluation: Evaluation) -> list[tuple[str, str]]:
    """What the scores were made of, as names and values: the test set, and each signature and note."""
    found = [("Test set", f"{evaluation.data}, {len(evaluation.references):,} pairs")]
    first = evaluation.systems[0].scores
    found += [(f"{LABELS[name]} signature", text) for name, text in first.get("signatures", {}).items()]
    for system in evaluation.systems:
        if "beam" in system.scores:
            speed = f"beam {system.scores['beam']}, {system.scores['sentences_per_second']:,.1f} sentences/s"
            other = [f"search.{key} = {value}" for key, value in system.scores.get("search", {}).items()]
            found.append((system.name, "; ".join([speed, *other, *system.notes])))
    return found


def markdown(evaluation: Evaluation, tables: Sequence[Table], pictures: Sequence[Picture]) -> str:
    return markdown_page(title(evaluation), facts(evaluation), tables, pictures)


def html(evaluation: Evaluation, tables: Sequence[Table], pictures: Sequence[Picture]) -> str:
    return html_page(title(evaluation), facts(evaluation), tables, pictures)


def markdown_page(
    heading: str, known: Sequence[tuple[str, str]], tables: Sequence[Table], pictures: Sequence[Picture]
) -> str:
    """Heading, names and values, tables, and pictures that lie beside the page."""
    lines = [f"# {_plain(heading)}", ""]
    lines += [f"- {_plain(name)}: {_plain(text)}" for name, text in known]
    for table in tables:
        lines += ["", f"## {_plain(table.title)}", ""]
        lines += [_row(table.header), "|" + " --- |" * len(table.header), *map(_row, table.rows)]
        lines += ["", _plain(table.note)] if table.note else []
    if pictures:
        lines += ["", "## Pictures"]
    for picture in pictures:
        lines += ["", f"![{_plain(picture.caption)}]({picture.name})"]
    return "\n".join([*lines, ""])


def html_page(
    heading: str, known: Sequence[tuple[str, str]], tables: Sequence[Table], pictures: Sequence[Picture]
) -> str:
    """The same with the pictures inside."""
    name = escape(heading)
    items = [f"<li>{escape(key)}: <code>{escape(text)}</code></li>" for key, text in known]
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{name}</title>",
        f"<style>\n{_STYLE}\n</style>",
        "</head>",
        "<body>",
        f"<h1>{name}</h1>",
        *["<ul>", *items, "</ul>"],
        *(_html_table(table) for table in tables),
        *(["<h2>Pictures</h2>"] if pictures else []),
        *(_figure(picture) for picture in pictures),
        "</body>",
        "</html>",
        "",
    ]
    return "\n".join(parts)


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&!$])", r"\\\1", " ".join(text.split()))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_plain(cell) for cell in cells) + " |"


def _html_table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.header)
    rows = ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows]
    grid = ["<div>", "<table>", f"<thead><tr>{head}</tr></thead>", "<tbody>", *rows, "</tbody>", "</table>", "</div>"]
    note = [f"<p>{escape(table.note)}</p>"] if table.note else []
    return "\n".join([f"<h2>{escape(table.title)}</h2>", *grid, *note])


def _figure(picture: Picture) -> str:
    inlined = base64.b64encode(picture.png).decode("ascii")
    caption = escape(picture.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{inlined}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )

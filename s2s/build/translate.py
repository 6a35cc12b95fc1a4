"""`s2s translate`: a stream of texts in, a stream of answers out, in their order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from s2s.build.load import Device, Precision, load_translator
from s2s.build.report import one_line
from s2s.build.score import refuse_without_attention
from s2s.build.streams import arriving, json_line, reading, writing
from s2s.build.words import split_search
from s2s.corpus.formats import suffix_format
from s2s.errors import UserError
from s2s.passages import Split, Wish, align_passages, translate_passages
from s2s.scoring import pharaoh
from s2s.text.turns import Turns
from s2s.translator import Constraints, Translation, Translator

Layout = Literal["auto", "text", "json"]


@dataclass(frozen=True)
class Answering:
    """The words of `s2s translate`."""

    words: Sequence[str]
    """Runs, and overrides of `[search]`."""
    to: str | None = None
    """The language to write, of runs with several."""
    beam: int | None = None
    batch_size: int | None = None
    n_best: int = 1
    split: Split = "auto"
    input: Path | None = None
    output: Path | None = None
    alignments: Path | None = None
    input_format: Layout = "auto"
    output_format: Layout = "auto"
    device: Device = "auto"
    precision: Precision = "float32"

    def layouts(self) -> tuple[Layout, Layout]:
        """What the texts come in and the answers go out as; by suffix if not said, standard output like the input."""
        come = _layout(self.input_format, self.input, "text")
        return come, _layout(self.output_format, self.output, come if self.output is None else "text")


@dataclass(frozen=True)
class Item:
    """A line that came in: its text, and what else a JSON line held."""

    text: str
    fields: dict[str, Any]
    constraints: Constraints


def translate_verb(asked: Answering) -> None:
    """Answer every line of the input, a batch as soon as it has arrived.

    Raises:
        UserError: whatever is wrong with runs, overrides, files or lines; a file under `output` is then not touched.
    """
    come, go = asked.layouts()
    with ExitStack() as files:
        stream, name = files.enter_context(reading(asked.input))
        translator, wish = _open(asked, token_scores=go == "json")
        output = files.enter_context(writing(asked.output, "--output"))
        links = None
        if asked.alignments is not None:
            refuse_without_attention(translator)
            links = files.enter_context(writing(asked.alignments, "--alignments"))
        written = partial(one_line, tabs=not isinstance(translator.source, Turns))
        number = pieces = 0
        for lines in arriving(stream, name):
            items = [_item(line, come, name, number + row) for row, line in enumerate(lines, start=1)]
            texts, constraints = [item.text for item in items], [item.constraints for item in items]
            passages = translate_passages(translator, texts, wish, constraints=constraints, first=pieces)
            pieces += sum(len(passage.pieces) for passage in passages)
            for item, passage in zip(items, passages, strict=True):
                number += 1
                output.writelines(_lines(item, passage.joined(), number, go, asked.n_best, written))
            output.flush()
            if links is not None:
                links.writelines(f"{pharaoh(found)}\n" for found in align_passages(translator, passages))


def _layout(said: Layout, path: Path | None, otherwise: Layout) -> Layout:
    if said != "auto":
        return said
    return "json" if path is not None and suffix_format(path) == "jsonl" else otherwise


def _open(asked: Answering, *, token_scores: bool) -> tuple[Translator, Wish]:
    """The model, or models that answer as one, and what they are asked for, checked before anything is read."""
    runs, search = split_search(asked.words)
    if not runs:
        raise UserError("expected a run directory made by `s2s train`, or several for an ensemble; got only overrides")
    wish = Wish(
        n_best=asked.n_best,
        beam=asked.beam,
        batch_size=asked.batch_size,
        search=search,
        token_scores=token_scores,
        alignments=token_scores and asked.alignments is not None,
        split=asked.split,
    )
    members = [load_translator(run, device=asked.device, precision=asked.precision) for run in runs]
    translator = members[0] if len(members) == 1 else Translator.ensemble(members)
    translator = translator if asked.to is None else translator.to(asked.to)
    translate_passages(translator, [], wish)  # checks the keys
    return translator, wish


def _item(line: str, layout: Layout, name: str, number: int) -> Item:
    if layout != "json":
        return Item(line, {}, Constraints())
    where = f"{name}, line {number}"
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise UserError(f'{where}: not valid JSON; expected one object a line such as {{"text": "..."}}') from None
    text = found.get("text") if isinstance(found, dict) else None
    if not isinstance(text, str):
        got = (
            f"the keys {', '.join(map(repr, found)) or 'of an empty object'}"
            if isinstance(found, dict)
            else "no object"
        )
        raise UserError(f'{where}: got {got}; expected an object with a text under "text"')
    return Item(text, found, _constraints(found, where))


def _constraints(found: dict[str, Any], where: str) -> Constraints:
    """What `prefix`, `required` and `banned` of a JSON line ask for.

    Raises:
        UserError: they hold something else than a text and lists of texts.
    """
    prefix, lists = found.get("prefix"), [found.get(key, []) for key in ("required", "banned")]
    fits = [isinstance(texts, list) and all(isinstance(text, str) for text in texts) for texts in lists]
    if not all(fits) or not isinstance(prefix, str | None):
        raise UserError(
            f'{where}: "prefix" must be a text, "required" and "banned" lists of texts; mend it, or call it otherwise'
        )
    return Constraints(prefix, *lists)


def _lines(
    item: Item,
    found: Sequence[Translation],
    number: int,
    layout: Layout,
    n_best: int,
    written: Callable[[str], str],
) -> Iterator[str]:
    if layout == "json":
        best = {"source": item.text, "text": found[0].text, "score": found[0].score}
        yield json_line({**item.fields, **best, "translations": [_known(answer) for answer in found]})
    elif n_best == 1:
        yield f"{written(found[0].text)}\n"
    else:
        yield from (f"{number}\t{answer.score:.4f}\t{written(answer.text)}\n" for answer in found)


def _known(answer: Translation) -> dict[str, Any]:
    """The fields that were asked for."""
    return {key: value for key, value in answer._asdict().items() if value is not None}

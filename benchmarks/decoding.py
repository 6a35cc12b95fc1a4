"""Decoding beside JoeyNMT and OpenNMT-py: `python benchmarks/decoding.py WORK`, after `training.py WORK --bleu N`.

Each tool answers in a process of its own that has loaded its model, on one core with one thread; they take turns, in
rounds. A time is that of the call alone: pieces, search and text, no loading. Rates are medians over rounds, ratios
medians of quotients within a round. `--variant "int8=search.key=value ..."` adds rows of our models with other keys of
`[search]`; no time is given where BLEU differs by more than 0.1 from the reference search of the model in float32
(`--reference`: keys that make it plain). Ours answer in `--precision`.

`--growth` looks instead at what more work costs: 1x, 4x and 16x as many sentences, and texts 1x, 4x and 16x as long,
whose answers are as long as their sources by order.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import measure
import sacrebleu
import typer
from peers.place import Place, prepare
from peers.process import Worker, pin, workers
from peers.tools import SIZES, tools

MOST_OFF = 0.1
"""BLEU beside the reference search, either way."""
FACTORS = (1, 4, 16)


class Task(NamedTuple):
    """What all are asked for."""

    beam: int
    batch: int
    singly: bool
    """One call a sentence, whose median is a waiting time; else one call for all."""

    def __str__(self) -> str:
        search = "greedy" if self.beam == 1 else f"beam {self.beam}"
        return f"{search}, one sentence" if self.singly else f"{search}, batch {self.batch}"


TASKS = [Task(beam, batch, singly) for batch, singly in ((64, False), (1, False), (1, True)) for beam in (1, 5)]


class Way(NamedTuple):
    """A model and how it searches."""

    model: str
    variant: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.model} {self.variant}".strip()


@dataclass(frozen=True)
class Row:
    """One way at one task."""

    way: str
    task: str
    sentences: int
    seconds: list[float]
    """Of each round: of all sentences, or of the median one."""
    rate: float | None
    """Sentences a second; None where BLEU is not that of the reference search."""
    milliseconds: float | None
    """A sentence."""
    ratio: float | None
    """Times as fast as the peer of the same size."""
    bleu: float | None


def ways_of(models: Sequence[str], variants: Sequence[str]) -> list[Way]:
    """Every model as it is, and ours in each variant (`NAME=search.key=value ...`)."""
    named = [variant.partition("=") for variant in variants]
    if wrong := [variant for variant, (_, _, words) in zip(variants, named, strict=True) if "=" not in words]:
        raise SystemExit(f"--variant {wrong[0]!r}: expected NAME=search.key=value, with spaces between several keys")
    return [
        way
        for model in models
        for way in (
            Way(model, "", ()),
            *(Way(model, name, tuple(words.split())) for name, _, words in named if model in SIZES),
        )
    ]


def plainly(model: str) -> str:
    """The worker that answers with a model of ours in float32."""
    return f"{model} float32"


def bleu_of(answers: Sequence[str], references: Sequence[str]) -> float:
    return float(sacrebleu.corpus_bleu(answers, [references]).score)


def in_turns(
    running: Mapping[str, Worker], ways: Sequence[Way], task: Task, lines: Sequence[str], rounds: int
) -> tuple[dict[Way, list[float]], dict[Way, list[str]]]:
    """Seconds of each round, and the answers of the last."""
    seconds: dict[Way, list[float]] = {way: [] for way in ways}
    answers: dict[Way, list[str]] = {}
    for way in ways:
        running[way.model].ask(lines[:8], beam=task.beam, batch=task.batch, words=way.words)  # warm
    for _ in range(rounds):
        for way in ways:
            answers[way], times = running[way.model].ask(
                lines, beam=task.beam, batch=task.batch, singly=task.singly, words=way.words
            )
            seconds[way].append(statistics.median(times))
    return seconds, answers


def rows_of(
    task: Task,
    seconds: Mapping[Way, list[float]],
    bleu: Mapping[Way, float],
    reference: Mapping[str, float],
    sentences: int,
) -> list[Row]:
    """`bleu` of each way and `reference` of each of our models; empty where answers are too few to score."""
    rows = []
    for way, times in seconds.items():
        peer = Way(SIZES.get(way.model, ""), "", ())
        same = way not in bleu or way.model not in reference or abs(bleu[way] - reference[way.model]) <= MOST_OFF
        one = statistics.median(times) / (1 if task.singly else sentences)
        row = Row(
            way=str(way),
            task=str(task),
            sentences=sentences,
            seconds=times,
            rate=1 / one if same else None,
            milliseconds=1000 * one if same else None,
            ratio=measure.ratio(dict(seconds), peer, way) if same and peer in seconds else None,
            bleu=bleu.get(way),
        )
        rows.append(row)
    return rows


def compare(
    running: Mapping[str, Worker],
    ways: Sequence[Way],
    pairs: Sequence[tuple[str, str]],
    reference: Sequence[str],
    rounds: int,
    few: int,
) -> list[Row]:
    """All tasks: all pairs at batch 64, the sources of the first `few` one by one."""
    source, target = map(list, zip(*pairs, strict=True))
    plain: dict[int, dict[str, float]] = {1: {}, 5: {}}
    rows: list[Row] = []
    for task in TASKS:
        lines = source if task.batch > 1 else source[:few]
        for model in {way.model for way in ways if way.model in SIZES} - set(plain[task.beam]):
            answers, _ = running[plainly(model)].ask(source, beam=task.beam, batch=64, words=reference)
            plain[task.beam][model] = bleu_of(answers, target)
        seconds, answers_of = in_turns(running, ways, task, lines, rounds)
        bleu = {way: bleu_of(own, target) for way, own in answers_of.items()} if lines is source else {}
        rows += rows_of(task, seconds, bleu, plain[task.beam], len(lines))
        print(table(rows[-len(ways) :]), file=sys.stderr)
    return withheld(rows)


def withheld(rows: Sequence[Row]) -> list[Row]:
    """No times of a way whose BLEU was off at the same beam, at any task."""
    off = {(row.way, row.task.partition(",")[0]) for row in rows if row.rate is None}
    kept = []
    for row in rows:
        bad = (row.way, row.task.partition(",")[0]) in off
        kept.append(Row(**{**asdict(row), "rate": None, "milliseconds": None, "ratio": None}) if bad else row)
    return kept


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = ["| model | search | sentences/s | ms a sentence | to its peer | BLEU |", "|---|---|---:|---:|---:|---:|"]
    for row in rows:
        told = row.rate is not None and row.milliseconds is not None
        numbers = (f"{row.rate:,.1f}", f"{row.milliseconds:.1f}") if told else ("BLEU is off", "")
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}x"
        bleu = "" if row.bleu is None else f"{row.bleu:.2f}"
        lines.append(f"| {row.way} | {row.task} | {' | '.join(numbers)} | {ratio} | {bleu} |")
    return "\n".join(lines)


def growth(worker: Worker, source: Sequence[str], rounds: int) -> dict[str, dict[int, float]]:
    """Median seconds of k times as many sentences, and of k times as long ones; greedy, batch 64."""
    many: dict[int, list[float]] = {factor: [] for factor in FACTORS}
    long: dict[int, list[float]] = {factor: [] for factor in FACTORS}
    for _ in range(rounds):
        for factor in FACTORS:
            lines = (list(source) * 4)[: 250 * factor]
            many[factor] += worker.ask(lines, beam=1, batch=64)[1]
            texts = [" ".join(source[first : first + factor]) for first in range(0, 60 * factor, factor)]
            length = (f"search.min_length={15 * factor}", f"search.max_length={15 * factor}")
            long[factor] += worker.ask(texts, beam=1, batch=64, words=length)[1]
    named = {"sentences": many, "length": long}
    return {name: {key: statistics.median(own) for key, own in each.items()} for name, each in named.items()}


def growth_table(found: Mapping[str, Mapping[str, Mapping[int, float]]]) -> str:
    """Markdown: seconds, and beside them times what 1x takes."""
    lines = ["| model | more | " + " | ".join(f"{factor}x" for factor in FACTORS) + " |", "|---|---|---:|---:|---:|"]
    for model, kinds in found.items():
        for kind, seconds in kinds.items():
            cells = [f"{seconds[factor]:.2f} s ({seconds[factor] / seconds[1]:.1f}x)" for factor in FACTORS]
            lines.append(f"| {model} | {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(
    work: Annotated[Path, typer.Argument(help="The folder of benchmarks/training.py: envs/, data/ and out/.")],
    models: Annotated[str, typer.Option(help="Which, with spaces between.")] = "joey s2s-256 s2s-joey onmt s2s-512",
    precision: Annotated[str, typer.Option(help="Of ours: float32, bfloat16 or int8.")] = "int8",
    variant: Annotated[list[str] | None, typer.Option(help="NAME=search.key=value ..., of ours.")] = None,
    reference: Annotated[str, typer.Option(help="search.key=value ... of our reference search.")] = "",
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    most: Annotated[int, typer.Option(min=8, help="Sentences of the rows with batch 64.")] = 1000,
    few: Annotated[int, typer.Option(min=1, help="Sentences of the rows with batch 1.")] = 100,
    only_growth: Annotated[bool, typer.Option("--growth", help="Instead: what more work costs our models.")] = False,
    core: Annotated[int | None, typer.Option(help="Number of the core; the first one if left out.")] = None,
    output: Annotated[Path | None, typer.Option(help="A JSON file for all of it.")] = None,
) -> None:
    """Sentences a second and milliseconds a sentence, greedy and beam 5, batch 64 and 1."""
    pin(core)
    place = Place(work)
    prepare(place, None)
    chosen = tools(place, [name for name in models.split() if not only_growth or name in SIZES])
    commands = {name: tool.answer(place.out / name) for name, tool in chosen.items()}
    if not only_growth:
        plain = {plainly(name): command for name, command in commands.items() if name in SIZES}
        commands = {name: [*words, *[precision] * (name in SIZES)] for name, words in commands.items()} | plain
    with workers(commands, place.out) as running:
        facts = {name: worker.facts for name, worker in running.items()}
        found: dict[str, object]
        if only_growth:
            grown = {name: growth(worker, place.lines("test.de"), rounds) for name, worker in running.items()}
            print(growth_table(grown))
            found = {"growth": grown}
        else:
            pairs = list(zip(place.lines("test.de"), place.lines("test.en"), strict=True))[:most]
            rows = compare(running, ways_of(list(chosen), variant or []), pairs, reference.split(), rounds, few)
            print(table(rows))
            found = {"rows": list(map(asdict, rows))}
        peaks = {name: worker.peak for name, worker in running.items()}
    print("peak memory, MB:", ", ".join(f"{name} {peak / 1e6:,.0f}" for name, peak in peaks.items() if peak))
    if output:
        setting = {
            "rounds": rounds,
            "few": few,
            "precision": precision,
            "variants": variant or [],
            "reference": reference,
        }
        measure.write(output, {**place.facts(chosen), "setting": setting, "models": facts, "peaks": peaks, **found})


if __name__ == "__main__":
    typer.run(main)

"""Training beside JoeyNMT and OpenNMT-py: `python benchmarks/training.py WORK --from DIR`.

All are trained by their own command lines on the same files, on one core with one thread, in rounds: A B C, A B C, ...
A figure is the median over rounds, each of which counts the median of its windows, in target tokens a second, ends of
sentences counted; before, all must cut the training texts into as many. A ratio is the median over rounds of the
quotient within a round.

With `--bleu N` each first trains N updates once, and its BLEU on the test set stands beside: no ratio is given where
ours is below the peers' (of s2s-256: of either), or more than 0.3 below our own float32 reference (means over seeds).
That takes long and needs no quiet machine, so it can be had apart: `--bleu N --rounds 0 --output FILE`, for some models
at a time, and later `--scores FILE` for each such file. A model that an earlier call trained by the same command is
taken as it is (`WORK/out/NAME/trained.json`), so a call that was cut off goes on where it stopped.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import measure
import sacrebleu
import typer
from peers.place import Place, prepare
from peers.process import Worker, pin, run
from peers.settings import NEVER
from peers.tools import SIZES, Ours, Tool, speed, tools

NO_WORSE_THAN = {"s2s-256": ("joey", "onmt"), "s2s-joey": ("joey",), "s2s-512": ("onmt",)}
"""The peers that our models' BLEU must reach."""
MOST_LOST = 0.3
"""BLEU below our float32 reference, at most."""


@dataclass(frozen=True)
class Piece:
    """One run of one tool."""

    updates: int
    seed: int
    rate: float
    """Target tokens a second."""
    seconds: float
    peak: int | None
    parameters: int


@dataclass(frozen=True)
class Quality:
    """BLEU of the test set, beam 5, after a number of updates; one a seed."""

    updates: int
    bleu: list[float]
    reference: list[float]
    """Of our model in float32; empty where that is what was trained, or for a peer."""
    pieces: list[Piece]


def scores_in(path: Path) -> dict[str, Quality]:
    """What `--bleu` found before, from a file of `--output`."""
    found = json.loads(path.read_text(encoding="utf-8"))["bleu"]
    return {
        name: Quality(**{**each, "pieces": [Piece(**piece) for piece in each["pieces"]]})
        for name, each in found.items()
    }


@dataclass(frozen=True)
class Row:
    """What is told of one model."""

    name: str
    against: str | None
    rates: list[float]
    """Target tokens a second of each round."""
    rate: float
    ratio: float | None
    """To `against`; None for peers, and where BLEU forbids it."""
    peak: int | None
    parameters: int
    bleu: float | None


def train(tool: Tool, folder: Path, updates: int, *, seed: int, validate: int, skip: int) -> Piece:
    """Train once, into a folder."""
    ran = run(tool.train(folder, updates, seed=seed, validate=validate), folder / "train.log")
    piece = Piece(updates, seed, speed(tool.windows(folder), skip), ran.seconds, ran.peak, tool.parameters(folder))
    print(f"{folder.name}: {piece.rate:,.0f} target tokens/s in {piece.seconds:.0f} s", file=sys.stderr)
    return piece


def trained(tool: Tool, folder: Path, updates: int, *, seed: int, validate: int, skip: int) -> Piece:
    """Train once, unless the folder has what the same order made."""
    note = folder / "trained.json"
    order = {"command": tool.train(folder, updates, seed=seed, validate=validate), "updates": updates, "seed": seed}
    if note.exists():
        found = json.loads(note.read_text(encoding="utf-8"))
        if found["order"] == order:
            print(f"{folder.name}: trained before", file=sys.stderr)
            return Piece(**found["piece"])
        note.unlink()
    piece = train(tool, folder, updates, seed=seed, validate=validate, skip=skip)
    note.write_text(json.dumps({"order": order, "piece": asdict(piece)}), encoding="utf-8")
    return piece


def score(tool: Tool, folder: Path, place: Place) -> float:
    """BLEU of the test set, beam 5."""
    with Worker(tool.answer(folder), folder / "answers.log") as worker:
        answers, _ = worker.ask(place.lines("test.de"), beam=5, batch=64)
    return float(sacrebleu.corpus_bleu(answers, [place.lines("test.en")]).score)


def quality(tool: Tool, place: Place, updates: int, *, seeds: int, skip: int, references: int) -> Quality:
    """Train to `updates` and score; ours with several seeds, the first `references` again in float32."""
    found = Quality(updates, [], [], [])
    for seed in range(1, 1 + (seeds if isinstance(tool, Ours) else 1)):
        folder = place.out / (tool.name if seed == 1 else f"{tool.name}-seed-{seed}")
        found.pieces.append(trained(tool, folder, updates, seed=seed, validate=175, skip=skip))
        found.bleu.append(score(tool, folder, place))
        if seed <= references and isinstance(tool, Ours) and tool.precision(folder) != "float32":
            plain = Ours(place, f"{tool.name}-float32", (*tool.keys, "training.precision=float32"))
            other = place.out / f"{plain.name}-seed-{seed}"
            trained(plain, other, updates, seed=seed, validate=175, skip=skip)
            found.reference.append(score(plain, other, place))
    print(f"{tool.name}: BLEU {found.bleu}, in float32 {found.reference}", file=sys.stderr)
    return found


def rounds_of(
    chosen: Mapping[str, Tool], folder: Path, *, updates: int, rounds: int, skip: int
) -> dict[str, list[Piece]]:
    """Pieces of training in turns, all with the same seed and without validations."""
    pieces: dict[str, list[Piece]] = {name: [] for name in chosen}
    for _ in range(rounds):
        for name, tool in chosen.items():
            pieces[name].append(train(tool, folder / f"{name}-piece", updates, seed=1, validate=NEVER, skip=skip))
    return pieces


def rows_of(pieces: Mapping[str, Sequence[Piece]], qualities: Mapping[str, Quality]) -> list[Row]:
    """Medians and ratios."""
    rates = {name: [piece.rate for piece in own] for name, own in pieces.items()}
    rows = []
    for name, own in pieces.items():
        against = SIZES.get(name)
        fair = against in rates and not objection(name, qualities)
        found = qualities.get(name)
        row = Row(
            name=name,
            against=against,
            rates=rates[name],
            rate=statistics.median(rates[name]),
            ratio=measure.ratio(rates, name, against) if fair and against else None,
            peak=max((piece.peak for piece in own if piece.peak), default=None),
            parameters=own[0].parameters,
            bleu=statistics.mean(found.bleu) if found else None,
        )
        rows.append(row)
    return rows


def same_tokens(tool: Ours, folder: Path, place: Place) -> None:
    """Tokens a second compare only where a sentence has as many tokens.

    Raises:
        SystemExit: it has not.
    """
    ours, theirs = tool.tokens_per_sentence(folder), place.tokens_per_sentence()
    if abs(ours / theirs - 1) > 0.001:
        raise SystemExit(f"{tool.name}: {ours:.3f} tokens a sentence, the peers have {theirs:.3f}; see text.vocab_size")


def objection(name: str, qualities: Mapping[str, Quality]) -> str:
    """Why no ratio may be given for one of our models, or nothing; what has no scores is no objection."""
    if name not in qualities or name not in NO_WORSE_THAN:
        return ""
    own = qualities[name]
    mean = statistics.mean(own.bleu)
    bounds = {f"of {peer}": statistics.mean(qualities[peer].bleu) for peer in NO_WORSE_THAN[name] if peer in qualities}
    if own.reference:
        bounds["in float32, less 0.3"] = statistics.mean(own.reference) - MOST_LOST
    below = [f"{bound:.2f} {whose}" for whose, bound in bounds.items() if mean < bound]
    return f"{name}: no ratio, since BLEU {mean:.2f} is below {' and '.join(below)}" if below else ""


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = [
        "| model | parameters | target tokens/s | to its peer | BLEU | peak memory, MB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}x {row.against}"
        bleu = "not measured" if row.bleu is None else f"{row.bleu:.1f}"
        peak = "not known" if row.peak is None else f"{row.peak / 1e6:,.0f}"
        lines.append(f"| {row.name} | {row.parameters:,} | {row.rate:,.0f} | {ratio} | {bleu} | {peak} |")
    return "\n".join(lines)


def main(
    work: Annotated[
        Path, typer.Argument(help="Folder with the peers' environments (envs/); data and models go there.")
    ],
    root: Annotated[
        Path | None, typer.Option("--from", help="Folder with Multi30k's files; fetched if left out.")
    ] = None,
    models: Annotated[str, typer.Option(help="Which, with spaces between.")] = "joey s2s-256 s2s-joey onmt s2s-512",
    updates: Annotated[int, typer.Option(min=50, help="Of a piece.")] = 250,
    skip: Annotated[int, typer.Option(help="Updates at the beginning of a run whose speed does not count.")] = 50,
    rounds: Annotated[int, typer.Option(min=0, help="0: no speeds, only --bleu.")] = 3,
    bleu: Annotated[int | None, typer.Option(help="Also compare BLEU after so many updates, first.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Of our models, with --bleu.")] = 3,
    references: Annotated[int, typer.Option(min=0, help="Of these seeds that are trained in float32, too.")] = 3,
    scores: Annotated[list[Path] | None, typer.Option(help="Files of --output with BLEU found before.")] = None,
    words: Annotated[list[str] | None, typer.Option("--set", help="section.key=value for all our models.")] = None,
    core: Annotated[int | None, typer.Option(help="Number of the core; the first one if left out.")] = None,
    output: Annotated[Path | None, typer.Option(help="A JSON file for all of it.")] = None,
) -> None:
    """Train in turns with the peers' command lines and ours, and compare target tokens a second, memory and BLEU."""
    pin(core)
    place = Place(work)
    prepare(place, root)
    chosen = tools(place, models.split(), words or [])
    qualities = {name: each for path in scores or [] for name, each in scores_in(path).items() if name in chosen}
    if bleu:
        qualities |= {
            name: quality(tool, place, bleu, seeds=seeds, skip=skip, references=references)
            for name, tool in chosen.items()
        }
    pieces = rounds_of(chosen, place.out, updates=updates, rounds=rounds, skip=skip) if rounds else {}
    for name, tool in chosen.items():
        if rounds and isinstance(tool, Ours):
            same_tokens(tool, place.out / f"{name}-piece", place)
    rows = rows_of(pieces, qualities)
    if rows:
        print(table(rows))
    for name in chosen:
        if told := objection(name, qualities):
            print(told)
    if output:
        setting = {"updates": updates, "skip": skip, "rounds": rounds, "set": words or []}
        found = {"rows": list(map(asdict, rows)), "bleu": {name: asdict(each) for name, each in qualities.items()}}
        all_pieces = {name: list(map(asdict, own)) for name, own in pieces.items()}
        measure.write(output, {**place.facts(chosen), "setting": setting, **found, "pieces": all_pieces})


if __name__ == "__main__":
    typer.run(main)

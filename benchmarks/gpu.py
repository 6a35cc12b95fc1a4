"""Training on a GPU beside the same model in plain torch: `python benchmarks/gpu.py [--from DIR] --output FILE`.

The model of `peers/s2s.toml` with its GRU and with an LSTM, made and moved by what `s2s train` calls, and
`peers/plain.py`: `torch.nn.LSTM`, attention and Adam as anyone writes them. All read the same batches, which were made
before, and bring them to the device themselves. They run in turns, a piece of some updates each, and a ratio is the
median over rounds of the quotient within a round, to the peer in the same precision.

No figure is reported unless the peer, given the weights of our LSTM, gives its logits and its loss in float32, both
count the same target tokens, and every loss is a number and falls.

Memory is what a fresh model holds at most in one piece, weights and moments included: on a GPU what torch allocates
for it; on a CPU of a process of its own, with what its libraries load in their first call. Utilisation is the share of
time in which the GPU computes at all, which says nothing of how well.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, cast, get_args

import check_learners
import learners
import measure
import torch
import typer
from layers import Precision
from learners import NAMES, PEER, Learner, Setting, Way, Work, learner, piece
from measure import Run
from utilisation import identity, utilisation

from s2s.errors import UserError
from s2s.training.hardware import keep_pages, pick_device


class Device(StrEnum):
    """Where it runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


@dataclass(frozen=True)
class Row:
    """One model at one size in one precision."""

    name: str
    hidden: int
    precision: Precision
    backend: str
    parameters: int
    rates: list[float]
    """Target tokens a second of each round."""
    rate: float
    ratio: float | None
    """To the peer in the same precision and rounds; None where it does not take part."""
    memory: int | None
    utilisation: float | None
    """Percent; None where nobody says."""


@dataclass(frozen=True)
class Effort:
    """How long is measured."""

    rounds: int
    seconds: float
    watch: float


def compare(ways: Sequence[Way], setting: Setting, work: Work, effort: Effort) -> list[Row]:
    """One row for each of one size, all of them in turns."""
    made, memory = {}, {}
    for way in ways:
        made[way], memory[way] = _begin(way, setting, work)
    batches = work.batches()
    runs: dict[Way, Run] = {way: piece(each, batches) for way, each in made.items()}
    times = measure.alternate(runs, setting.device, repeats=effort.rounds, seconds=effort.seconds)
    gpu, tokens = identity(setting.device), sum(batch.tokens for batch in batches)
    return [
        _row(way, each, times, tokens, memory[way], utilisation(runs[way], gpu, effort.watch))
        for way, each in made.items()
    ]


def _begin(way: Way, setting: Setting, work: Work) -> tuple[Learner, int | None]:
    """One that has done its first piece, and what it holds."""
    if setting.device != "cuda":
        return learner(way, setting, work), measure.peak(first_piece, way, setting, work)
    made: list[Learner] = []

    def run() -> None:
        made.append(learner(way, setting, work))
        piece(made[0], work.batches())()

    memory = measure.peak_on_gpu(run)
    return made[0], memory


def first_piece(way: Way, setting: Setting, work: Work) -> Run:
    """For a fresh process: build, and learn from all batches."""
    keep_pages()
    setting.apply()
    batches = work.batches()
    return lambda: piece(learner(way, setting, work), batches)()


def _row(
    way: Way,
    made: Learner,
    times: Mapping[Way, list[float]],
    tokens: int,
    memory: int | None,
    busy: float | None,
) -> Row:
    peer = way._replace(name=PEER)
    rates = [tokens / each for each in times[way]]
    return Row(
        name=way.name,
        hidden=way.hidden,
        precision=way.precision,
        backend=learners.backend_of(made),
        parameters=sum(parameter.numel() for parameter in made.model.parameters()),
        rates=rates,
        rate=statistics.median(rates),
        ratio=measure.ratio(times, peer, way) if peer in times else None,
        memory=memory,
        utilisation=busy,
    )


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = [
        "| hidden | precision | model | backend | parameters | target tokens/s | to nn.LSTM | peak memory, MB | GPU |",
        "|---:|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}x"
        memory = "not known" if row.memory is None else f"{row.memory / 1e6:,.0f}"
        busy = "not known" if row.utilisation is None else f"{row.utilisation:.0f} %"
        cells = (row.hidden, row.precision, row.name, row.backend, f"{row.parameters:,}", f"{row.rate:,.0f}")
        lines.append("| " + " | ".join(map(str, (*cells, ratio, memory, busy))) + " |")
    return "\n".join(lines)


def ways_of(models: str, hidden: str, precision: str) -> list[Way]:
    """Every model in every precision at every size, from words.

    Raises:
        typer.BadParameter: one is not known.
    """
    for given, known in ((models, NAMES), (precision, get_args(Precision))):
        if unknown := set(given.split()) - set(known):
            raise typer.BadParameter(f"{', '.join(sorted(unknown))}; expected of {', '.join(known)}")
    precisions = cast(list[Precision], precision.split())
    return [Way(name, int(size), kind) for size in hidden.split() for kind in precisions for name in models.split()]


def measured(ways: Sequence[Way], setting: Setting, work: Work, effort: Effort, updates: int) -> list[Row]:
    """Check, then measure size by size and print.

    Raises:
        typer.Exit: something is wrong.
    """
    if wrong := list(check_learners.problems(ways, setting, work, updates)):
        print("No figures, since results are wrong:", *wrong, sep="\n")
        raise typer.Exit(1)
    rows: list[Row] = []
    for hidden in dict.fromkeys(way.hidden for way in ways):
        rows += compare([way for way in ways if way.hidden == hidden], setting, work, effort)
    print(table(rows))
    return rows


def main(
    root: Annotated[
        Path | None, typer.Option("--from", help="Folder with Multi30k's files; as long ones are made if left out.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where it runs.")] = Device.auto,
    models: Annotated[str, typer.Option(help="Which, with spaces between.")] = " ".join(NAMES),
    hidden: Annotated[str, typer.Option(help="Sizes of a direction and of the decoder.")] = "256 1024",
    precision: Annotated[str, typer.Option(help="What is multiplied, with spaces between.")] = "bfloat16 float32",
    tf32: Annotated[bool, typer.Option(help="float32 products in TF32, the peer's too.")] = False,
    batch: Annotated[int, typer.Option(min=1, help="Pairs a batch.")] = 256,
    pairs: Annotated[int, typer.Option(min=1, help="That are made, without --from.")] = 29_000,
    updates: Annotated[int, typer.Option(min=1, help="Of a piece.")] = 25,
    checked: Annotated[int, typer.Option("--check", min=6, help="Updates in which every loss is to fall.")] = 30,
    rounds: Annotated[int, typer.Option(min=1, help="At most.")] = 7,
    seconds: Annotated[float, typer.Option(help="No round is begun after this time a model, from the third on.")] = 20,
    watch: Annotated[float, typer.Option(help="Seconds a model for the GPU's utilisation.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    words: Annotated[list[str] | None, typer.Option("--set", help="section.key=value for all models.")] = None,
    output: Annotated[Path | None, typer.Option(help="A JSON file for all of it.")] = None,
) -> None:
    """Train in turns with the same model in plain torch, and compare target tokens a second, memory, utilisation."""
    ways = ways_of(models, hidden, precision)
    try:
        setting = Setting(pick_device(device.value).type, threads, tf32, batch, tuple(words or ()))
        setting.apply()
        work = (
            learners.generated(setting, pairs, updates) if root is None else learners.of_corpus(setting, root, updates)
        )
        rows = measured(ways, setting, work, Effort(rounds, seconds, watch), checked)
    except UserError as error:
        raise SystemExit(str(error)) from None
    if output:
        versions = {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}  # type: ignore[no-untyped-call]
        told = {"setting": asdict(setting), "corpus": "multi30k" if root else "generated", "updates": updates}
        facts = {**measure.facts(setting.device), **versions, **told}
        measure.write(output, {**facts, "rows": [asdict(row) for row in rows]})


if __name__ == "__main__":
    typer.run(main)

"""Time and memory of the recurrent cores beside `torch.nn.LSTM` and `torch.nn.GRU`; first, whether results are right.

    python benchmarks/cores.py --threads 1 --precision both --output benchmarks/results/cores-NAME.json

No time is reported unless every core gives what the reference loop gives in float64: outputs, final state, gradients.
Own and torch's layers read the same full batch (B, T, I), for which all compute a gradient too; under bfloat16 all run
in `torch.autocast`. They run in turns, and a ratio is the median over rounds of the quotient within a round.

`floor` is the ratio that arithmetic alone would give: multiply-accumulates of a step and row, relative to those of an
LSTM of the same I and H, 4 H (H + I). Forward and backward count alike: the backward does each product twice. Memory is
what one forward and backward hold at most, beyond module and input, in a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import Annotated, cast, get_args

import measure
import typer
from layers import BASELINES, CORES, Precision, Setting, Shape, Way, backend_of, floor, passes, problems
from measure import Run

from s2s.kernels import Backend
from s2s.training.hardware import keep_pages

SHAPES = ("100,100,2,250", "1000,100,2,250", "784,100,1,128", "15,80,256,256", "30,32,512,512")
LONG = tuple(Shape(time, batch=16, input=8, hidden=128) for time in (1000, 4000))


class Device(StrEnum):
    """Where it runs."""

    cpu = "cpu"
    cuda = "cuda"


class Precisions(StrEnum):
    """What is multiplied."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    both = "both"


Times = dict[tuple[str, Precision], list[float]]
"""Of each layer and precision the seconds of each round."""


@dataclass(frozen=True)
class Row:
    """One layer at one shape in one precision. Ratios are to torch's layers in the same precision and rounds."""

    shape: Shape
    core: str
    backend: str
    precision: Precision
    rounds: int
    forward: float  # seconds
    training: float  # seconds of forward and backward
    forward_to_lstm: float
    training_to_lstm: float
    training_to_gru: float
    floor: float
    training_to_float32: float | None  # with --precision both
    memory: int | None  # bytes


def jobs(shapes: Iterable[Shape], names: Iterable[str]) -> dict[Shape, list[str]]:
    """Which cores run at which shape: one with a hidden size of its own at that size, also with as wide an input."""
    todo: dict[Shape, list[str]] = {}
    for name in names:
        hidden = CORES[name].hidden
        for shape in shapes:
            own = [shape] if hidden is None else [shape._replace(hidden=hidden, input=i) for i in (shape.input, hidden)]
            for each in own:
                if name not in todo.setdefault(each, []):
                    todo[each].append(name)
    return todo


def compare(
    shape: Shape, names: Sequence[str], setting: Setting, precisions: Sequence[Precision], repeats: int, seconds: float
) -> list[Row]:
    """One row a layer and precision, all of one shape in turns."""
    runs = {(name, kind): passes(name, shape, setting, kind) for name in (*BASELINES, *names) for kind in precisions}
    times: dict[Way, Times] = {}
    for way in get_args(Way):
        these = {key: run[way] for key, run in runs.items()}
        times[way] = measure.alternate(these, setting.device, repeats=repeats, seconds=seconds)
    return [
        _row(shape, key, setting, times, _memory(*key, shape, setting, run["training"])) for key, run in runs.items()
    ]


def _row(
    shape: Shape, key: tuple[str, Precision], setting: Setting, times: dict[Way, Times], memory: int | None
) -> Row:
    name, precision = key
    forward, training = times["forward"], times["training"]
    lstm, gru, plain = (("nn.LSTM", precision), ("nn.GRU", precision), (name, "float32"))
    return Row(
        shape=shape,
        core=name,
        backend=backend_of(name, shape, setting),
        precision=precision,
        rounds=len(training[key]),
        forward=median(forward[key]),
        training=median(training[key]),
        forward_to_lstm=measure.ratio(forward, key, lstm),
        training_to_lstm=measure.ratio(training, key, lstm),
        training_to_gru=measure.ratio(training, key, gru),
        floor=floor(name, shape),
        training_to_float32=measure.ratio(training, key, plain) if plain in training and plain != key else None,
        memory=memory,
    )


def _memory(name: str, precision: Precision, shape: Shape, setting: Setting, run: Run) -> int | None:
    if setting.device == "cuda":
        return measure.peak_on_gpu(run)
    return measure.peak(training_run, name, precision, shape, setting)


def training_run(name: str, precision: Precision, shape: Shape, setting: Setting) -> Run:
    """For a fresh process: a forward and backward that has been done for two steps."""
    keep_pages()
    setting.apply()
    passes(name, shape._replace(time=2), setting, precision)["training"]()
    return passes(name, shape, setting, precision)["training"]


def long_sequences(
    names: Iterable[str], setting: Setting, precision: Precision, repeats: int, seconds: float
) -> dict[str, dict[str, float]]:
    """Seconds of forward and backward at 1,000 and 4,000 steps, and the ratio: 4 where time is linear in T."""
    results = {}
    for name in names:
        shapes = [shape._replace(hidden=CORES[name].hidden or shape.hidden) for shape in LONG]
        runs = {str(shape.time): passes(name, shape, setting, precision)["training"] for shape in shapes}
        times = measure.alternate(runs, setting.device, repeats=repeats, seconds=seconds)
        few, many = runs
        seconds_of = {key: median(each) for key, each in times.items()}
        results[name] = {**seconds_of, "ratio": measure.ratio(times, many, few)}
        told = ", ".join(f"{key} steps {1000 * value:.0f} ms" for key, value in seconds_of.items())
        print(f"{name:14} {precision}: {told}, ratio {results[name]['ratio']:.2f}", flush=True)
    return results


HEADER = (
    "core", "backend", "precision", "forward ms", "/ LSTM", "training ms", "/ LSTM", "/ GRU", "floor", "/ float32", "MB"
)  # fmt: skip


def table(rows: Sequence[Row], *, markdown: bool) -> str:
    """Rows of one shape as text, or as a table for the documentation."""
    time, batch, inputs, hidden = rows[0].shape
    lines = [[f"T {time}, B {batch}, I {inputs}, H {hidden}", *HEADER[1:]], *map(_cells, rows)]
    if markdown:
        lines.insert(1, ["---", "---", "---", *["---:"] * (len(HEADER) - 3)])
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def _cells(row: Row) -> list[str]:
    numbers = (1000 * row.forward, row.forward_to_lstm, 1000 * row.training, row.training_to_lstm, row.training_to_gru)
    memory = None if row.memory is None else row.memory / 1e6
    return [row.core, row.backend, row.precision, *map(_short, (*numbers, row.floor, row.training_to_float32, memory))]


def _short(number: float | None) -> str:
    return "" if number is None else f"{number:.2f}" if number < 100 else f"{number:.0f}"


def main(
    threads: Annotated[int, typer.Option(help="CPU threads of every process.")] = 1,
    precision: Annotated[
        Precisions, typer.Option(help="What is multiplied; both adds the factor.")
    ] = Precisions.float32,
    device: Annotated[Device, typer.Option(help="Where it runs.")] = Device.cpu,
    backend: Annotated[str, typer.Option(help="Which scan runs our cores.")] = "auto",
    shapes: Annotated[str, typer.Option(help="T,B,I,H of each, with spaces between.")] = " ".join(SHAPES),
    cores: Annotated[str, typer.Option(help="Names, with spaces between.")] = " ".join(CORES),
    repeats: Annotated[int, typer.Option(min=1, help="Rounds at most.")] = 7,
    seconds: Annotated[
        float, typer.Option(help="No round is begun after this time a layer, from the third on.")
    ] = 20.0,
    tf32: Annotated[bool, typer.Option(help="On a GPU: float32 products in TF32, torch's layers too.")] = False,
    linear: Annotated[bool, typer.Option(help="Instead of shapes: 1,000 and 4,000 steps.")] = False,
    markdown: Annotated[bool, typer.Option("--table", help="Print the rows as Markdown.")] = False,
    output: Annotated[Path | None, typer.Option(help="A JSON file for all of it.")] = None,
) -> None:
    """Time and memory of the recurrent cores beside torch.nn.LSTM and torch.nn.GRU."""
    if backend not in get_args(Backend):
        raise typer.BadParameter(f"no such backend; expected {', '.join(get_args(Backend))}")
    keep_pages()
    setting = Setting(device.value, cast(Backend, backend), threads, tf32)
    setting.apply()
    precisions: list[Precision] = [each for each in get_args(Precision) if precision.value in (each, "both")]
    todo = jobs([Shape(*map(int, shape.split(","))) for shape in shapes.split()], cores.split())
    if wrong := list(problems(cores.split(), todo, setting, precisions)):
        print("No times, since results are wrong:", *wrong, sep="\n")
        raise typer.Exit(1)
    rows, long = [], {}
    if linear:
        long = {kind: long_sequences(cores.split(), setting, kind, repeats, seconds) for kind in precisions}
        todo = {}
    for shape, names in todo.items():
        rows.extend(compared := compare(shape, names, setting, precisions, repeats, seconds))
        print(table(compared, markdown=markdown), flush=True)
    if output:
        result = {**measure.facts(setting.device), "setting": asdict(setting), "rows": [asdict(row) for row in rows]}
        measure.write(output, {**result, "long": long})


if __name__ == "__main__":
    typer.run(main)

"""What a user waits for before the first answer: `python benchmarks/startup.py WORK`, after `training.py --bleu N`.

Help, the translation of one line (beam 5) and `import torch` alone, each in a fresh process with files in the cache;
the loading of a model, inside its process. All take turns; medians over rounds.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import measure
import typer
from peers.place import Place, prepare
from peers.process import Worker, pin, run
from peers.tools import tools


def commands_of(place: Place, models: str, line: Path) -> dict[str, list[str]]:
    """By what is told of them: everything that is started."""
    commands = {"import torch": [sys.executable, "-c", "import torch"]}
    for name, tool in tools(place, models.split()).items():
        commands |= {f"{name}: {what}": words for what, words in tool.start(place.out / name, line).items()}
    return commands


def measured(
    commands: Mapping[str, list[str]], loads: Mapping[str, list[str]], line: Path, rounds: int
) -> dict[str, list[float]]:
    """Seconds of each round; `loads` are workers, which say themselves how long their models took."""
    seconds: dict[str, list[float]] = {name: [] for name in (*commands, *loads)}
    for turn in range(rounds + 1):  # the first one fills the cache of files
        for name, command in commands.items():
            taken = run(command, line.with_name("startup.log"), stdin=line).seconds
            seconds[name] += [taken] * (turn > 0)
        for name, command in loads.items():
            with Worker(command, line.with_name("startup.log")) as worker:
                seconds[name] += [worker.facts["load"]] * (turn > 0)
    return seconds


def table(seconds: Mapping[str, list[float]]) -> str:
    """Markdown."""
    lines = ["| what | seconds | least | most |", "|---|---:|---:|---:|"]
    for name, own in seconds.items():
        lines.append(f"| {name} | {statistics.median(own):.2f} | {min(own):.2f} | {max(own):.2f} |")
    return "\n".join(lines)


def main(
    work: Annotated[Path, typer.Argument(help="The folder of benchmarks/training.py: envs/, data/ and out/.")],
    models: Annotated[str, typer.Option(help="Which, with spaces between.")] = "s2s-256 joey onmt",
    rounds: Annotated[int, typer.Option(min=1)] = 7,
    core: Annotated[int | None, typer.Option(help="Number of the core; the first one if left out.")] = None,
    output: Annotated[Path | None, typer.Option(help="A JSON file for all of it.")] = None,
) -> None:
    """Seconds from the shell to help and to one translated line, and of loading a model."""
    pin(core)
    place = Place(work)
    prepare(place, None)
    line = place.out / "line.de"
    line.write_text(place.lines("test.de")[0] + "\n", encoding="utf-8")
    chosen = tools(place, models.split())
    loads = {f"{name}: load": tool.answer(place.out / name) for name, tool in chosen.items()}
    seconds = measured(commands_of(place, models, line), loads, line, rounds)
    print(table(seconds))
    if output:
        measure.write(output, {**place.facts(chosen), "rounds": rounds, "seconds": seconds})


if __name__ == "__main__":
    typer.run(main)

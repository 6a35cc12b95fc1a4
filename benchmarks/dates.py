"""Date-format conversion beside NumPy: `python benchmarks/dates.py WORK`.

The recipe `date-attention` (hidden 256, batches of 128) by its command line, and the same model written by hand in
NumPy (`peers/dates_numpy.py`), on one core with one thread, an epoch of 45,000 pairs in turns. Ours is also evaluated
on 5,000: answered and compared, and, as at the end of an epoch, with the loss besides.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import measure
import typer
from peers.process import environment, pin, run
from peers.tools import S2S

from s2s.build.folder import RunFolder
from s2s.corpus.toys import dates
from s2s.session import load

PAIRS = 45_000
TESTED = 5_000


def write(work: Path) -> tuple[Path, Path]:
    """The pairs that the recipe makes for itself, as files."""
    found = dates(train=PAIRS, valid=TESTED, test=TESTED, seed=1)
    files = []
    for name in ("train", "test"):
        file = work / f"{name}.tsv"
        file.write_text("".join(f"{source}\t{target}\n" for source, target, *_ in found[name]), encoding="utf-8")
        files.append(file)
    return files[0], files[1]


def numpy_epoch(work: Path, train: Path, test: Path) -> dict[str, Any]:
    """Seconds and scores of one epoch."""
    log = work / "numpy.log"
    run([sys.executable, "-m", "peers.dates_numpy", str(train), "--test", str(test)], log)
    found: dict[str, Any] = json.loads(log.read_text().splitlines()[-1])
    return found


def our_epoch(work: Path, keys: list[str]) -> dict[str, Any]:
    """Likewise."""
    folder = work / "run"
    given = ["training.threads=1", "training.epochs=1", "training.plots=false", "training.final_test=false", *keys]
    ran = run([*S2S, "train", "date-attention", "-o", str(folder), "--overwrite", *given], work / "run.log")
    lines = RunFolder(folder).log_lines()
    trained = [line for line in lines if line["event"] == "train"][-1]
    valid = [line for line in lines if line["event"] == "valid"][-1]
    return {
        "seconds": trained["seconds"],
        "loss": valid["loss"],
        "exact": valid["exact_match"],
        "answering": valid["validation_seconds"],
        "peak": ran.peak,
    }


def evaluation(work: Path, test: Path) -> dict[str, float]:
    """Seconds in which the model of the last epoch answers the test pairs, in training's precision; and how well."""
    translator = load(work / "run", threads=1, precision="auto")
    sources, targets = zip(*(line.split("\t") for line in test.read_text(encoding="utf-8").splitlines()), strict=True)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        answers = [own[0].text for own in translator.translate(sources, beam=1)]
        right = sum(map(str.__eq__, answers, targets))
        seconds.append(time.perf_counter() - start)
    return {"seconds": statistics.median(seconds), "exact": right / len(targets)}


def main(
    work: Annotated[Path, typer.Argument(help="Folder for data and runs.")],
    rounds: Annotated[int, typer.Option(help="Epochs of each.")] = 3,
    core: Annotated[int | None, typer.Option(help="Which core; the first by default.")] = None,
    keys: Annotated[list[str] | None, typer.Option("--set", help="section.key=value of ours.")] = None,
    output: Annotated[Path | None, typer.Option(help="JSON to write.")] = None,
) -> None:
    """Measure, print, and keep."""
    pin(core)
    environment()
    work.mkdir(parents=True, exist_ok=True)
    train, test = write(work)
    theirs, ours = [], []
    for number in range(rounds):
        theirs.append(numpy_epoch(work, train, test))
        ours.append(our_epoch(work, keys or []))
        print(f"round {number + 1}: NumPy {theirs[-1]['seconds'][0]:.1f} s, s2s {ours[-1]['seconds']:.1f} s")
    ratios = [own["seconds"] / other["seconds"][0] for own, other in zip(ours, theirs, strict=True)]
    median = statistics.median
    print(f"an epoch: {median(ratios):.2f} of NumPy's time (bar 0.50)")
    evaluated = evaluation(work, test)
    seconds, right = evaluated["seconds"], evaluated["exact"]
    print(f"5,000 pairs are answered and compared in {seconds:.2f} s (bar 1), {right:.2%} of them rightly")
    print(f"with their loss, as after an epoch: {median(own['answering'] for own in ours):.2f} s")
    if output:
        found = {
            "facts": measure.facts("cpu"),
            "numpy": theirs,
            "s2s": ours,
            "ratio": median(ratios),
            "evaluation": evaluated,
            "keys": keys or [],
        }
        output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)

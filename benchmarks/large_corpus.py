"""Memory of training on a corpus that is larger than memory would like: generated pairs, the real command line.

Writes two corpora of generated pairs, a large one and a small one, trains both for some updates with `data.mapped =
"always"`, goes on with both for as many again, and says how many bytes the training process held at its most: with
all that comes before the first update, where SentencePiece learns from a million texts, and resumed, where it does not.
The memory of the large run resumed minus that of the small one is what a pair costs.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Annotated

import typer

WORDS, SHORTEST, LONGEST = 20_000, 4, 16
SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvwz" for vowel in ("a", "e", "i", "o", "u", "ö", "ü")]


@dataclass(frozen=True)
class Row:
    """One run.

    Attributes:
        corpus, store: bytes of the file and of what was made of it.
        peak: most bytes that the training process held.
        resumed: the same when the run is gone on with.
        before: seconds until the first update: the store, the vocabulary, the lengths.
        training: seconds of the updates and of the one validation.
    """

    pairs: int
    corpus: int
    store: int
    peak: int
    resumed: int
    before: float
    training: float


def words(seed: int) -> list[str]:
    """Different words, the frequent ones shorter."""
    rng, found = random.Random(seed), dict[str, None]()
    while len(found) < WORDS:
        found["".join(rng.choices(SYLLABLES, k=2 + len(found) // 7_000))] = None
    return list(found)


def write_pairs(path: Path, count: int) -> None:
    """Sentences by Zipf's law, and their translation word by word from right to left."""
    left, right = words(1), words(2)
    rng, ranks = random.Random(3), range(WORDS)
    weights = list(accumulate(1 / (rank + 10) for rank in ranks))
    beside = path.with_suffix(".part")
    with beside.open("w", encoding="utf-8") as out:
        for _ in range(count):
            chosen = rng.choices(ranks, cum_weights=weights, k=rng.randint(SHORTEST, LONGEST))
            source, target = " ".join([left[i] for i in chosen]), " ".join([right[i] for i in reversed(chosen)])
            out.write(f"{source}\t{target}\n")
    beside.rename(path)


def train(path: Path, pairs: int, updates: int, more: list[str]) -> Row:
    """One run of the command line, which must succeed."""
    run, stores = path.with_suffix(".run"), path.with_suffix(".stores")
    for left in (run, stores):
        shutil.rmtree(left, ignore_errors=True)
    options = {
        "data.mapped": "always",
        "data.store": stores,
        "training.updates": updates,
        "training.epochs": "none",
        "training.validate_every": updates,
        "training.plots": "false",
        "training.samples": 0,
    }
    asked = [sys.executable, "-m", "s2s", "train", str(path), "-o", str(run)]
    started = time.monotonic()
    peak = _peak([*asked, *(f"{key}={value}" for key, value in options.items()), *more])
    seconds = time.monotonic() - started
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    training = last["seconds"] + last["validation_seconds"]
    store = sum(file.stat().st_size for file in stores.rglob("*") if file.is_file())
    resumed = _peak([*asked[:-3], "--resume", str(run), f"training.updates={2 * updates}"])
    return Row(pairs, path.stat().st_size, store, peak, resumed, seconds - training, training)


def _peak(words: list[str]) -> int:
    """Bytes that a training command held at its most, by its own word."""
    done = subprocess.run(words, stderr=subprocess.PIPE, text=True, check=False)
    peak = re.search(r"Peak memory ([\d,]+) MiB", done.stderr)
    if done.returncode or peak is None:
        raise SystemExit(done.stderr)
    return int(peak[1].replace(",", "")) << 20


def table(rows: list[Row]) -> str:
    """The runs as lines of text."""
    lines = ["     pairs   corpus MB   store MB   peak MB   resumed MB   before s   training s"]
    lines += [
        f"{row.pairs:10,d} {row.corpus / 1e6:11,.0f} {row.store / 1e6:10,.0f} {row.peak / 1e6:9,.0f}"
        f" {row.resumed / 1e6:12,.0f} {row.before:10,.0f} {row.training:12,.0f}"
        for row in rows
    ]
    small, large = rows
    if large.pairs > small.pairs:
        a_pair = (large.resumed - small.resumed) / (large.pairs - small.pairs)
        lines.append(f"{a_pair:.0f} bytes of memory a pair, {large.corpus / large.pairs:.0f} bytes of text")
    return "\n".join(lines)


def main(
    folder: Annotated[Path, typer.Argument(help="Where corpora, stores and runs are written.")],
    pairs: Annotated[int, typer.Option(min=1_000, help="Of the large corpus.")] = 5_000_000,
    small: Annotated[int, typer.Option(min=1_000, help="Of the small one.")] = 50_000,
    updates: Annotated[int, typer.Option(min=1, help="Of each run, and again when it is resumed.")] = 300,
    more: Annotated[list[str] | None, typer.Option("--set", help="Another override, such as model.core=gru.")] = None,
    output: Annotated[Path | None, typer.Option(help="A JSON file for all of it.")] = None,
) -> None:
    """Peak memory of training on many generated pairs beside that on few."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for count in (small, pairs):
        path = folder / f"generated-{count}.tsv"
        if not path.exists():
            write_pairs(path, count)
        rows.append(train(path, count, updates, more or []))
    print(table(rows))
    if output:
        import measure  # imports torch: before the runs its memory would count as theirs

        measure.write(output, {**measure.facts("cpu"), "rows": [asdict(row) for row in rows]})


if __name__ == "__main__":
    typer.run(main)

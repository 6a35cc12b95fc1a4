"""The other side of `process.Worker`, in any toolkit's environment: JSON lines in and out, and the times between."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence

Answer = Callable[[Sequence[str], int, int, Sequence[str]], list[str]]
"""(lines, beam, batch, words) -> answers."""


def serve(load: Callable[[], tuple[Answer, Mapping[str, float]]]) -> None:
    """Load a model, say what `load` found out, and answer until standard input ends.

    Whatever else the toolkit prints goes to standard error. Only the answering itself is timed.
    """
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    answer, facts = load()
    print(json.dumps(facts), file=out, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        calls = [[text] for text in asked["lines"]] if asked["singly"] else [asked["lines"]]
        answers, seconds = [], []
        for texts in calls:
            start = time.perf_counter()
            answers += answer(texts, asked["beam"], asked["batch"], asked["words"])
            seconds.append(time.perf_counter() - start)
        print(json.dumps({"answers": answers, "seconds": seconds}), file=out, flush=True)

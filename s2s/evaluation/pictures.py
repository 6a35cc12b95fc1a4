"""The pictures of a report, drawn in memory."""

from __future__ import annotations

import io

from s2s import plots
from s2s.evaluation.result import Evaluation, Picture


def pictures(evaluation: Evaluation) -> list[Picture]:
    """Learning curve and attention maps of every system that has them.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    found: list[Picture] = []
    for number, system in enumerate(evaluation.systems, start=1):
        if system.curve:
            drawn = io.BytesIO()
            plots.learning_curve(drawn, system.curve, metric=system.metric)
            found.append(Picture(f"learning-curve-{number}.png", f"Learning curve of {system.name}", drawn.getvalue()))
        for sentence, alignment in enumerate(system.alignments, start=1):
            drawn = io.BytesIO()
            plots.attention_map(drawn, *alignment)
            caption = f"Attention of {system.name}, sentence {sentence}"
            found.append(Picture(f"attention-{number}-{sentence}.png", caption, drawn.getvalue()))
    return found

"""Learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from s2s.plots.figure import new_figure, save


def learning_curve(
    path: Path | IO[bytes],
    rows: Sequence[Mapping[str, Any]],
    *,
    metric: str,
    title: str = "",
    unit: str = "nats a token",
) -> None:
    """Loss in training and validation, and the metric that decides, over updates.

    Args:
        path: PNG to write, or an open file.
        rows: lines of a run's `metrics.jsonl`.
        metric: the name of the second curve.
        title: above it.
        unit: of the loss.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = new_figure(6.4, 3.8)
    axes = figure.add_subplot()
    trained = [row for row in rows if row["event"] == "train"]
    validated = [row for row in rows if row["event"] == "valid"]
    axes.plot(_column(trained, "step"), _column(trained, "loss"), color="0.6", label="training loss")
    axes.plot(_column(validated, "step"), _column(validated, "loss"), "o-", color="0.1", ms=3, label="validation loss")
    axes.set_xlabel("updates")
    axes.set_ylabel(f"loss ({unit})")
    axes.set_ylim(bottom=0)
    shown = (
        metric if metric != "loss" else next((name for name in ("bleu", "exact_match") if _has(validated, name)), "")
    )
    handles, labels = axes.get_legend_handles_labels()
    if shown and _has(validated, shown):
        right = axes.twinx()
        rows_with = [row for row in validated if shown in row]
        right.plot(_column(rows_with, "step"), _column(rows_with, shown), "s--", color="tab:blue", ms=3, label=shown)
        right.set_ylabel(f"{shown} (fraction)" if shown in ("exact_match", "token_accuracy") else shown)
        right.set_ylim(0, 1.03 if shown in ("exact_match", "token_accuracy") else None)
        more = right.get_legend_handles_labels()
        handles, labels = handles + more[0], labels + more[1]
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    if title:
        axes.set_title(title, fontsize=10)
    save(figure, path)


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows]


def _has(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    return any(name in row for row in rows)

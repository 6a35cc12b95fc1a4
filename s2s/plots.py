"""Pictures that are readable in print: attention maps and learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from s2s.errors import MissingExtraError


def attention_map(
    path: Path | IO[bytes],
    source: Sequence[str],
    target: Sequence[str],
    weights: Sequence[Sequence[float]],
    *,
    title: str = "",
) -> None:
    """Where each written piece looked: source across, target down, dark is much.

    Args:
        path: PNG to write, or an open file.
        source: pieces across.
        target: pieces down.
        weights: one row a target piece, one column a source piece.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure, axes = _figure(max(3.0, 0.32 * len(source) + 1.2), max(2.2, 0.32 * len(target) + 1.2))
    image = axes.imshow(weights, cmap="Greys", vmin=0.0, vmax=1.0, aspect="equal", interpolation="nearest")
    axes.set_xticks(range(len(source)), [_visible(piece) for piece in source], rotation=90 if _wide(source) else 0)
    axes.set_yticks(range(len(target)), [_visible(piece) for piece in target])
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("source")
    axes.set_ylabel("written")
    axes.tick_params(length=0)
    if title:
        axes.set_title(title, fontsize=10)
    figure.colorbar(image, ax=axes, label="attention weight", fraction=0.03, pad=0.02, shrink=0.7)
    _save(figure, path)


def learning_curve(path: Path | IO[bytes], rows: Sequence[Mapping[str, Any]], *, metric: str, title: str = "") -> None:
    """Loss in training and validation, and the metric that decides, over updates.

    Args:
        path: PNG to write, or an open file.
        rows: lines of a run's `metrics.jsonl`.
        metric: the name of the second curve.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure, axes = _figure(6.4, 3.8)
    trained = [row for row in rows if row["event"] == "train"]
    validated = [row for row in rows if row["event"] == "valid"]
    axes.plot(_column(trained, "step"), _column(trained, "loss"), color="0.6", label="training loss")
    axes.plot(_column(validated, "step"), _column(validated, "loss"), "o-", color="0.1", ms=3, label="validation loss")
    axes.set_xlabel("updates")
    axes.set_ylabel("loss (nats a token)")
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
    _save(figure, path)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    """A figure without a screen or global state."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "plot", "drawing pictures") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _save(figure: Any, path: Path | IO[bytes]) -> None:
    if isinstance(path, Path):
        path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _visible(piece: str) -> str:
    return "␣" if piece == " " else piece.replace("$", r"\$")


def _wide(pieces: Sequence[str]) -> bool:
    return any(len(piece) > 2 for piece in pieces)


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows]


def _has(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    return any(name in row for row in rows)

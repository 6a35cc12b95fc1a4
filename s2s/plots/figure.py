"""Figures without a screen or global state, and their files."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

from s2s.errors import MissingExtraError


def new_figure(width: float, height: float) -> Any:
    """An empty figure of so many inches.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "plot", "drawing pictures") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Any, path: Path | IO[bytes]) -> None:
    """As PNG, fine enough for print."""
    if isinstance(path, Path):
        path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)

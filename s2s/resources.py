"""Where the material lies that travels with the package: recipes and corpus cards, in a wheel and in a checkout."""

from __future__ import annotations

import os
from pathlib import Path

from s2s.errors import UserError

_PACKAGE = Path(__file__).resolve().parent


def recipes() -> Path:
    """The folder of the recipes: `s2s/_recipes` of an installed wheel, else `recipes/` of the checkout."""
    return _first("recipes", _PACKAGE / "_recipes", _PACKAGE.parent / "recipes")


def corpora() -> Path:
    """The folder of the corpus cards: `s2s/_corpora` of an installed wheel, else `data/corpora/` of the checkout."""
    return _first("corpus cards", _PACKAGE / "_corpora", _PACKAGE.parent / "data" / "corpora")


def cache() -> Path:
    """Where corpora and compiled scans are kept: `$S2S_CACHE`, else `$XDG_CACHE_HOME/s2s`, else `~/.cache/s2s`."""
    if own := os.environ.get("S2S_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "s2s"


def _first(what: str, *folders: Path) -> Path:
    for folder in folders:
        if folder.is_dir():
            return folder
    tried = " and ".join(str(folder) for folder in folders)
    raise UserError(f"the {what} of s2s were not found: looked in {tried}. Install s2s again.")

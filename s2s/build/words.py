"""The words of a command line: recipes, runs, files of pairs and overrides told apart."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from s2s import resources
from s2s.build.corpus import STDIN
from s2s.build.folder import RunFolder
from s2s.config.io import parse_overrides
from s2s.errors import UserError

_STUDIES = "studies"
_OVERRIDE = re.compile(r"[A-Za-z_][\w.]*=")


def split_words(words: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """`RECIPE|FILE ...` apart from `section.key=value ...`; a word that is a file is never an override."""
    overrides = [word for word in words if _OVERRIDE.match(word) and not Path(word).exists()]
    return [word for word in words if word not in overrides], parse_overrides(overrides)


def split_search(words: Sequence[str]) -> tuple[list[Path], dict[str, Any]]:
    """`RUN ...` apart from `search.key=value ...`.

    Raises:
        UserError: an override of another section.
    """
    return _split_section(words, "search")


def split_serve(words: Sequence[str]) -> tuple[list[Path], dict[str, Any]]:
    """`RUN ...` apart from `serve.key=value ...`.

    Raises:
        UserError: an override of another section, or no run.
    """
    runs, tree = _split_section(words, "serve")
    if not runs:
        raise UserError("There is no run to serve; name at least one run directory.")
    return runs, tree


def _split_section(words: Sequence[str], section: str) -> tuple[list[Path], dict[str, Any]]:
    runs, tree = split_words(words)
    keys = tree.pop(section, {})
    if tree or not isinstance(keys, dict):
        raise UserError(
            f"{', '.join(tree) or section}: only {section}.key=value can be given here, the rest was fixed when the run"
            f" was trained. `s2s config explain {section}` lists the keys"
        )
    return list(map(Path, runs)), keys


def recipes() -> dict[str, Path]:
    """Every recipe of a run by name."""
    return {path.stem: path for path in _material() if path.parent.name != _STUDIES}


def studies() -> dict[str, Path]:
    """Every file of `s2s compare` and `s2s tune` that travels with the package, by name."""
    return {path.stem: path for path in _material() if path.parent.name == _STUDIES}


def _material() -> list[Path]:
    return sorted(resources.recipes().glob("*/*.toml"))


def find_recipe(word: str) -> Path:
    """The TOML file that a word means.

    Raises:
        UserError: neither a file nor the name of a recipe (with the nearest).
    """
    known = recipes()
    if word.endswith(".toml"):
        path, inside = Path(word), resources.recipes() / word.removeprefix("recipes/")
        if path.exists() or not inside.exists():
            return path
        return inside
    if word in known:
        return known[word]
    near = difflib.get_close_matches(word, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    raise UserError(f"{word}: neither a file nor a recipe; {hint}")


def find_study(word: str) -> Path:
    """The TOML file that a word of `s2s compare` or `s2s tune` means: a study, or a recipe.

    Raises:
        UserError: as `find_recipe`.
    """
    return studies().get(word) or find_recipe(word)


def is_data(word: str) -> bool:
    """Whether a word means a file of pairs rather than a recipe."""
    if word.endswith(".toml"):
        return False
    if Path(word).is_dir() and word not in recipes():
        if RunFolder(Path(word)).exists():
            raise UserError(
                f"{word}: is a run, expected a recipe or a file of pairs. Go on with it (`s2s train --resume {word}`),"
                f" train again as it was (`s2s train {word}/config.toml`), or take over its weights (--init-from)"
            )
        raise UserError(f"{word}: is a folder, expected a recipe or a file of pairs; name the file inside it")
    looks_like_a_path = "/" in word or bool(Path(word).suffix)
    return word == STDIN or Path(word).is_file() or (looks_like_a_path and word not in recipes())


def describe(path: Path) -> str:
    """The first sentence of a recipe's header."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and line.strip("# "):
            return line.strip("# ")
    return ""

"""From the words of a command line to a configuration and the pairs it is about."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from s2s import resources
from s2s.build.auto import choose
from s2s.build.corpus import STDIN, Corpus, load_corpus
from s2s.build.folder import RunFolder
from s2s.build.say import say
from s2s.config import Config
from s2s.config_io import check, merge, parse_overrides, read_toml
from s2s.corpus.lines import named
from s2s.errors import UserError

_OVERRIDE = re.compile(r"[A-Za-z_][\w.]*=")


@dataclass(frozen=True)
class Composed:
    """A checked configuration, its pairs, and comments for the file that will reproduce the run."""

    config: Config
    corpus: Corpus
    stdin: bytes | None = None
    header: Sequence[str] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)


def split_words(words: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """`RECIPE|FILE ...` apart from `section.key=value ...`; a word that is a file is never an override."""
    overrides = [word for word in words if _OVERRIDE.match(word) and not Path(word).exists()]
    return [word for word in words if word not in overrides], parse_overrides(overrides)


def recipes() -> dict[str, Path]:
    """Every recipe by name."""
    return {path.stem: path for path in sorted(resources.recipes().glob("*/*.toml"))}


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


def compose(inputs: Sequence[str], extra: Mapping[str, Any], console: Console) -> Composed:
    """A recipe, or files of pairs without any configuration.

    Args:
        inputs: a recipe (name or path), or one file of pairs, or two parallel files.
        extra: overrides; they win.
        console: where choices are said.

    Raises:
        UserError: whatever is wrong with names, configuration or files.
    """
    if len(inputs) == 1 and not _is_data(inputs[0]):
        path = find_recipe(inputs[0])
        tree = merge({"name": path.stem}, read_toml(path), extra)
        return _from_tree(tree, _where(path, extra), header=[f"from {path.name}"], run=path.parent)
    if not inputs and not extra.get("data"):
        raise UserError("nothing to train on: name a recipe (`s2s recipes`) or a file of pairs (`s2s train pairs.tsv`)")
    if not inputs:
        return _from_tree(merge({"name": _stem(_first_path(extra))}, extra), "command line", header=[])
    return _from_files(inputs, extra, console)


def _is_data(word: str) -> bool:
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


def _where(path: Path, extra: Mapping[str, Any]) -> str:
    """What messages about the configuration point to."""
    return f"{path} and command line" if extra else str(path)


def _first_path(extra: Mapping[str, Any]) -> str:
    """The first training file that overrides name, or nothing."""
    data = extra.get("data")
    train = data.get("train", "") if isinstance(data, dict) else ""
    return str(train[0] if isinstance(train, list) and train else train or "")


def _from_tree(tree: Mapping[str, Any], where: str, *, header: Sequence[str], run: Path | None = None) -> Composed:
    """`run` is the folder of the TOML file: that of a run holds what its standard input was."""
    config = _absolute(check(tree, where))
    stdin = _standard_input(config, run)
    return Composed(config, _load(config, stdin), stdin, header)


def _standard_input(config: Config, run: Path | None = None) -> bytes | None:
    """The bytes that a path of `-` stands for, or None where there is none."""
    if STDIN not in (*config.data.train, *config.data.valid, *config.data.test):
        return None
    kept = RunFolder(run).stdin if run is not None else None
    return kept.read_bytes() if kept is not None and kept.is_file() else sys.stdin.buffer.read()


def _from_files(inputs: Sequence[str], extra: Mapping[str, Any], console: Console) -> Composed:
    """Look at the pairs, choose what the user did not, and say why."""
    base = {"name": _stem(inputs[0]), "data": {"train": list(inputs)}}
    config = _absolute(check(merge(base, extra), "command line"))  # before any file is read: a typo shows at once
    stdin = _standard_input(config)
    corpus = _load(config, stdin)
    given = {f"{section}.{key}" for section, keys in extra.items() if isinstance(keys, dict) for key in keys}
    choice = choose(corpus.train, epochs=config.training.epochs if "training.epochs" in given else None)
    config = _absolute(check(merge(base, choice.tree, extra), "command line"))
    reasons = {key: why for key, why in choice.reasons.items() if key not in given}
    files, count = ", ".join(map(named, inputs)), len(corpus.train) + (0 if config.data.valid else len(corpus.valid))
    say(console, f"{count:,} pairs in {files}; chosen for them:")
    for key, value in _flat(choice.tree).items():
        if key not in given:
            say(console, f"  {key} = {value}" + (f"  ({reasons[key]})" if key in reasons else ""))
    header = [f"chosen by `s2s train {' '.join(inputs)}`", "train again with: s2s train config.toml -o NEW"]
    return Composed(config, corpus, stdin, header, reasons)


def _flat(tree: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """`section.key` -> value as one would write it in TOML."""
    import tomlkit

    return {
        f"{section}.{key}": tomlkit.item(value).as_string()
        for section, keys in tree.items()
        for key, value in keys.items()
    }


def _load(config: Config, stdin: bytes | None) -> Corpus:
    if stdin is None:
        return load_corpus(config.data)
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        spooled = Path(folder) / "stdin"
        spooled.write_bytes(stdin)
        return load_corpus(config.data, stdin=spooled)


def compose_from_run(inputs: Sequence[str], extra: Mapping[str, Any], run: Path) -> Composed:
    """New data (or a recipe) for the model of `run`: its text, model and search sections hold.

    Raises:
        UserError: the recipe or the overrides ask for another text or model section.
    """
    old, _ = RunFolder(run).read()
    tree = old.model_dump(mode="json", exclude={"data", "name"})
    folder = None
    if len(inputs) == 1 and not _is_data(inputs[0]):
        path = find_recipe(inputs[0])
        folder = path.parent
        wanted = merge({"name": path.stem}, read_toml(path), extra)
    else:
        languages = {"source_lang": old.data.source_lang, "target_lang": old.data.target_lang}
        data = {"data": {"train": list(inputs), **languages}} if inputs else {}
        wanted = merge({"name": _stem(inputs[0]) if inputs else old.name}, data, extra)
    config = check(merge(tree, wanted), f"{run} and command line")
    for section in ("text", "model"):
        before, now = getattr(old, section).model_dump(), getattr(config, section).model_dump()
        changed = [key for key in before if before[key] != now[key]]
        if differing := [f"{section}.{key} is {before[key]!r}, not {now[key]!r}" for key in changed]:
            raise UserError(
                f"--init-from {run}: the weights fit only their own model, but {'; '.join(differing)}."
                " Leave these keys as they were, or train a new model"
            )
    config = _absolute(config)
    stdin = _standard_input(config, folder)
    return Composed(config, _load(config, stdin), stdin, [f"fine-tuned from {run}"])


def _absolute(config: Config) -> Config:
    """Paths that hold wherever the run is resumed from."""

    def whole(paths: list[str]) -> list[str]:
        return [path if path == STDIN else str(Path(path).absolute()) for path in paths]

    data = config.data
    root = str(Path(data.root).absolute()) if data.root else ""
    files = {part: whole(getattr(data, part)) for part in ("train", "valid", "test")}
    return config.model_copy(update={"data": data.model_copy(update={**files, "root": root})})


def _stem(word: str) -> str:
    """`data/train.de.gz` -> `train`; standard input -> `stdin`."""
    return "stdin" if word == STDIN else Path(word).name.split(".")[0] or "run"


def describe(path: Path) -> str:
    """The first sentence of a recipe's header."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and line.strip("# "):
            return line.strip("# ")
    return ""


__all__ = ["Composed", "compose", "compose_from_run", "describe", "find_recipe", "recipes", "split_words"]

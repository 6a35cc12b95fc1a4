"""From recipes, files and overrides to a configuration and the pairs it is about."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from s2s.build.auto import choose
from s2s.build.corpus import STDIN, Corpus
from s2s.build.dialogues import DialogueCorpus, holds_dialogues, load_any
from s2s.build.folder import RunFolder
from s2s.build.say import say
from s2s.build.words import find_recipe, is_data
from s2s.config import Config
from s2s.config.io import check, merge, read_toml
from s2s.corpus.lines import named
from s2s.errors import UserError
from s2s.training.processes import started_together

FREE = frozenset(
    (
        "text.subword_sampling",
        "model.dropout",
        "model.embedding_dropout",
        "model.output_dropout",
        "model.variational_dropout",
        "model.recurrent_dropout",
        "model.word_dropout",
        "model.freeze_embeddings",
        "model.coverage_loss",
        "model.scheduled_sampling",
        "model.scheduled_sampling_updates",
        "model.backend",
        "model.segment",
    )
)
"""Keys of `[text]` and `[model]` (and of its sides) that say how weights are trained and run. All others say what the
weights are or how they began: a run that takes weights over (`--init-from`) must share these."""


@dataclass(frozen=True)
class Composed:
    """A checked configuration, its pairs or dialogues, and comments for the file that will reproduce the run."""

    config: Config
    corpus: Corpus | DialogueCorpus | None
    """None for a sequence task, whose examples are made as they are needed."""
    stdin: bytes | None = None
    header: Sequence[str] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)


def compose(inputs: Sequence[str], extra: Mapping[str, Any], console: Console) -> Composed:
    """A recipe, or files of pairs without any configuration.

    Args:
        inputs: a recipe (name or path), or one file of pairs, or two parallel files.
        extra: overrides; they win.
        console: where choices are said.

    Raises:
        UserError: whatever is wrong with names, configuration or files.
    """
    if len(inputs) == 1 and not is_data(inputs[0]):
        path = find_recipe(inputs[0])
        tree = merge({"name": path.stem}, read_toml(path), extra)
        return _from_tree(tree, _where(path, extra), header=[f"from {path.name}"], run=path.parent)
    if not inputs and not extra.get("data"):
        raise UserError("nothing to train on: name a recipe (`s2s recipes`) or a file of pairs (`s2s train pairs.tsv`)")
    if not inputs:
        name = str(extra["data"].get("task") or _stem(_first_path(extra)))
        return _from_tree(merge({"name": name}, extra), "command line", header=[])
    return _from_files(inputs, extra, console)


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
    return Composed(config, _texts(config, stdin), stdin, header)


def _standard_input(config: Config, run: Path | None = None) -> bytes | None:
    """The bytes that a path of `-` stands for, or None where there is none."""
    if STDIN not in (*config.data.train, *config.data.valid, *config.data.test):
        return None
    kept = RunFolder(run).stdin if run is not None else None
    if kept is not None and kept.is_file():
        return kept.read_bytes()
    if started_together():
        raise UserError("standard input can be read by one process only, several were started; name a file instead")
    return sys.stdin.buffer.read()


def _from_files(inputs: Sequence[str], extra: Mapping[str, Any], console: Console) -> Composed:
    """Look at the pairs, choose what the user did not, and say why."""
    base = {"name": _stem(inputs[0]), "data": {"train": list(inputs)}}
    config = _absolute(check(merge(base, extra), "command line"))  # before any file is read: a typo shows at once
    if holds_dialogues(config):  # what suits pairs says nothing of them
        return _from_tree(merge(base, extra), "command line", header=[])
    stdin = _standard_input(config)
    corpus = _load(config, stdin)
    assert isinstance(corpus, Corpus)
    given = {f"{section}.{key}" for section, keys in extra.items() if isinstance(keys, dict) for key in keys}
    choice = choose(corpus.train, epochs=config.training.epochs if "training.epochs" in given else None)
    config = _absolute(check(merge(base, choice.tree, extra), "command line"))
    reasons = {key: why for key, why in choice.reasons.items() if key not in given}
    files = ", ".join([*map(named, inputs), *(part.name for part in corpus.parts[1:])])
    count = len(corpus.train) + (0 if config.data.valid else len(corpus.valid))
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


def _texts(config: Config, stdin: bytes | None) -> Corpus | DialogueCorpus | None:
    return None if config.data.task else _load(config, stdin)


def _load(config: Config, stdin: bytes | None) -> Corpus | DialogueCorpus:
    if stdin is None:
        return load_any(config)
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        spooled = Path(folder) / "stdin"
        spooled.write_bytes(stdin)
        return load_any(config, stdin=spooled)


def compose_from_run(inputs: Sequence[str], extra: Mapping[str, Any], run: Path) -> Composed:
    """New data (or a recipe) for the model of `run`, whose configuration holds where nothing else is said.

    Raises:
        UserError: the recipe or the overrides ask for other weights.
    """
    old, _ = RunFolder(run).read()
    tree = old.model_dump(mode="json", exclude={"data", "name"})
    folder = None
    if len(inputs) == 1 and not is_data(inputs[0]):
        path = find_recipe(inputs[0])
        folder = path.parent
        wanted = merge({"name": path.stem}, read_toml(path), extra)
    else:
        languages = {"source_lang": old.data.source_lang, "target_lang": old.data.target_lang}
        data = {"data": {"train": list(inputs), **languages}} if inputs else {}
        if old.data.task:
            data = {"data": old.data.model_dump(mode="json")}
        wanted = merge({"name": _stem(inputs[0]) if inputs else old.name}, data, extra)
    config = _absolute(check(merge(tree, wanted), f"{run} and command line"))
    before, now = _decisive(_absolute(old)), _decisive(config)
    if (old.model.kind, config.model.kind) == ("hred", "vhred"):  # which reads what the other reads, and more
        before = {key: value for key, value in before.items() if key not in ("model.kind", "model.latent_size")}
    if differing := [f"{key} is {before[key]}, not {now[key]}" for key in before if before[key] != now[key]]:
        raise UserError(
            f"--init-from {run}: the weights fit only their own model, but {'; '.join(differing)}."
            " Leave these keys as they were, or train a new model"
        )
    stdin = _standard_input(config, folder)
    return Composed(config, _texts(config, stdin), stdin, [f"fine-tuned from {run}"])


def _decisive(config: Config) -> dict[str, str]:
    """What decides the weights: the keys of `[text]` and `[model]` that are not free, with their values as text.

    A key that a side may have of its own stands as it holds for the two sides.
    """
    model, sides = config.model, [config.model.side(name).model_dump() for name in ("encoder", "decoder")]
    shown = {f"text.{key}": repr(value) for key, value in config.text.model_dump().items()}
    for key, value in model.model_dump(exclude={"encoder", "decoder"}).items():
        left, right = (side.get(key, value) for side in sides)
        shown[f"model.{key}"] = repr(left) if left == right else f"{left!r} (encoder) and {right!r} (decoder)"
    return {key: value for key, value in shown.items() if key not in FREE}


def _absolute(config: Config) -> Config:
    """Paths that hold wherever the run is resumed from."""

    def whole(path: str) -> str:
        return path if path in ("", STDIN) else str(Path(path).absolute())

    data, model = config.data, config.model
    files = {part: list(map(whole, getattr(data, part))) for part in ("train", "valid", "test")}
    mix = [one.model_copy(update={"train": list(map(whole, one.train))}) for one in data.mix]
    sides = {
        name: side.model_copy(update={"embeddings": side.embeddings and whole(side.embeddings)})
        for name, side in (("encoder", model.encoder), ("decoder", model.decoder))
    }
    vectors = model.embeddings and whole(model.embeddings)
    update = {
        "data": data.model_copy(update={**files, "mix": mix, "root": whole(data.root), "store": whole(data.store)}),
        "model": model.model_copy(update={"embeddings": vectors, **sides}),
    }
    return config.model_copy(update=update)


def _stem(word: str) -> str:
    """`data/train.de.gz` -> `train`; standard input -> `stdin`."""
    return "stdin" if word == STDIN else Path(word).name.split(".")[0] or "run"


__all__ = ["FREE", "Composed", "compose", "compose_from_run"]

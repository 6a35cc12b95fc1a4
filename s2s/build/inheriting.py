"""`--init-from` for models of dialogues: which weights were taken from the other run, and which were not."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from rich.console import Console

from s2s.build.folder import RunFolder
from s2s.build.load import check_vocabulary
from s2s.build.say import say
from s2s.build.text import Tokenizers
from s2s.models import HRED, Seq2Seq
from s2s.models.inherit import Inherited, inherit
from s2s.training.checkpoint import load_weights, read_weights


def take_weights(model: Seq2Seq | HRED, folder: RunFolder, tokenizers: Tokenizers, console: Console) -> None:
    """The weights of another run, as far as they fit; all are accounted for.

    Raises:
        UserError: a model of pairs they do not fit, another vocabulary, or no weights.
    """
    if isinstance(model, Seq2Seq):
        check_vocabulary(load_weights(folder.weights, model), tokenizers, folder)
        found = Inherited([*model.state_dict()], [], [], [])
    else:
        weights, metadata = read_weights(folder.weights)
        check_vocabulary(metadata, tokenizers, folder)
        found = inherit(model, weights)
    say(console, f"weights of {folder.path}:")
    for line in _account(found):
        say(console, f"  {line}")


def _account(found: Inherited) -> list[str]:
    """A line for each group of weights that is not empty."""
    every = [name for names in found for name in names]
    groups = (
        ("taken as they were", found.taken),
        ("widened (the columns of the latent variable keep their own start)", found.widened),
        ("kept their own start", found.fresh),
        ("not read", found.unread),
    )
    return [f"{len(names):,} {what}: {', '.join(shortened(names, every))}" for what, names in groups if names]


def shortened(names: Collection[str], every: Iterable[str]) -> list[str]:
    """The names, several with one beginning as `encoder.* (12)` where no other name of `every` begins like that."""
    others = [name for name in every if name not in names]
    found: dict[str, int] = {}
    for name in names:
        short = _beginning(name, names, others)
        found[short] = found.get(short, 0) + 1
    return [f"{short} ({count})" if short.endswith("*") else short for short, count in found.items()]


def _beginning(name: str, names: Collection[str], others: Collection[str]) -> str:
    """The shortest beginning that this name shares with another one of its group and with no other name."""
    parts = name.split(".")
    for count in range(1, len(parts)):
        start = ".".join(parts[:count]) + "."
        if any(other.startswith(start) for other in others):
            continue
        return f"{start}*" if sum(other.startswith(start) for other in names) > 1 else name
    return name

"""Which keys vary and over what: from the words of a command line and from tables of TOML."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from s2s.config.io import merge, parse_overrides
from s2s.errors import UserError

_ASSIGNMENT = re.compile(r"[A-Za-z_][\w.]*=")
_OPENING, _CLOSING, _QUOTES = "[{", "]}", "\"'"


@dataclass(frozen=True)
class Axis:
    """A key and the values that it takes."""

    key: str
    values: tuple[Any, ...]
    sets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """For values that are names of several keys together: their dotted keys. `key` is the name of the sets then."""

    @property
    def keys(self) -> list[str]:
        """Of the configuration, that it decides."""
        return list(dict.fromkeys(key for keys in self.sets.values() for key in keys)) if self.sets else [self.key]

    def decided(self, value: Any) -> Mapping[str, Any]:
        """Dotted keys of the configuration by a value."""
        return self.sets[value] if self.sets else {self.key: value}


@dataclass(frozen=True)
class Words:
    """`WORD... key=value key=value,value`: inputs, keys with one value, keys with several."""

    inputs: tuple[str, ...]
    fixed: dict[str, Any]
    axes: tuple[Axis, ...]


def read_words(words: Iterable[str]) -> Words:
    """A value with commas outside brackets and quotes is an axis: `[0.9,0.99]` is one value, `[0.9],[0.99]` are two.

    Raises:
        UserError: a key given twice, an axis with an empty value, or one with the same value twice.
    """
    inputs: list[str] = []
    given: dict[str, list[Any]] = {}
    for word in words:
        if not _ASSIGNMENT.match(word):
            inputs.append(word)
            continue
        key, _, text = word.partition("=")
        if key in given:
            raise UserError(f"{key}: given twice; expected once, with all its values: {key}=value,value")
        pieces = split_values(text)
        if len(pieces) > 1 and "" in pieces:
            raise UserError(f"{word}: an empty value; expected values with commas between them, such as {key}=1,2,3")
        given[key] = [parse_overrides([f"value={piece}"])["value"] for piece in pieces]
    fixed = {key: values[0] for key, values in given.items() if len(values) == 1}
    return Words(tuple(inputs), fixed, tuple(make_axis(key, given[key]) for key in given if key not in fixed))


def split_values(text: str) -> list[str]:
    """The text cut at its commas, but not inside brackets or quotes; white space at the ends goes."""
    pieces, depth, quote, start = [], 0, "", 0
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in _QUOTES:
            quote = sign
        elif sign in _OPENING or sign in _CLOSING:
            depth += 1 if sign in _OPENING else -1
        elif sign == "," and not depth:
            pieces.append(text[start:place])
            start = place + 1
    return [piece.strip() for piece in (*pieces, text[start:])]


def read_grid(table: Mapping[str, Any], where: str) -> tuple[Axis, ...]:
    """The axes of a `[grid]`: each key with the list of its values.

    Raises:
        UserError: a key whose value is no list, an empty list, a key given twice.
    """
    axes = []
    for key, values in flat(table, where).items():
        if not isinstance(values, list):
            raise UserError(
                f"{where}: {key} = {values!r}: expected a list of values; a key with one value belongs into [fixed]"
            )
        axes.append(make_axis(key, values))
    return tuple(axes)


def read_sets(tables: Mapping[str, Mapping[str, Mapping[str, Any]]], where: str) -> tuple[Axis, ...]:
    """The axes of `[sets]`: a name each, and by name the keys that vary together.

    Raises:
        UserError: a name with a dot, a set without keys, sets of one axis that decide unlike keys.
    """
    axes = []
    for name, sets in tables.items():
        keys = {one: flat(tree, f"{where}: sets.{name}.{one}") for one, tree in sets.items()}
        axis = Axis(name, tuple(keys), keys)
        lacking = [(one, key) for one in keys for key in axis.keys if key not in keys[one]]
        if lacking:
            one, key = lacking[0]
            raise UserError(
                f"{where}: sets.{name}.{one} does not say {key}, and another set of {name} does; give it a value"
            )
        if not any(keys.values()):
            raise UserError(
                f"{where}: sets.{name} has no keys; expected sets such as small = {{ model.hidden_size = 64 }}"
            )
        axes.append(axis)
    return tuple(axes)


def make_axis(key: str, values: Sequence[Any]) -> Axis:
    """An axis with at least one value, each once.

    Raises:
        UserError: otherwise.
    """
    if not values:
        raise UserError(f"{key}: an axis without values; expected at least one, or leave the key out")
    twice = [value for place, value in enumerate(values) if _same(value, values[:place])]
    if twice:
        raise UserError(f"{key}: {twice[0]!r} stands twice in the axis; each value makes runs of its own, give it once")
    return Axis(key, tuple(values))


def _same(value: Any, others: Sequence[Any]) -> bool:
    return any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in others)


def flat(tree: Mapping[str, Any], where: str, *, leaf: Callable[[Any], bool] = lambda _: False) -> dict[str, Any]:
    """Tables in tables as dotted keys; both ways of writing them may be mixed.

    Args:
        where: what messages point to.
        leaf: which tables are values.

    Raises:
        UserError: a key given twice.
    """
    found: dict[str, Any] = {}
    for key, value in tree.items():
        table = isinstance(value, Mapping) and not leaf(value)
        inner = {f"{key}.{name}": one for name, one in flat(value, where, leaf=leaf).items()} if table else {key: value}
        for name in inner:
            if name in found:
                raise UserError(f"{where}: {name} is given twice; expected once, with all its values in one list")
        found |= inner
    return found


def nested(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as tables in tables."""
    trees: list[dict[str, Any]] = []
    for key, value in keys.items():
        *tables, last = key.split(".")
        tree: dict[str, Any] = {last: value}
        for table in reversed(tables):
            tree = {table: tree}
        trees.append(tree)
    return merge(*trees)

"""Configuration from TOML files and `section.key=value` overrides, with every problem reported at once."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from s2s.config import Config, Mixed, Section
from s2s.errors import UserError

Tree = dict[str, Any]


def read_toml(path: Path) -> Tree:
    """The tables of a TOML file.

    Raises:
        UserError: the file is missing, is not UTF-8 or is not TOML (with line and column).
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; expected a TOML configuration. `s2s recipes` lists what is there"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: can't be read as a TOML file: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not valid TOML: {error}") from None


def parse_overrides(words: Iterable[str]) -> Tree:
    """`["model.core=gru", "training.epochs=5"]` as nested tables; values are TOML, anything else is a string."""
    tree: Tree = {}
    for word in words:
        key, _, value = word.partition("=")
        *tables, last = key.strip().split(".")
        node = tree
        for table in tables:
            node = node.setdefault(table, {})
            if not isinstance(node, dict):
                raise UserError(f"{word!r}: {table} was given a value before and can't be a table as well")
        node[last] = _value(value)
    return tree


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def merge(*trees: Mapping[str, Any]) -> Tree:
    """Tables joined key by key; what comes later wins."""
    result: Tree = {}
    for tree in trees:
        for key, value in tree.items():
            old = result.get(key)
            both = isinstance(old, dict) and isinstance(value, Mapping)
            result[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return result


def check(tree: Mapping[str, Any], where: str) -> Config:
    """The tables as a `Config`.

    Raises:
        UserError: all problems together, one a line: key, value, what is allowed, nearest known key.
    """
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        lines = [_problem(problem) for problem in error.errors()]
        count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
        raise UserError(f"{where}: {count} in the configuration\n  " + "\n  ".join(lines)) from None


def _problem(problem: Any) -> str:
    path = [str(part) for part in problem["loc"]]
    dotted = ".".join(path) or "configuration"
    got = problem["input"]
    if problem["type"] == "extra_forbidden":
        return f"{dotted}: unknown key{_did_you_mean(path)}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        inner = path and _section(path) is None
        return f"{dotted} = {got!r}: {message}" if inner else f"{dotted}: {message}"
    if problem["type"] == "model_type":
        return f"{dotted} = {got!r}: this is a section; write [{dotted}] and its keys, or {dotted}.key = value"
    hint = " (true or false)" if problem["type"] == "bool_type" else ""
    return f"{dotted} = {got!r}: {message[0].lower()}{message[1:]}{hint}"


def _did_you_mean(path: list[str]) -> str:
    if path[:2] == ["data", "mix"]:
        return f"; a [[data.mix]] has {', '.join(Mixed.model_fields)}"
    known = [*all_keys(), *_all_sections()]
    names = [key.rpartition(".")[2] for key in known]
    near = [] if path[-1] in names else difflib.get_close_matches(".".join(path), known, n=1, cutoff=0.75)
    if not near:  # the right name, or nearly, in the wrong section
        last = difflib.get_close_matches(path[-1], names, n=1, cutoff=0.75)
        near = [key for key, name in zip(known, names, strict=True) if name in last][:1]
    return f"; did you mean {near[0]}?" if near else "; `s2s config explain` lists all keys"


def _all_sections() -> list[str]:
    return list(dict.fromkeys(table for key in all_keys() if (table := key.rpartition(".")[0])))


def _section(path: list[str]) -> type[Section] | None:
    """The section that a path names, or None where it names a key (or nothing)."""
    section: type[Section] = Config
    for part in path:
        field = section.model_fields.get(part)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, Section)):
            return None
        section = field.annotation
    return section


def all_keys(section: type[Section] = Config, prefix: str = "") -> list[str]:
    """Every dotted key of the schema, in order."""
    keys: list[str] = []
    for name in section.model_fields:
        inner = _section([*prefix.split(".")[:-1], name]) if prefix else _section([name])
        keys += all_keys(inner, f"{prefix}{name}.") if inner is not None else [f"{prefix}{name}"]
    return keys


def explain(wanted: str = "") -> Iterator[tuple[str, str, str, str]]:
    """`(key, default, allowed, meaning)` of each key that equals or starts with `wanted`.

    Raises:
        UserError: no key is called so (with the nearest).
    """
    keys = [key for key in all_keys() if not wanted or key == wanted or key.startswith(f"{wanted}.")]
    if not keys:
        raise UserError(f"{wanted}: unknown key{_did_you_mean(wanted.split('.'))}")
    properties = Config.model_json_schema()
    for key in keys:
        *tables, last = key.split(".")
        section = _section(tables)
        assert section is not None
        field = section.model_fields[last]
        allowed = _allowed(_schema_of(properties, key.split(".")))
        default = field.get_default(call_default_factory=True)
        unset = default is None and not section.may_be_none(last)
        yield key, "not set" if unset else _text(default), allowed, field.description or ""


def _schema_of(schema: Mapping[str, Any], path: list[str]) -> Mapping[str, Any]:
    node = schema
    for part in path:
        node = node["properties"][part]
        reference = node.get("$ref") or next((item["$ref"] for item in node.get("allOf", []) if "$ref" in item), None)
        if reference:
            node = schema["$defs"][reference.rsplit("/", 1)[1]]
    return node


def _allowed(node: Mapping[str, Any]) -> str:
    if "anyOf" in node:
        options = [option for option in node["anyOf"] if not (option.get("type") == "null" and _lists_none(node))]
        return " | ".join(dict.fromkeys(_allowed(option) for option in options))
    if "enum" in node:
        return " | ".join(map(str, node["enum"]))
    if node.get("type") == "array":
        return "list"
    name = {"null": "none", "integer": "whole number", "boolean": "true | false"}.get(
        node.get("type", ""), node.get("type", "any")
    )
    bounds = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    limits = " ".join(f"{sign} {node[key]:g}" for key, sign in bounds.items() if key in node)
    return f"{name} {limits}".strip()


def _lists_none(node: Mapping[str, Any]) -> bool:
    return any("none" in option.get("enum", ()) for option in node["anyOf"])


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def dump(config: Config, *, header: Iterable[str] = (), reasons: Mapping[str, str] | None = None) -> str:
    """The whole configuration as TOML that reads back to the same `Config`.

    Args:
        header: comment lines for the top of the file.
        reasons: dotted key -> why this value was chosen, written as a comment beside it.
    """
    import tomlkit

    document = tomlkit.document()
    for line in header:
        document.add(tomlkit.comment(line))
    _fill(document, config, "", reasons or {})
    return tomlkit.dumps(document)


def _fill(table: Any, section: Section, prefix: str, reasons: Mapping[str, str]) -> None:
    import tomlkit

    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            inner = tomlkit.table()
            _fill(inner, value, f"{prefix}{name}.", reasons)
            if inner or not prefix:
                table.add(name, inner)
        elif isinstance(value, list) and value and isinstance(value[0], Section):
            entries = tomlkit.aot()
            for entry in value:
                one = tomlkit.table()
                _fill(one, entry, "", {})
                entries.append(one)
            table.add(name, entries)
        elif value is not None or field.get_default() is not None:
            item = tomlkit.item("none" if value is None else list(value) if isinstance(value, tuple) else value)
            if reason := reasons.get(f"{prefix}{name}"):
                item.comment(reason)
            table.add(name, item)

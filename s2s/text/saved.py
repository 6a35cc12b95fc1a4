"""The file of a tokenizer: `<name>.json` with kind, options, tokens and the hash that tells a damaged file."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from s2s.errors import UserError
from s2s.text.vocab import Vocabulary

if TYPE_CHECKING:
    from s2s.text.tokenizer import Kind


@dataclass(frozen=True)
class Saved:
    """What a tokenizer's JSON file holds. `tokens` is empty for SentencePiece, whose tokens stand in its model file."""

    path: Path
    kind: Kind
    options: dict[str, Any]
    sha256: str
    tokens: tuple[str, ...]

    def vocabulary(self) -> Vocabulary:
        """The tokens as a vocabulary; UserError when they are not those that were saved."""
        try:
            vocabulary = Vocabulary(self.tokens)
        except ValueError as error:
            raise damaged(self.path, str(error)) from error
        if vocabulary.sha256 != self.sha256:
            raise damaged(self.path, "its tokens do not have the sha256 that it names")
        return vocabulary

    def flag(self, option: str) -> bool:
        """A yes-or-no option; UserError when it is missing or something else."""
        value = self.options.get(option)
        if not isinstance(value, bool):
            raise damaged(self.path, f"option {option!r} should be true or false, got {value!r}")
        return value


def write_saved(saved: Saved) -> None:
    """Write the JSON file whole or not at all."""
    saved.path.parent.mkdir(parents=True, exist_ok=True)
    content = {"kind": saved.kind, "options": saved.options, "sha256": saved.sha256, "tokens": list(saved.tokens)}
    replace_file(saved.path, (json.dumps(content, ensure_ascii=True, indent=1) + "\n").encode("ascii"))


def read_saved(folder: Path, name: str) -> Saved:
    """The JSON file of a tokenizer, its fields checked. UserError when it is missing or damaged."""
    from s2s.text.tokenizer import Kind

    path = folder / f"{name}.json"
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise missing(path) from error
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, str(error)) from error
    match content:
        case {"kind": str(kind), "options": dict(options), "sha256": str(sha256), "tokens": list(tokens)}:
            if kind not in get_args(Kind) or not all(isinstance(token, str) for token in tokens):
                raise damaged(path, f"kind {kind!r} with {len(tokens)} tokens is not a tokenizer of this version")
            return Saved(path, cast("Kind", kind), options, sha256, tuple(tokens))
    raise damaged(path, "the fields kind, options, sha256 and tokens were expected")


def replace_file(path: Path, content: bytes) -> None:
    """Write beside the file, then move: a reader sees the old content or the new, never half of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def missing(path: Path) -> UserError:
    """The error for a tokenizer file that is not there."""
    return UserError(f"{path} is missing: a run keeps its tokenizers there. Give the folder of a finished run.")


def damaged(path: Path, reason: str) -> UserError:
    """The error for a tokenizer file that is not what was saved."""
    return UserError(f"{path} is not a sound tokenizer file: {reason}. Restore it from a copy or train the run again.")

"""What the application needs of an API dialect: its routes and the shape of its errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastapi import APIRouter

from .refusal import Refusal


@dataclass(frozen=True)
class Dialect:
    """`error(refusal)` is the JSON body of an error on any path that starts with `prefix`.

    key_status: what a refusal about the key is answered with.
    """

    prefix: str
    router: APIRouter
    error: Callable[[Refusal], dict[str, object]]
    key_status: int = 403


def dialect_of(path: str, dialects: Sequence[Dialect]) -> Dialect:
    """The dialect with the longest prefix of a path; the one at "" takes what nobody else claims (`OPTIONS *` too)."""
    return max((dialect for dialect in dialects if path.startswith(dialect.prefix)), key=lambda one: len(one.prefix))

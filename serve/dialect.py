"""What the application needs of an API dialect: its routes and the shape of its errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.routing import Match, Route
from starlette.types import Scope

from .refusal import Refusal


class Direct(Route):
    """What a route of FastAPI's answers, without its own steps around each call: a quarter of a request's time.

    It takes only what it answers: other methods, and the description, are left to the route that it stands for.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, more = super().matches(scope)
        return (match, {**more, "route": self}) if match == Match.FULL else (Match.NONE, {})


@dataclass(frozen=True)
class Dialect:
    """`error(refusal)` is the JSON body of an error on any path that starts with `prefix`.

    key_status: what a refusal about the key is answered with. direct: for what is asked most, beside the router's own.
    """

    prefix: str
    router: APIRouter
    error: Callable[[Refusal], dict[str, object]]
    key_status: int = 403
    direct: Sequence[Direct] = ()


def dialect_of(path: str, dialects: Sequence[Dialect]) -> Dialect:
    """The dialect with the longest prefix of a path; the one at "" takes what nobody else claims (`OPTIONS *` too)."""
    return max((dialect for dialect in dialects if path.startswith(dialect.prefix)), key=lambda one: len(one.prefix))

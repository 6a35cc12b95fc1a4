"""The verbs around API keys of a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

FileOption = Annotated[Path, typer.Option("--db", metavar="FILE", help="The file of keys (SQLite).")]


def make(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is; only for the list.")],
    db: FileOption = Path("keys.sqlite"),
) -> None:
    """Make a key and print it. It is shown this once: the file holds only its hash."""
    from s2s.serve.keys import make_key

    typer.echo(make_key(db, name))


def list_all(db: FileOption = Path("keys.sqlite")) -> None:
    """List the keys: id, when made, when revoked, name."""
    from s2s.serve.keys import list_keys

    for key in list_keys(db):
        typer.echo(f"{key.id}  {key.created}  {key.revoked or '-':<25}  {key.name}")


def revoke(
    identity: Annotated[str, typer.Argument(metavar="ID", help="As `s2s keys list` shows it; or the whole key.")],
    db: FileOption = Path("keys.sqlite"),
) -> None:
    """Revoke a key, for good; a running server refuses it at once."""
    from s2s.serve.keys import revoke_key

    key = revoke_key(db, identity)
    typer.echo(f"{key.id} ({key.name}) revoked {key.revoked}")

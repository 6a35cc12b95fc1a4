"""API keys in a SQLite file: made, listed, revoked, and checked in constant time. Needs nothing but Python.

A key is `s2s_ID_SECRET`. The file holds the SHA-256 of the whole (256 random bits need no slow hash), never the key.
Unknown, wrong and revoked ones get the same answer after the same work.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from s2s.errors import UserError

FORMAT = 1
_TABLE = """
CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, sha256 BLOB NOT NULL, created TEXT NOT NULL, revoked TEXT
)"""
_KEY = re.compile("s2s_([0-9a-f]{8})_[A-Za-z0-9_-]{43}", re.ASCII)
_NOTHING = hashlib.sha256().digest()
LONGEST_NAME = 100


@dataclass(frozen=True)
class Key:
    """What is known of a key: everything but the key. `created` and `revoked` are times in ISO 8601, UTC."""

    id: str
    name: str
    created: str
    revoked: str | None


class Keys:
    """The keys of one file. Each check reads the file, so what is made or revoked counts at once."""

    def __init__(self, path: Path) -> None:
        """Raise UserError when the file is missing or is something else."""
        if not path.is_file():
            raise UserError(f"{path}: there is no such file of keys; make one with `s2s keys make --db {path}`.")
        with _understood(path):
            # One connection for the event loop's thread, whichever thread that will be.
            self._connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
            _check_format(self._connection, path)

    def check(self, key: str) -> str | None:
        """The id of a valid key, None for any other string."""
        found = _KEY.fullmatch(key)
        name = found[1] if found else ""
        row = self._connection.execute("SELECT sha256 FROM keys WHERE id = ? AND revoked IS NULL", (name,)).fetchone()
        same = hmac.compare_digest(_hash(key), row[0] if row else _NOTHING)
        return name if same and row else None


def make_key(path: Path, name: str) -> str:
    """A new key, which nothing can show again; the file is made where there is none, readable by its owner alone."""
    if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
        raise UserError(f"The key's name is {name[:40]!r}; it must be 1 to {LONGEST_NAME} printable characters.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    with _opened(path) as connection:
        identity = secrets.token_hex(4)
        key = f"s2s_{identity}_{secrets.token_urlsafe(32)}"
        connection.execute("INSERT INTO keys VALUES (?, ?, ?, ?, NULL)", (identity, name, _hash(key), _now()))
    return key


def list_keys(path: Path) -> list[Key]:
    """All keys of a file, oldest first."""
    _must_exist(path)
    with _opened(path) as connection:
        rows = connection.execute("SELECT id, name, created, revoked FROM keys ORDER BY created, rowid").fetchall()
    return [Key(*row) for row in rows]


def revoke_key(path: Path, identity: str) -> Key:
    """Revoke the key of an id (or the key itself), for good. Raises UserError for an unknown one."""
    _must_exist(path)
    identity = found[1] if (found := _KEY.fullmatch(identity)) else identity
    with _opened(path) as connection:
        connection.execute("UPDATE keys SET revoked = ? WHERE id = ? AND revoked IS NULL", (_now(), identity))
    keys = {key.id: key for key in list_keys(path)}
    if identity not in keys:
        known = ", ".join(keys) or "none"
        raise UserError(f"{path}: has no key with the id {identity[:40]!r}; its ids: {known}.")
    return keys[identity]


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for writing, in one transaction."""
    with _understood(path), closing(sqlite3.connect(path)) as connection, connection:
        if not connection.execute("SELECT name FROM sqlite_master").fetchone():
            connection.execute(_TABLE)
            connection.execute(f"PRAGMA user_version = {FORMAT}")
        _check_format(connection, path)
        yield connection


@contextmanager
def _understood(path: Path) -> Iterator[None]:
    """Turn what SQLite says of a file into a message."""
    try:
        yield
    except sqlite3.Error as error:
        raise UserError(f"{path}: cannot be used as a file of keys ({error}); name another one with --db.") from None


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != FORMAT or not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'keys'").fetchone():
        raise UserError(f"{path}: is no file of keys of this version; make one with `s2s keys make --db FILE`.")


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path}: there is no such file of keys; make one with `s2s keys make --db {path}`.")


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

"""Files that a user names, read: what is wrong with one is the user's to mend."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from s2s.errors import UserError


@contextmanager
def reading(name: str | Path, expected: str = "a file") -> Iterator[None]:
    """The context in which a file is opened and read.

    Args:
        name: as messages call it.
        expected: what should stand there instead of a folder.

    Raises:
        UserError: no such file, a folder, not readable, a broken gzip stream.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{name}: no such file. Check the path; it is looked up from {Path.cwd()}.") from error
    except IsADirectoryError as error:
        raise UserError(f"{name} is a folder, {expected} was expected. Name the file inside it.") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{name} is broken gzip data ({error}). Fetch or compress the file again.") from error
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror or error}. Check the path and its rights.") from error

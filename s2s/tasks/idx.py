"""Files in the idx format (Y. LeCun, C. Cortes and C. Burges, the MNIST database), packed with gzip or not."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from s2s.errors import UserError

_GZIP = b"\x1f\x8b"
_BYTES = 8  # the type code of unsigned bytes


def read_idx(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """The array of unsigned bytes that an idx file holds, with so many dimensions.

    Two zero bytes, the type code, the number of dimensions, each size as four bytes with the highest first, the values
    in C order. UserError for a file that is not there or cannot be unpacked, is of another kind, or too short or long.
    """
    content = _content(path)
    got, expected = content[:4].hex(" "), bytes([0, 0, _BYTES, dimensions]).hex(" ")
    if got != expected:
        raise UserError(
            f"{path}: not an idx file of bytes with {dimensions} dimension{'s' * (dimensions != 1)}: expected it to"
            f" begin with {expected}, got {got or 'nothing'}. {_AGAIN}"
        )
    begin = 4 + 4 * dimensions
    if len(content) < begin:
        raise UserError(f"{path}: the file ends after {len(content)} bytes, within its header of {begin}. {_AGAIN}")
    sizes = np.frombuffer(content[4:begin], dtype=">u4").tolist()
    if len(content) - begin != math.prod(sizes):
        raise UserError(
            f"{path}: the header says {' x '.join(map(str, sizes))} = {math.prod(sizes):,} bytes, the file has"
            f" {len(content) - begin:,}. {_AGAIN}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=begin).reshape(sizes)


_AGAIN = "Get the file again: s2s data fetch mnist"


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(_GZIP) else content
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(
            f"{path}: the file cannot be unpacked, it is cut short or damaged: {error}. {_AGAIN}"
        ) from error
    except OSError as error:
        raise UserError(f"{path}: the file cannot be read: {error.strerror or error}. {_AGAIN}") from error

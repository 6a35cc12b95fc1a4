"""The four files of MNIST in small: random images with the digits of their labels."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import numpy.typing as npt

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(array: npt.NDArray[np.uint8]) -> bytes:
    """An array in the idx format, written out from its description."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def arrays(train: int, test: int) -> dict[str, npt.NDArray[np.uint8]]:
    rng = np.random.default_rng(3)
    made: dict[str, npt.NDArray[np.uint8]] = {}
    for count, images, labels in ((train, *NAMES[:2]), (test, *NAMES[2:])):
        made[images] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        made[labels] = rng.integers(0, 10, count, dtype=np.uint8)
    return made


def write(folder: Path, files: dict[str, npt.NDArray[np.uint8]], *, packed: bool = True) -> Path:
    for name, array in files.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (folder / name).write_bytes(idx(array))
    return folder

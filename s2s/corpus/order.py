"""Random orders that stay the same for good: a resumed run must see the rows in the order of the run it continues."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def random_order(count: int, *seeds: int) -> npt.NDArray[np.int64]:
    """A permutation of range(count) that depends on the seeds (each >= 0) alone, on every machine.

    The raw stream of PCG64 is frozen by NumPy's compatibility policy, `Generator.permutation` is not.
    """
    keys = np.random.PCG64(np.random.SeedSequence(seeds)).random_raw(count)
    return np.argsort(keys, kind="stable")

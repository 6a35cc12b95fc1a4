"""Sizes of tiles and the choice between the two forms (see `s2s.kernels.triton.launch`): what is to be tuned on a GPU.

Nothing here is measured; all of it follows from arithmetic and from what the compiler says of registers. 16 rows are
the least that tl.dot takes. A multiprocessor reads 64 B per clock from the L2, so that a product takes at least
(rows + columns) * H * bytes / 64 clocks, where columns are those of the weights that a program needs (in RWA's forward
loop two a unit). The stages, (rows + columns) * depth elements each, must fit into 227 KB, and some 40 KB have to be
under way to hide the latency. There are as many warps as keep the pointwise part of a step in registers.

Where a step is a launch there should be no more programs than multiprocessors (132): for a batch of 100 they are
7 x 16 of 48 KB at H = 250 (770 clocks in float32), 4 x 32 of 384 KB at H = 1,024 (6,100). Where the scan is a launch,
every program reads all weights: 128 KB at H = 128 (2,050 clocks, about two launches of a graph); 290 KB in the
statistical unit's default sizes (4,500), whose steps would take two launches each.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton.language as tl
from torch import Tensor


class Tile(NamedTuple):
    """What a program computes, `rows` x `units`, in products `depth` deep, and with which means."""

    rows: int
    units: int
    depth: int
    warps: int
    stages: int
    whole: bool = False

    def padded_rows(self, batch: int) -> int:
        """B, padded to whole tiles."""
        return _ceil(batch, self.rows) * self.rows

    def padded_depth(self, size: int) -> int:
        """What a product sums over, padded to whole blocks."""
        return _ceil(size, self.depth) * self.depth

    def grid(self, batch: int, units: int) -> tuple[int, int]:
        """Programs over rows and over units."""
        return _ceil(batch, self.rows), _ceil(units, self.units)

    def options(self, weight: Tensor, state: Tensor) -> dict[str, object]:
        """What every kernel is compiled for; of the tensors only dtype and device are read."""
        return {
            "S": TYPES[weight.dtype],
            "STATE": TYPES[state.dtype],
            "PRECISION": precision(weight.dtype, weight.device),
            "M": self.rows,
            "K": self.depth,
            "num_warps": self.warps,
            "num_stages": self.stages,
            "enable_fp_fusion": True,
        }


WHOLE_RWA = 128
"""Up to this many units RWA's scan is one launch. Here and in the next line the form is chosen."""

WHOLE_STATISTICAL = 512
"""The same for the statistical unit: phi, and decays times r, each rounded up to powers of two."""

STEP_RWA = (
    (256, Tile(rows=16, units=16, depth=64, warps=4, stages=5)),
    (512, Tile(rows=32, units=16, depth=64, warps=8, stages=5)),
)
"""Up to so many units this tile where a step is a launch; beyond all of them the next."""

STEP_RWA_LARGEST = Tile(rows=32, units=32, depth=64, warps=8, stages=5)

STAGE = 1 << 13
"""Elements of the weights in a stage of the statistical unit, whose columns depend on the decays."""


def rwa_tile(hidden: int) -> Tile:
    """For so many units."""
    if hidden <= WHOLE_RWA:
        units = power_of_two(hidden)
        return Tile(rows=16, units=units, depth=min(32, units), warps=max(4, units // 8), stages=4, whole=True)
    return next((tile for limit, tile in STEP_RWA if hidden <= limit), STEP_RWA_LARGEST)


def statistical_tile(decays: int, phi: int, r: int) -> tuple[Tile, int]:
    """The tile over phi, and the block of r, which a program computes for all decays."""
    units, block, sides = power_of_two(phi), power_of_two(r), power_of_two(decays, least=1)
    whole = max(units, sides * block) <= WHOLE_STATISTICAL
    if not whole:
        units, block = 16, 16
    columns = max(units, sides * block)
    depth, warps = min(64, max(16, STAGE // columns)), min(16, max(4, columns // 32))
    return Tile(16, units, depth, warps, stages=4 if columns * depth <= STAGE else 1, whole=whole), block


TYPES = {
    torch.float64: tl.float64,
    torch.float32: tl.float32,
    torch.bfloat16: tl.bfloat16,
    torch.float16: tl.float16,
}


def precision(dtype: torch.dtype, device: torch.device) -> str:
    """How products are made: as torch would, which tl.dot calls "tf32" and "ieee", or "plain", without tl.dot."""
    if dtype == torch.float64 or (dtype == torch.bfloat16 and device.type == "cpu"):
        return "plain"
    matmul = torch.backends.cuda.matmul
    # Asking for allow_tf32 is an error in some versions once the newer setting has been used.
    setting = getattr(matmul, "fp32_precision", None)
    tf32 = matmul.allow_tf32 if setting is None else setting == "tf32"
    return "tf32" if tf32 and dtype == torch.float32 else "ieee"


def power_of_two(size: int, *, least: int = 16) -> int:
    """The next one; 16 is the least of tl.dot."""
    return max(least, 1 << (size - 1).bit_length())


def _ceil(size: int, block: int) -> int:
    return -(-size // block)

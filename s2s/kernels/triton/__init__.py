"""The loops over time in Triton: on NVIDIA GPUs, and on the CPU in Triton's interpreter (TRITON_INTERPRET=1).

Importing this package does not import triton: `unavailable` says why it would be of no use, `scan` loads it.
"""

from __future__ import annotations

import functools
import os
from importlib.util import find_spec

import torch

from s2s.kernels.fused import PLAIN, scans
from s2s.kernels.protocol import Run

CORES = ("rwa", "statistical", "statistical without recurrent statistics")

CAPABILITY = (8, 0)
"""The first GPUs with bfloat16, TF32 and asynchronous copies."""


def unavailable(core: str, device: torch.device, dtype: torch.dtype) -> str | None:
    """Why this core does not run here, or None; `dtype` is that of the inputs."""
    if core not in CORES:
        return "its loop was not written in Triton"
    if dtype not in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        return "it takes float32, bfloat16, float16 and, in the interpreter, float64"
    if device.type == "cpu":
        interpreted = os.environ.get("TRITON_INTERPRET") == "1"
        return _not_installed() if interpreted else "it runs on GPUs, and on the CPU in Triton's interpreter alone"
    return _not_installed() or _not_this_gpu(device, dtype)


def _not_installed() -> str | None:
    return None if find_spec("triton") else "the package 'triton' is missing (torch's CUDA builds for Linux bring it)"


def _not_this_gpu(device: torch.device, dtype: torch.dtype) -> str | None:
    if device.type != "cuda" or torch.version.hip is not None:
        return "it was written for NVIDIA's GPUs"
    if torch.cuda.get_device_capability(device) < CAPABILITY:
        return "the GPU is older than NVIDIA's Ampere"
    return "GPUs have no fast products in float64" if dtype == torch.float64 else None


@functools.cache
def scan(core: str) -> Run:
    """The scan of a core that is not `unavailable`."""
    from s2s.kernels.triton import rwa, statistical

    return scans(PLAIN._replace(rwa=rwa.LOOPS, statistical=statistical.LOOPS))[core]

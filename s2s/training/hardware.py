"""Device, precision, threads and allocator: what a run takes from the machine it is on."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from s2s.errors import UserError
from s2s.kernels import pages, switchback, vectors
from s2s.training.processes import ALONE, Processes

Precision = Literal["float32", "bfloat16", "float16", "int8"]
"""Of products; int8: of weights with gradients, and in the output layer; the others in bfloat16 (`switchback`)."""
Wanted = Literal["auto", "float32", "bfloat16", "float16", "int8"]
_log = logging.getLogger("s2s")


def pick_device(wanted: Literal["auto", "cpu", "cuda", "mps"], processes: Processes = ALONE) -> torch.device:
    """The device that was asked for; auto takes a GPU where there is one. Each of several processes has its own GPU.

    Raises:
        UserError: the device is not there.
    """
    if processes.size > 1 and wanted != "cpu":
        return _own_gpu(wanted, processes)
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return torch.device("cuda" if there["cuda"] else "cpu")
    if not there[wanted]:
        raise UserError(f"device '{wanted}': torch {torch.__version__} sees no such device here; use auto or cpu")
    return torch.device(wanted)


def _own_gpu(wanted: Literal["auto", "cuda", "mps"], processes: Processes) -> torch.device:
    """The GPU with this process's number on its machine, which becomes torch's current one."""
    count = torch.cuda.device_count()
    if wanted == "auto" and not count:
        return torch.device("cpu")
    if wanted == "mps" or processes.local_size > count:
        raise UserError(
            f"device '{wanted}': torch sees {count} CUDA devices here, but each of the {processes.local_size} processes"
            " that were started on this machine needs one. Start as many as there are (--nproc-per-node), or use cpu"
        )
    torch.cuda.set_device(processes.local_rank)
    return torch.device("cuda", processes.local_rank)


def pick_precision(wanted: Wanted, device: torch.device) -> Precision:
    """The precision of products; auto takes bfloat16 where the hardware multiplies it natively.

    Raises:
        UserError: float16 on a device that would lose gradients without a scaler, int8 where nothing multiplies it.
    """
    if wanted == "int8" and (why := _no_eight_bits(device)):
        raise UserError(f"training.precision = 'int8' is not to be had here: {why}; use auto")
    if wanted == "float16" and device.type != "cuda":
        raise UserError("training.precision = 'float16' is for CUDA devices; use bfloat16 or float32 here")
    if wanted != "auto":
        return wanted
    match device.type:
        case "cuda":
            return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
        case "cpu":
            return "bfloat16" if has_bfloat16_units() else "float32"
    return "float32"


def judging_precision(trained: Wanted, device: torch.device) -> Precision:
    """For a loss that is only measured: what the run was trained in where this device has it, else what auto takes.

    8 bits are for updates alone.
    """
    elsewhere = trained == "int8" or (trained == "float16" and device.type != "cuda")
    return pick_precision("auto" if elsewhere else trained, device)


def _no_eight_bits(device: torch.device) -> str:
    """Why nothing can be trained in 8 bits; empty where it can."""
    if device.type != "cpu":
        return f"it is for processors, and this run is on {device.type}"
    there = vectors.multiplies_fours()
    return "" if there else "it takes a C++ compiler, and a processor with AVX512-BF16 and VNNI but without AMX"


def has_bfloat16_units() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AVX512-BF16 or AMX); elsewhere it is slower than float32."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, probe, bool)()) for probe in probes)


def set_threads(wanted: int | None, processes: Processes = ALONE) -> int:
    """CPU threads of torch: as asked, else OMP_NUM_THREADS, else one for each core this process may use.

    Several processes on a machine share its cores evenly. torchrun sets OMP_NUM_THREADS to 1 where nobody has set it,
    so there a 1 says nothing.
    """
    unset = ("", "1") if processes.local_size > 1 else ("",)
    if wanted is None and os.environ.get("OMP_NUM_THREADS", "") in unset:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        wanted = max(1, cores // processes.local_size)
    if wanted is not None and wanted != torch.get_num_threads():
        torch.set_num_threads(wanted)
    return torch.get_num_threads()


def keep_pages() -> bool:
    """Keep freed memory instead of handing it back to the system and asking for it again each step.

    Where a step frees and asks for large tensors, a third of it can be page faults otherwise. Tensors get an allocator
    of their own where there is a compiler (`s2s.kernels.pages`); for the rest, glibc is told. Also bounds oneDNN's
    cache of compiled products, one for each shape met: with its default of 1,024 entries it grows by most of a
    gigabyte in an epoch of sentences. Returns whether the C library took it (glibc only).
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")
    pages.keep()
    m_trim_threshold, m_top_pad, m_mmap_max = -1, -2, -4
    settings = ((m_mmap_max, 0), (m_trim_threshold, 2**31 - 1), (m_top_pad, 64 * 2**20))
    return all(bool(_libc("mallopt", name, value)) for name, value in settings)


@contextlib.contextmanager
def nothing_to_collect() -> Iterator[None]:
    """What exists now is not looked at by the garbage collector: a corpus in memory makes a full round of it as long as
    an update.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def give_back_pages() -> None:
    """Hand free memory back to the system, for once in a while: shapes vary, and the heap fragments."""
    pages.give_back()
    _libc("malloc_trim", 0)


def _libc(name: str, *numbers: int) -> int:
    """A function of the C library, or 0 where it has none of that name."""
    try:
        return int(getattr(ctypes.CDLL(None), name)(*numbers))
    except (OSError, AttributeError, TypeError):
        return 0


def peak_memory() -> int | None:
    """Most bytes that this process has held so far; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """The context in which products take the run's precision while weights and states stay float32."""
    dtype = torch.float16 if precision == "float16" else torch.bfloat16
    return torch.autocast(device.type, dtype=dtype, enabled=precision != "float32")


def eight_bits(precision: Precision) -> AbstractContextManager[None]:
    """The context in which an update's forward and backward multiply in 8 bits if the precision says so."""
    return switchback.eight_bits() if precision == "int8" else nullcontext()

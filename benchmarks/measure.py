"""What every benchmark needs: runs in turns, memory of a fresh process, facts of the machine, a JSON of all of it."""

from __future__ import annotations

import gc
import json
import math
import multiprocessing
import os
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import torch

Run = Callable[[], object]
Key = TypeVar("Key")

FLAGS = ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_tile", "asimd", "bf16", "sve")
"""Of the processor's instructions those that decide about products of matrices."""

LEAST = 0.05
"""Seconds below which a run is repeated inside one measurement."""


def alternate(runs: Mapping[Key, Run], device: str, *, repeats: int, seconds: float) -> dict[Key, list[float]]:
    """Seconds of each run in each round: A B C, A B C, ..., so that what slows the machine down slows all of them.

    Each runs once or twice before. At most `repeats` rounds; after three none begins once `seconds` a run have passed.
    """
    counts = {name: _count(run, device, min(LEAST, seconds)) for name, run in runs.items()}
    times: dict[Key, list[float]] = {name: [] for name in runs}
    start = time.perf_counter()
    for done in range(repeats):
        if done >= 3 and time.perf_counter() - start > seconds * len(runs):
            break
        for name, run in runs.items():
            times[name].append(elapsed(run, device, counts[name]))
    return times


def _count(run: Run, device: str, least: float) -> int:
    """How often a run is to be repeated so that one measurement is long enough to be read."""
    first = elapsed(run, device)
    if first < 1.0:
        first = elapsed(run, device)  # what the very first run loads or allocates does not count
    return max(1, math.ceil(least / first))


def elapsed(run: Run, device: str, count: int = 1) -> float:
    """Seconds of one run, the mean over `count`; on a GPU between two events on its stream."""
    gc.collect()
    gc.disable()
    try:
        return (_on_gpu if device == "cuda" else _on_cpu)(run, count) / count
    finally:
        gc.enable()


def _on_cpu(run: Run, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        run()
    return time.perf_counter() - start


def _on_gpu(run: Run, count: int) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    start.record()
    for _ in range(count):
        run()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end)) / 1000


def ratio(times: Mapping[Key, list[float]], over: Key, under: Key) -> float:
    """The median over rounds of the quotient of two runs in the same round."""
    return statistics.median(a / b for a, b in zip(times[over], times[under], strict=True))


def peak(prepare: Callable[..., Run], *arguments: object) -> int | None:
    """Bytes that `prepare(*arguments)()` holds at its most, beyond what was there before it; None where nobody says.

    On the CPU in a process of its own, in which `prepare` builds and warms up. `prepare` is a function of a module, and
    the arguments can be pickled.
    """
    if not Path("/proc/self/clear_refs").exists():
        return None
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch"])  # each process begins with what takes long to import
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_peak_here, prepare, arguments).result()


def _peak_here(prepare: Callable[..., Run], arguments: tuple[object, ...]) -> int:
    run = prepare(*arguments)
    gc.collect()
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    run()
    return _status("VmHWM") - before


def _status(key: str) -> int:
    found = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return 1024 * int(found[1])


def peak_on_gpu(run: Run) -> int:
    """Bytes that torch allocates on the GPU for a run at its most, beyond what was there before it."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def facts(device: str) -> dict[str, object]:
    """Machine, versions, threads, commit and time: what a figure means nothing without."""
    cpu = _cpuinfo()
    flags = cpu.get("flags", cpu.get("Features", "")).split()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "processor": cpu.get("model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "instructions": [flag for flag in FLAGS if flag in flags],
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def _cpuinfo() -> dict[str, str]:
    """What the system says of its first core."""
    try:
        lines = Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _commit() -> str | None:
    """The commit, marked where files differ from it; None outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def write(path: Path, result: Mapping[str, object]) -> None:
    """A result as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

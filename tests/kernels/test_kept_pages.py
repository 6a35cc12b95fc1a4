"""The allocator of tensors, in a process of its own, since nothing undoes it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from s2s.kernels.compiled import build

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or build.unavailable() is not None, reason="needs Linux and a C++ compiler"
)

HEAD = """
import resource, threading, torch
from s2s.kernels import pages
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096
torch.set_num_threads(1)
assert pages.keep() and pages.keep()
"""


def _run(body: str) -> str:
    done = subprocess.run([sys.executable, "-c", HEAD + body], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_tensors_of_varying_sizes_come_from_memory_that_is_there() -> None:
    found = _run(
        """
def round_of(seed):
    torch.manual_seed(seed)
    held = [torch.zeros(int(n)) for n in torch.randint(10_000, 2_000_000, (20,))]
    assert all(not tensor.any() and tensor.data_ptr() % 64 == 0 for tensor in held)
for seed in range(30): round_of(seed)
before = faults()
for seed in range(30): round_of(seed)
print(faults() - before, sum(1 for _ in range(30)) * 20 * 1_000_000 * 4 // 4096)
"""
    )
    taken, touched = map(int, found.split())
    assert taken < touched / 20


def test_what_waits_is_bounded_and_given_back() -> None:
    _run(
        """
for power in range(20, 27):  # each size once: none serves the next
    tensor = torch.ones(1 << power); del tensor
peak = 4 << 26
assert resident() < 400e6 + 1.5 * peak, resident()
before = resident()
pages.give_back()
from ctypes import CDLL
CDLL(None).malloc_trim(0)
assert resident() < before - 0.9 * peak, (before, resident())
"""
    )


def test_tensors_keep_their_values_in_many_threads_and_sizes() -> None:
    _run(
        """
wrong = []
def work(number):
    kept = {}
    for step in range(300):
        n = (number * 7919 + step * 104729) % 60_000 + 1
        kept[step % 7] = torch.full((n,), float(step)), step
        for tensor, value in kept.values():
            if not bool((tensor == value).all()): wrong.append((number, step))
threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
assert not wrong, wrong[:3]
assert torch.empty(0).numel() == 0
"""
    )


def test_tensors_from_before_and_growing_storages_are_freed_as_they_should() -> None:
    _run(
        """
import io
old = torch.ones(100_000); del old
grown = torch.ones(10); grown.resize_(5_000_000); grown.fill_(2); assert float(grown.sum()) == 1e7
buffer = io.BytesIO(); torch.save(grown, buffer); buffer.seek(0)
assert torch.equal(torch.load(buffer), grown)
"""
    )


def test_more_than_there_is_is_said_as_torch_says_it() -> None:
    found = _run(
        """
from s2s.training.step import out_of_memory
try:
    torch.empty(1 << 50)
except RuntimeError as error:
    print(out_of_memory(error))
"""
    )
    assert found.strip() == "True"

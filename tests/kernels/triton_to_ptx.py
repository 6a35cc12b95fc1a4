"""Compiles every Triton kernel for a GPU of capability 9.0, which takes no GPU. Run by test_triton.py on its own, since
a process that interprets kernels cannot compile them.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from s2s.kernels.triton import averages, launch, rwa, statistical, tiles

FLAGS = ("num_warps", "num_stages", "enable_fp_fusion")


def compile_kernel(kernel: Any, tensors: dict[str, str], options: dict[str, object]) -> str:
    flags = {name: value for name, value in options.items() if name in FLAGS}
    fixed = {name: value for name, value in options.items() if name not in FLAGS}
    assert {*tensors, *fixed} == {*kernel.arg_names}
    source = ASTSource(kernel, tensors | dict.fromkeys(fixed, "constexpr"), fixed)
    print(kernel.fn.__module__.rpartition(".")[2], kernel.fn.__name__)
    return str(triton.compile(source, target=GPUTarget("cuda", 90, 32), options=flags).asm["ptx"])


def compile_step(step: launch.Step, table: Tensor, offset: int) -> None:
    del table, offset
    assembly = compile_kernel(step.kernel, {"table": "*i64", "offset": "i32"}, dict(step.options))
    assert "mma" in assembly, "no tensor cores"
    if step.kernel in (rwa.forward_kernel, rwa.backward_kernel):
        assert "cp.async.cg" in assembly, "no asynchronous copies of 16 bytes: the compiler was not told of alignment"


def compile_rwa(hidden: int, dtype: torch.dtype) -> None:
    weight, lengths = torch.zeros(2 * hidden, hidden, dtype=dtype), torch.ones(2, dtype=torch.int64)
    state = tuple(torch.zeros(2, hidden) for _ in range(3))
    gates = torch.zeros(2, 1, 3 * hidden, dtype=dtype)
    h, delta, _ = rwa.LOOPS.forward(gates, state, weight, lengths, save=True)
    assert delta is not None
    rwa.LOOPS.backward(gates, delta, h, weight, lengths, h, state)


def compile_statistical(phi_size: int, r_size: int, dtype: torch.dtype) -> None:
    alpha, q, bias = torch.zeros(5), torch.zeros(2, 5, r_size), torch.zeros(r_size)
    weight_q, weight_phi = torch.zeros(5 * r_size, phi_size, dtype=dtype), torch.zeros(phi_size, r_size, dtype=dtype)
    phi = torch.zeros(2, 1, phi_size, dtype=dtype)
    r = statistical.LOOPS.forward(phi, q, alpha, weight_q, bias, weight_phi, None)
    statistical.LOOPS.backward(phi, r, alpha, weight_q, weight_phi, None, phi)


def compile_averages() -> None:
    fixed: dict[str, object] = {"A": 5, "P": 200, **averages._options(5)}
    tensors = {"phi": "*bf16", "first": "*fp32", "alpha": "*fp32", "mu_out": "*bf16", "T": "i32"}
    compile_kernel(averages.forward_kernel, tensors, fixed | {"BACK": True})
    tensors = {"dmu": "*bf16", "alpha": "*fp32", "dphi_out": "*bf16", "dfirst": "*fp32", "T": "i32"}
    compile_kernel(averages.backward_kernel, tensors, fixed)


if __name__ == "__main__":
    launch.Step.launch = compile_step  # type: ignore[method-assign]
    tiles.precision = lambda *_: "tf32"  # type: ignore[assignment]
    compile_rwa(100, torch.float32)
    compile_rwa(250, torch.bfloat16)
    compile_statistical(200, 60, torch.float32)
    compile_statistical(600, 60, torch.bfloat16)
    compile_averages()

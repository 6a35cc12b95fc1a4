"""What a run takes from the machine."""

from __future__ import annotations

import os

import pytest
import torch

from s2s.errors import UserError
from s2s.training import hardware

CPU = torch.device("cpu")


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert hardware.pick_device("auto") == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert hardware.pick_device("auto") == CPU


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match=f"device '{name}'.*use auto or cpu"):
        hardware.pick_device(name)  # type: ignore[arg-type]
    assert hardware.pick_device("cpu") == CPU


def test_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"float16.*bfloat16 or float32"):
        hardware.pick_precision("float16", CPU)
    assert hardware.pick_precision("float16", torch.device("cuda")) == "float16"
    assert hardware.pick_precision("bfloat16", CPU) == "bfloat16"
    for units, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(hardware, "has_bfloat16_units", lambda units=units: units)
        assert hardware.pick_precision("auto", CPU) == expected
    assert hardware.pick_precision("auto", torch.device("mps")) == "float32"


def test_8_bits_are_for_processors_that_multiply_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"'int8'.*for processors, and this run is on cuda; use auto"):
        hardware.pick_precision("int8", torch.device("cuda"))
    for there in (True, False):
        monkeypatch.setattr(hardware.vectors, "multiplies_fours", lambda there=there: there)
        if there:
            assert hardware.pick_precision("int8", CPU) == "int8"
        else:
            with pytest.raises(UserError, match=r"'int8'.*AVX512-BF16 and VNNI but without AMX; use auto"):
                hardware.pick_precision("int8", CPU)


def test_a_loss_is_measured_wherever_a_run_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "has_bfloat16_units", lambda: True)
    assert hardware.judging_precision("int8", CPU) == "bfloat16"
    assert hardware.judging_precision("float16", CPU) == "bfloat16"
    assert hardware.judging_precision("float16", torch.device("cuda")) == "float16"
    assert hardware.judging_precision("float32", CPU) == "float32"


def test_8_bits_are_on_where_the_precision_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware.switchback, "multiplies_fours", lambda: True)
    for precision in ("int8", "bfloat16"):
        with hardware.eight_bits(precision):  # type: ignore[arg-type]
            assert hardware.switchback.on() == (precision == "int8")
    assert not hardware.switchback.on()


def test_probes_of_another_torch_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(hardware.has_bfloat16_units(), bool)
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, probe, raising=False)
    assert hardware.has_bfloat16_units() is False


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        assert hardware.set_threads(2) == 2 == torch.get_num_threads()
        monkeypatch.setenv("OMP_NUM_THREADS", "7")
        assert hardware.set_threads(None) == 2  # torch has read the variable already; nothing is changed
        monkeypatch.delenv("OMP_NUM_THREADS")
        allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        assert hardware.set_threads(None) == allowed
    finally:
        torch.set_num_threads(before)


def test_keep_pages_says_whether_it_worked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(hardware.keep_pages(), bool)
    torch.randn(1000, 1000).mul_(2)  # memory is still given out
    monkeypatch.setattr(hardware.ctypes, "CDLL", lambda _: object())
    assert hardware.keep_pages() is False


def test_autocast_follows_the_precision() -> None:
    left, right = torch.randn(4, 4), torch.randn(4, 4)
    with hardware.autocast(CPU, "bfloat16"):
        assert (left @ right).dtype == torch.bfloat16
    with hardware.autocast(CPU, "float32"):
        assert (left @ right).dtype == torch.float32

"""Two processes train what one trains, and stay together whatever happens to one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from miniature import Miniature
from several import STORIES

from s2s.errors import UserError
from s2s.training import hardware
from s2s.training.checkpoint import Checkpoints
from s2s.training.log import Quiet
from s2s.training.processes import ALONE, Processes, joined
from s2s.training.state import Progress

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("several")
    paths = os.pathsep.join(map(str, (TESTS, TESTS.parent)))
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", TESTS / "training/several.py", folder],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
        capture_output=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


ALIKE = [name for name in STORIES if name not in ("resumed", "stopped")]


@pytest.mark.parametrize("name", ALIKE)
def test_two_processes_are_one(name: str, told: list[dict[str, Any]], tmp_path: Path) -> None:
    """Weights, losses and norms of each update, and every count. One of two may have no row, no memory or no number."""
    one, two = STORIES[name](ALONE, tmp_path), dict(told[0][name])
    if name == "out_of_memory":
        assert (one.pop("splits"), two.pop("splits"), told[1][name]["splits"] > 1) == (0, 0, True)
    for key in ("weights", "losses", "norms"):
        assert two.pop(key) == pytest.approx(one.pop(key), rel=1e-9, abs=1e-12), key
    assert len(one) > 2
    assert json.loads(json.dumps(one)) == two


@pytest.mark.parametrize("name", STORIES)
def test_both_have_the_same_bits_and_the_first_alone_writes(name: str, told: list[dict[str, Any]]) -> None:
    first, second = (whole if "weights" in (whole := part[name]) else whole["halves"] for part in told)
    for key in ("weights", "progress", "losses", "norms"):
        assert first[key] == second[key], key
    assert bool(first["kept"]) == (name != "stopped")  # that one stops before its first validation
    assert second["kept"] == []


def test_a_weight_of_one_process_moves_in_all_and_one_of_none_in_none(told: list[dict[str, Any]]) -> None:
    for part in told:
        assert part["unused"]["without"] is True
        assert part["unused"]["idle"] == [1.0, 1.0]
        assert part["unused"]["rare"][0] < 0.95


def test_they_stop_together(told: list[dict[str, Any]]) -> None:
    for part in told:
        assert part["stopped"]["end"] == "terminated"
        assert part["stopped"]["progress"]["update"] == 5
        assert part["stopped"]["saved"][-1] == 5


def test_they_go_back_together(told: list[dict[str, Any]]) -> None:
    assert [part["diverged"]["progress"]["divergences"] for part in told] == [1, 1]


def test_resuming_is_bit_identical(told: list[dict[str, Any]]) -> None:
    for part in told:
        whole, halves = part["resumed"]["whole"], part["resumed"]["halves"]
        assert whole["weights"] == halves["weights"]
        assert whole["losses"][9:] == halves["losses"]
    assert told[0]["resumed"]["random"] != told[1]["resumed"]["random"]


# ---- without others


@given(rows=st.lists(st.integers(), max_size=40), size=st.integers(1, 9))
def test_each_row_belongs_to_one_process(rows: list[int], size: int) -> None:
    parts = [Processes(rank, size).part(rows) for rank in range(size)]
    assert sorted(row for part in parts for row in part) == sorted(rows)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert list(ALONE.part(rows)) == rows


@pytest.mark.parametrize("variables", [{}, {"WORLD_SIZE": "4"}, {"WORLD_SIZE": "1", "RANK": "0"}])
def test_without_torchrun_there_is_one(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**variables, "MASTER_ADDR": "x"}.items():
        monkeypatch.setenv(name, value)
    with joined() as processes:
        assert processes == ALONE
    assert not torch.distributed.is_initialized()


@dataclass(frozen=True)
class Second(Processes):
    """A process whose others are made up."""

    rank: int = 1
    size: int = 3

    def gather(self, value: Any) -> list[Any]:
        return [deepcopy(value) for _ in range(3)]


def generators(folder: Path, processes: Processes) -> list[float]:
    """Two numbers after going on from the folder's checkpoint."""
    made = Miniature(folder, seed=5, processes=processes)
    made.restore()
    return torch.rand(2).tolist()


def test_a_checkpoint_has_the_generators_of_all(tmp_path: Path) -> None:
    made = Miniature(tmp_path)
    Checkpoints(made.checkpoints.folder, processes=Second()).save(1, made.parts, {"progress": {}})
    expected = torch.rand(2).tolist()
    for processes in (ALONE, Second(), Second(rank=2)):
        assert generators(tmp_path, processes) == expected
    Miniature(tmp_path / "x", seed=5)
    own = torch.rand(2).tolist()
    assert generators(tmp_path, Second(rank=3, size=4)) == own  # nobody has saved those of a fourth process


def test_a_checkpoint_of_one_process_has_no_more_than_before(tmp_path: Path) -> None:
    made = Miniature(tmp_path)
    made.checkpoints.save(1, made.parts, {"progress": {}})
    state = json.loads((tmp_path / "checkpoints/step-1/state.json").read_text())
    assert state["generators"].keys() == {"python"}


def test_generators_differ_but_those_of_the_first_stay() -> None:
    drawn = []
    for rank in range(3):
        torch.manual_seed(7)
        Processes(rank, 3).own_generators(7)
        drawn.append(float(torch.rand(())))
    torch.manual_seed(7)
    assert drawn[0] == float(torch.rand(()))
    assert len(set(drawn)) == 3


def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pair = Processes(0, 2, 0, 2)
    for value in ("1", None):  # torchrun's own, or nobody's
        monkeypatch.setenv("OMP_NUM_THREADS", value) if value else monkeypatch.delenv("OMP_NUM_THREADS")
        assert hardware.set_threads(None, pair) == max(1, cores // 2)
        assert hardware.set_threads(None, Processes(0, 500, 0, 500)) == 1
    assert hardware.set_threads(3, pair) == 3


@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_each_process_has_its_own_gpu(wanted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    assert hardware.pick_device(wanted, Processes(5, 8, 1, 2)) == torch.device("cuda", 1)
    assert taken == [1]
    with pytest.raises(UserError, match=r"sees 2 CUDA devices here, but each of the 3 processes.*--nproc-per-node"):
        hardware.pick_device(wanted, Processes(5, 9, 1, 3))
    assert hardware.pick_device("cpu", Processes(5, 9, 1, 3)) == torch.device("cpu")


def test_devices_that_several_processes_cannot_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert hardware.pick_device("auto", Processes(0, 2, 0, 2)) == torch.device("cpu")
    wanted: Sequence[Any] = ("cuda", "mps")
    for name in wanted:
        with pytest.raises(UserError, match=f"device '{name}'"):
            hardware.pick_device(name, Processes(0, 2, 0, 2))


def test_the_others_say_only_what_the_first_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    log, progress = Quiet(3), Progress()
    log.update(progress, loss=1.0, rate=1.0, norm=1.0, tokens=1)
    log.went_back(progress)
    log.saved()
    log.trouble(progress, "diverged", "all know")
    log.trouble(progress, "out_of_memory", "cut in two")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "  process 3: cut in two\n")

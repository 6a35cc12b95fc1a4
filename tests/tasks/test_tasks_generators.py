"""Each generator: answers recomputed another way, the same for the same seed, row by row, no row in two parts."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.errors import UserError
from s2s.tasks import (
    Adding,
    BinaryAddition,
    BitCount,
    Classes,
    Copy,
    Length,
    Numbers,
    Reber,
    Series,
    Symbols,
    Task,
    TaskName,
    Values,
    make_task,
)

MAKE: dict[str, Callable[[int], Task]] = {
    "bit-count": lambda seed: BitCount(seed, length=6),
    "binary-addition": lambda seed: BinaryAddition(seed, length=5),
    "length": lambda seed: Length(seed, length=9),
    "adding": lambda seed: Adding(seed, length=7),
    "copy": lambda seed: Copy(seed, length=4),
    "reber": lambda seed: Reber(seed, length=20),
}
COUNTED = {"bit-count": 64, "binary-addition": 256}
DRAWN = tuple(name for name in MAKE if name not in COUNTED)

# The grammar as two walks around a square, by the symbol that was read last and where (after Reber 1967).
REBER = {
    "begin": {"B": "b"},
    "b": {"T": "t1", "P": "p1"},
    "t1": {"S": "t1", "X": "x1"},
    "x1": {"X": "p1", "S": "last"},
    "p1": {"T": "p1", "V": "v1"},
    "v1": {"P": "x1", "V": "last"},
    "last": {"E": "end"},
    "end": {},
}


def grammatical(string: str) -> bool:
    place = "begin"
    for symbol in string:
        place = REBER[place].get(symbol, "nowhere")
        if place == "nowhere":
            return False
    return place == "end"


def one(series: Series, i: int) -> tuple[list[object], list[object], int, dict[str, int]]:
    """Example i without its padding."""
    length = int(series.lengths[i])
    targets = (
        series.targets[i][:length] if series.targets.ndim > 1 and len(series.targets[i]) > 1 else series.targets[i]
    )
    events = {name: int(steps[i]) for name, steps in series.events.items()}
    return series.inputs[i][:length].tolist(), targets.tolist(), length, events


# ---- what every task keeps to ----


@pytest.mark.parametrize("name", MAKE)
def test_arrays_are_as_the_task_says(name: str) -> None:
    task = MAKE[name](1)
    series = task.draw(range(40), 0)
    steps = int(series.lengths.max())
    match task.inputs:
        case Numbers(size):
            assert (series.inputs.shape, series.inputs.dtype) == ((40, steps, size), np.float32)
        case Symbols(count):
            assert (series.inputs.shape, series.inputs.dtype) == ((40, steps), np.int64)
            assert series.inputs.max() == count
            assert {int(i) for row, n in zip(series.inputs, series.lengths, strict=True) for i in row[:n]} <= set(
                range(1, count + 1)
            )
    for row, length in zip(series.inputs, series.lengths, strict=True):
        assert not row[length:].any()
    match task.target:
        case Values(size):
            assert (series.targets.shape, series.targets.dtype) == ((40, size), np.float32)
            assert task.target.outputs == size
        case Classes(count):
            assert (series.targets.shape, series.targets.dtype) == ((40, steps) if task.each_step else (40,), np.int64)
            assert set(np.unique(series.targets)) == set(range(count))
            assert task.target.outputs == (1 if count == 2 else count)
    assert series.lengths.dtype == np.int64
    for found in series.events.values():
        assert found.shape == (40,)
        assert found.dtype == np.int64
        assert ((found >= -1) & (found < series.lengths)).all()
    assert task.note.startswith("Published: ")
    assert task.name == name


@pytest.mark.parametrize("name", MAKE)
@given(
    rows=st.lists(st.integers(0, 63), min_size=1, max_size=6),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 5),
)
def test_a_row_is_the_same_alone_and_beside_others(name: str, rows: list[int], seed: int, epoch: int) -> None:
    together = MAKE[name](seed).draw(rows, epoch)
    task = MAKE[name](seed)
    for i, row in enumerate(rows):
        assert one(together, i) == one(task.draw([row], epoch), 0)


@pytest.mark.parametrize("name", MAKE)
def test_the_seed_decides(name: str) -> None:
    draws = [MAKE[name](seed).draw(range(30), 0) for seed in (1, 1, 2)]
    examples = [[one(series, i) for i in range(30)] for series in draws]
    assert examples[0] == examples[1] != examples[2]


@pytest.mark.parametrize("name", DRAWN)
def test_drawn_training_rows_change_with_the_epoch_and_held_out_ones_do_not(name: str) -> None:
    task = MAKE[name](1)
    for rows, changes in ((task.splits.train, True), (task.splits.valid, False), (task.splits.test, False)):
        first, second = (task.draw(rows[:20], epoch) for epoch in (0, 1))
        assert ([one(first, i) for i in range(20)] != [one(second, i) for i in range(20)]) == changes


@pytest.mark.parametrize("name", COUNTED)
def test_counted_examples_all_occur_once_and_no_two_parts_share_one(name: str) -> None:
    task = MAKE[name](4)
    splits = task.splits
    assert splits.whole is not None
    seen = [one(task.draw(rows, 3), i)[0] for rows in splits[:3] for i in range(len(rows))]
    assert len({repr(inputs) for inputs in seen}) == len(seen) == len(splits.whole) == COUNTED[name]
    assert [len(rows) for rows in splits[:3]] == [len(seen) // 2, len(seen) // 8, 3 * len(seen) // 8]
    assert one(task.draw([5], 0), 0) == one(task.draw([5], 9), 0)


@pytest.mark.parametrize("name", MAKE)
def test_parts_have_their_own_rows(name: str) -> None:
    train, valid, test, _ = MAKE[name](1).splits
    assert train.start == 0
    assert train.stop == valid.start
    assert valid.stop == test.start


@pytest.mark.parametrize("name", [name for name in DRAWN if name != "reber"])
def test_no_drawn_example_of_a_part_occurs_in_another(name: str) -> None:
    task = dataclasses.replace(MAKE[name](1), length=40)  # type: ignore[type-var]
    drawn = [task.draw(rows[:200], 0) for rows in task.splits[:3]]
    seen = [repr(one(series, i)[0]) for series in drawn for i in range(200) if series.lengths[i] > 2]
    assert len(set(seen)) == len(seen) > 500


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("bit-count", "f21db26e72b5"),
        ("binary-addition", "70b42e451986"),
        ("length", "74ae3a80b8d2"),
        ("adding", "b3c2678862c8"),
        ("copy", "585f2ea02652"),
        ("reber", "fe06c052d2b1"),
    ],
)
def test_examples_stay_what_they_are(name: str, digest: str) -> None:
    """A stored run goes on, and a table can be repeated, only while these are drawn the same."""
    series = MAKE[name](7).draw([0, 3, 11], 2)
    content = series.inputs.astype("<f8").tobytes() + series.targets.astype("<f8").tobytes()
    assert hashlib.sha256(content).hexdigest()[:12] == digest


# ---- one by one ----


@given(st.integers(0, 2**32), st.integers(3, 12))
def test_bit_count(seed: int, length: int) -> None:
    task = BitCount(seed, length=length)
    series = task.draw(range(0, 2**length, 3), 0)
    assert set(np.unique(series.inputs)) == {0.0, 1.0}
    for inputs, [target] in zip(series.inputs.tolist(), series.targets.tolist(), strict=True):
        assert target == sum(1 for [bit] in inputs if bit == 1.0)
    assert (series.lengths == length).all()


@given(st.integers(0, 2**32), st.integers(3, 10))
def test_binary_addition(seed: int, length: int) -> None:
    task = BinaryAddition(seed, length=length)
    assert task.splits.whole is not None
    series = task.draw(task.splits.whole[:: 4 ** (length - 1) // 50 + 1], 0)
    for inputs, targets in zip(series.inputs.astype(int).tolist(), series.targets.tolist(), strict=True):
        a, b = (int("".join(str(step[side]) for step in reversed(inputs)), 2) for side in (0, 1))
        assert max(a, b) < 2 ** (length - 1)
        assert "".join(map(str, reversed(targets))) == f"{a + b:0{length}b}"


@given(st.integers(0, 2**32), st.integers(2, 60))
def test_length(seed: int, length: int) -> None:
    series = Length(seed, length=length).draw(range(30), 2)
    assert series.lengths.min() >= 1
    assert series.lengths.max() <= length
    for i, label in enumerate(series.targets.tolist()):
        steps = int(series.lengths[i])
        assert label == int(steps > length / 2)
        assert ((series.inputs[i, :steps] >= 0) & (series.inputs[i, :steps] <= 1)).all()
        first = next((t for t in range(steps) if t + 1 > length / 2), -1)
        assert series.events["past half"][i] == first


def test_lengths_and_numbers_are_uniform() -> None:
    series = Length(5, length=8).draw(range(4000), 0)
    assert np.bincount(series.lengths)[1:].tolist() == pytest.approx([500] * 8, rel=0.2)
    first = series.inputs[:, 0, 0]
    assert (float(first.mean()), float(first.var())) == pytest.approx((0.5, 1 / 12), abs=0.02)


@given(st.integers(0, 2**32), st.integers(2, 40))
def test_adding(seed: int, length: int) -> None:
    series = Adding(seed, length=length).draw(range(20), 1)
    for i, [target] in enumerate(series.targets.tolist()):
        marked = [t for t, (_, mark) in enumerate(series.inputs[i].tolist()) if mark == 1.0]
        assert len(marked) == 2
        assert float(series.inputs[i, :, 1].sum()) == 2.0
        assert target == pytest.approx(sum(float(series.inputs[i, t, 0]) for t in marked), abs=1e-6)
        assert [int(series.events[name][i]) for name in ("first marked", "second marked")] == marked
    assert (series.lengths == length).all()


def test_any_two_steps_are_marked_alike_often() -> None:
    events = Adding(5, length=4).draw(range(6000), 0).events
    pairs = 4 * events["first marked"] + events["second marked"]
    assert np.unique(pairs, return_counts=True)[1].tolist() == pytest.approx([1000] * 6, rel=0.15)


@given(st.integers(0, 2**32), st.integers(2, 40))
def test_copy(seed: int, length: int) -> None:
    series = Copy(seed, length=length).draw(range(20), 1)
    assert series.inputs.shape == (20, length + 20)
    for i, (said, asked) in enumerate(zip(series.inputs.tolist(), series.targets.tolist(), strict=True)):
        sign = said.index(9)
        assert 10 <= sign <= length + 8
        assert sign == series.events["recall"][i]
        assert all(1 <= symbol <= 7 for symbol in said[:10])
        assert set(said[10:]) <= {8, 9}
        assert said.count(9) == 1
        pattern = [symbol - 1 for symbol in said[:10]]
        assert asked == [7] * (sign + 1) + pattern + [7] * (length + 20 - sign - 11)


def test_symbols_and_signs_of_copying_are_uniform() -> None:
    series = Copy(5, length=6).draw(range(4000), 0)
    assert np.bincount(series.inputs[:, :10].ravel(), minlength=8)[1:].tolist() == pytest.approx(
        [40_000 / 7] * 7, rel=0.05
    )
    assert np.bincount(series.events["recall"])[10:].tolist() == pytest.approx([800] * 5, rel=0.15)


@given(st.integers(0, 2**32), st.integers(5, 40))
def test_reber(seed: int, length: int) -> None:
    series = Reber(seed, length=length).draw(range(30), 1)
    assert series.lengths.max() <= length
    for i, label in enumerate(series.targets.tolist()):
        string = "".join(" BEPSTVX"[symbol] for symbol in series.inputs[i, : series.lengths[i]])
        assert label == int(grammatical(string)), string
        begun = [t for t in range(len(string)) if not any(grammatical(end) for end in completions(string[: t + 1]))]
        assert series.events["error"][i] == (-1 if label else begun[0])


def completions(start: str) -> list[str]:
    """Enough ways to go on that one of them is grammatical, if any is."""
    return [start + end for end in ("", "E", "SE", "VE", "XSE", "XVVE", "VVE", "TXSE", "PVVE", "BTXSE")]


def test_half_of_the_strings_are_grammatical_and_they_are_walks_of_even_chances() -> None:
    series = Reber(5).draw(range(4000), 0)
    assert series.targets.mean() == pytest.approx(0.5, abs=0.03)
    right = series.inputs[series.targets == 1]
    assert (right[:, 1] == 1 + "BEPSTVX".index("T")).mean() == pytest.approx(0.5, abs=0.04)
    shortest = (series.lengths[series.targets == 1] == 5).mean()
    assert shortest == pytest.approx(0.25, abs=0.04)  # BTXSE and BPVVE, three choices each


# ---- choosing ----


@pytest.mark.parametrize(
    ("name", "length", "message"),
    [
        ("bit-count", 2, r"bit-count cannot be made with 2 bits: expected 3 to 20"),
        ("bit-count", 64, "with 64 bits: expected 3 to 20"),
        ("binary-addition", 1, r"with 1 bits: expected 3 to 11 .*carry"),
        ("length", 1, r"with 1 steps: expected 2 to 1,000,000 \(one is always more than a half of one\)"),
        (
            "adding",
            1,
            r"adding cannot be made with 1 steps: expected 2 to .*two different steps are marked\). Set data",
        ),
        ("copy", 1, r"with 1 blanks: expected 2"),
        ("copy", -5, r"with -5 blanks: expected 2"),
        ("reber", 4, r"with 4 symbols: expected 5 to 1,000 \(BTXSE"),
        (
            "pixel-mnist",
            100,
            r"pixel-mnist has 784 steps, one a pixel, and cannot be made with 100: leave data.length out",
        ),
        ("permuted-mnist", None, r"reads the four files of MNIST: name their folder with --from DIR"),
    ],
)
def test_a_length_that_cannot_be_made(name: TaskName, length: int | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_task(name, seed=1, length=length)


def test_published_lengths_are_the_defaults() -> None:
    names: tuple[TaskName, ...] = ("bit-count", "binary-addition", "length", "adding", "copy", "reber")
    assert [make_task(name, seed=1) for name in names] == [
        BitCount(1, length=10),
        BinaryAddition(1, length=8),
        Length(1, length=100),
        Adding(1, length=100),
        Copy(1, length=100),
        Reber(1, length=50),
    ]
    assert [make_task(name, seed=1, length=12).name for name in names if name != "binary-addition"]
    assert make_task("adding", seed=1, length=12) == Adding(1, length=12)
    assert [len(rows) for rows in make_task("bit-count", seed=1).splits[:3]] == [512, 128, 384]
    whole = make_task("binary-addition", seed=1).splits.whole
    assert whole is not None
    assert len(whole) == 16_384

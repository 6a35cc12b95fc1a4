"""The shapes of the learning rate."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.training.schedule import Kind, Schedule


def rates(schedule: Schedule, *updates: int, reductions: int = 0) -> list[float]:
    return [schedule.rate(update, reductions) for update in updates]


def test_constant_with_warm_up() -> None:
    assert rates(Schedule("constant", 2.0), 1, 100) == [2.0, 2.0]
    assert rates(Schedule("constant", 2.0, warmup=4), 1, 2, 3, 4, 5, 99) == pytest.approx([0.5, 1, 1.5, 2, 2, 2])


def test_inverse_square_root() -> None:
    assert rates(Schedule("inverse_sqrt", 1.0, warmup=100), 50, 100, 400, 10_000) == pytest.approx([0.5, 1, 0.5, 0.1])
    assert rates(Schedule("inverse_sqrt", 1.0), 1, 4, 16) == pytest.approx([1, 0.5, 0.25])


@pytest.mark.parametrize(("size", "warmup"), [(512, 4_000), (256, 100), (64, 1)])
def test_noam_is_the_formula_of_its_paper_scaled_to_the_peak(size: int, warmup: int) -> None:
    def formula(update: int) -> float:
        return float(size**-0.5 * min(update**-0.5, update * warmup**-1.5))

    schedule = Schedule("noam", 3e-3, warmup=warmup)
    for update in (1, 2, 50, 99, 100, 101, 3_999, 4_000, 4_001, 100_000):
        assert schedule.rate(update) == pytest.approx(3e-3 * formula(update) / formula(warmup))
    assert schedule.rate(warmup) == 3e-3


def test_step() -> None:
    schedule = Schedule("step", 1.0, warmup=2, factor=0.5, every=3)
    assert rates(schedule, *range(1, 12)) == [0.5, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_down_to_zero_at_the_end(kind: Kind) -> None:
    schedule = Schedule(kind, 1.0, warmup=10, total=109)
    assert schedule.rate(5) == pytest.approx(0.5)
    assert schedule.rate(10) == 1.0
    assert schedule.rate(60) == pytest.approx(0.5)
    assert 0 < schedule.rate(109) < 0.02  # the last update still moves the weights
    assert schedule.rate(110) == pytest.approx(0.0, abs=1e-12)
    assert schedule.rate(500) == pytest.approx(0.0, abs=1e-12)
    falling = [schedule.rate(update) for update in range(10, 110)]
    assert falling == sorted(falling, reverse=True)


def test_linear_is_a_line_and_cosine_is_not() -> None:
    line, wave = (Schedule(kind, 1.0, total=99) for kind in ("linear", "cosine"))
    assert line.rate(25) == pytest.approx(0.75)
    assert wave.rate(25) == pytest.approx(0.5 * (1 + 2**-0.5))


def test_plateau() -> None:
    schedule = Schedule("plateau", 1.0, warmup=2, factor=0.1)
    assert rates(schedule, 1, 50) == [0.5, 1.0]
    assert rates(schedule, 50, reductions=2) == pytest.approx([0.01])
    assert Schedule("constant", 1.0).rate(50, 3) == 1.0


@given(
    st.sampled_from(get_args(Kind)),
    st.integers(0, 50),
    st.integers(0, 200),
    st.integers(1, 400),
)
def test_no_rate_is_negative_or_above_the_peak(kind: Kind, warmup: int, total: int, update: int) -> None:
    assert 0.0 <= Schedule(kind, 0.3, warmup=warmup, total=total).rate(update, 2) <= 0.3 + 1e-12

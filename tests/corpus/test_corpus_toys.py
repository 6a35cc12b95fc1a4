"""The date task (the mix, the targets, no shared day, repeatable), its TSV file, and the sums."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s.corpus.read import Pair, read_pairs
from s2s.corpus.split import overlap
from s2s.corpus.toys import FIRST_DAY, LAST_DAY, addition, dates, write_tsv
from s2s.errors import UserError

NUMERIC = re.compile(r"\d{1,2}/\d{1,2}/\d\d")
NAMED = re.compile(r"(?:([A-Za-z]+), )?([A-Za-z]+) (\d{1,2}), (\d{4})")


def read_back(source: str) -> datetime.date:
    """The day of a source, by another way than the one that wrote it."""
    if NUMERIC.fullmatch(source):
        return datetime.datetime.strptime(source, "%m/%d/%y").date()
    found = NAMED.fullmatch(source)
    assert found, source
    day = datetime.datetime.strptime(f"{found[2][:3]} {found[3]} {found[4]}", "%b %d %Y").date()
    assert found[2].lower() in (day.strftime("%B").lower(), day.strftime("%b").lower())
    assert found[1] is None or found[1].lower() == day.strftime("%A").lower()
    return day


@settings(max_examples=15)
@given(st.integers(1, 400), st.integers(0, 60), st.integers(0, 60), st.integers(0, 99))
def test_sizes_targets_and_no_shared_day(train: int, valid: int, test: int, seed: int) -> None:
    splits = dates(train=train, valid=valid, test=test, seed=seed)
    assert {name: len(pairs) for name, pairs in splits.items()} == {"train": train, "valid": valid, "test": test}
    for pair in (pair for pairs in splits.values() for pair in pairs):
        day = read_back(pair.source)
        assert pair.target == day.isoformat()
        assert FIRST_DAY <= day <= LAST_DAY
    days = [{pair.target for pair in pairs} for pairs in splits.values()]
    assert sum(map(len, days)) == len(set().union(*days))
    assert splits == dates(train=train, valid=valid, test=test, seed=seed)


def test_the_mix() -> None:
    pairs = dates(train=8000, valid=0, test=0, seed=3)["train"]
    sources = [pair.source for pair in pairs]
    numeric = [source for source in sources if NUMERIC.fullmatch(source)]
    weekday = [source for source in sources if source.count(",") == 2]
    upper = [source for source in sources if source not in numeric and source.isupper()]
    lower = [source for source in sources if source not in numeric and source.islower()]
    assert len(numeric) == 2000
    assert len(weekday) == pytest.approx(2000, rel=0.1)
    assert len(upper) == pytest.approx(4000 / 3, rel=0.1)
    assert len(lower) == pytest.approx(4000 / 3, rel=0.1)
    assert all(source[0].isupper() for source in set(sources) - set(numeric) - set(lower))
    november = [source for source in sources if "nov" in source.lower()]
    assert sum("november" in source.lower() for source in november) == pytest.approx(len(november) / 2, rel=0.25)
    assert not any(re.search(r"\b0\d/|/0\d/| 0\d,", source) for source in sources)
    assert {pair.target[:4] for pair in pairs} == {str(year) for year in range(1970, 2018)}
    assert len(set(pairs)) == len(pairs)
    form = ["numeric" if NUMERIC.fullmatch(source) else "named" for source in sources[:200]]
    assert form.count("numeric") == pytest.approx(50, abs=25)  # the forms are mixed, not in blocks


def test_seeds_differ_and_many_pairs_are_possible() -> None:
    one, other = (dates(train=50, valid=10, test=10, seed=seed) for seed in (1, 2))
    assert one != other
    large = dates(train=300, valid=0, test=60_000, seed=1)
    assert len(large["test"]) == 60_000
    assert not overlap(large["train"], large["test"])


@pytest.mark.parametrize("sizes", [(0, 0, 0), (-1, 5, 5)])
def test_bad_sizes(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(UserError, match=r"at least one pair and no negative size, got \{'train'"):
        dates(train=sizes[0], valid=sizes[1], test=sizes[2], seed=1)


def test_tsv_round_trip(tmp_path: Path) -> None:
    pairs = dates(train=40, valid=0, test=0, seed=1)["train"]
    write_tsv(tmp_path / "new" / "dates.tsv", pairs)
    assert read_pairs([tmp_path / "new" / "dates.tsv"]).pairs == pairs


def test_tsv_refuses_what_it_cannot_keep(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pair 2 holds a tab or a line end.*Write JSON lines"):
        write_tsv(tmp_path / "a.tsv", [Pair("a", "b"), Pair("a\tb", "c")])
    assert not (tmp_path / "a.tsv").exists()


# ---- sums ----


@settings(max_examples=15)
@given(st.integers(1, 400), st.integers(0, 60), st.integers(0, 60), st.integers(0, 99))
def test_sums_are_right_and_no_question_is_asked_twice(train: int, valid: int, test: int, seed: int) -> None:
    splits = addition(train=train, valid=valid, test=test, seed=seed)
    assert {name: len(pairs) for name, pairs in splits.items()} == {"train": train, "valid": valid, "test": test}
    pairs = [pair for pairs in splits.values() for pair in pairs]
    assert all(re.fullmatch(r"(0|[1-9]\d{0,2})\+(0|[1-9]\d{0,2})", pair.source) for pair in pairs)
    assert all(str(sum(map(int, pair.source.split("+")))) == pair.target for pair in pairs)
    assert len({frozenset(pair.source.split("+")) for pair in pairs}) == len(pairs)  # b+a is a+b
    assert splits == addition(train=train, valid=valid, test=test, seed=seed)


def test_the_published_number_of_sums() -> None:
    splits = addition(train=45_000, valid=0, test=5_000, seed=1)
    assert [len(splits[name]) for name in ("train", "test")] == [45_000, 5_000]
    assert splits["train"][:50] != addition(train=45_000, valid=0, test=5_000, seed=2)["train"][:50]
    first = [int(pair.source.split("+")[0]) for pair in splits["train"][:600]]  # before short questions run out
    assert sum(number < 10 for number in first) / 600 == pytest.approx(0.37, abs=0.1)
    assert sum(number > 99 for number in first) / 600 == pytest.approx(0.30, abs=0.1)
    assert any(a > b for a, b in (map(int, pair.source.split("+")) for pair in splits["train"][:50]))
    sides = [(len(pair.source), len(pair.target)) for pairs in splits.values() for pair in pairs]
    assert max(sides) == (7, 4)


@pytest.mark.parametrize("sizes", [(0, 0, 0), (-1, 5, 5), (200_000, 0, 1)])
def test_bad_numbers_of_sums(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(UserError, match=r"addition task has 1 to 200,000 pairs and no negative size, got \{'train'"):
        addition(train=sizes[0], valid=sizes[1], test=sizes[2], seed=1)

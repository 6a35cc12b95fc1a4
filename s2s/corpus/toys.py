"""Seeded generators of synthetic pairs: dates, and sums.

Dates: every way to write a day between 1970 and 2017 becomes YYYY-MM-DD.
The mix of the sources, exact to one pair in each split:
  a quarter   numeric    `M/D/YY`: 10/31/90, 5/4/01
  a quarter   named      `Month D, YYYY`, the month in full or its first three letters: August 19, 2003, Aug 19, 2003
  a half      decorated  the named form, with the weekday in front in half of the cases, and in title, upper or lower
                         case with a third each: Tuesday, September 25, 1984; JUN 17, 2013; may 4, 2001
"""

from __future__ import annotations

import datetime
import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, assert_never

from s2s.corpus.formats import Pair
from s2s.errors import UserError

FIRST_DAY, LAST_DAY = datetime.date(1970, 1, 1), datetime.date(2017, 12, 31)

# Not from `strftime`: its names follow the locale of the machine.
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_TRIES = 20
_MOST_SUMS = 200_000  # of 500,500; with more, ever more draws find a question that has been asked

_Form = Literal["numeric", "named", "decorated"]
_FORMS: tuple[_Form, ...] = ("numeric", "named", "decorated", "decorated")


def dates(*, train: int, valid: int, test: int, seed: int) -> dict[str, list[Pair]]:
    """The splits "train", "valid" and "test" of the date task, the same for the same arguments.

    The 17,532 days are dealt out to the splits first, in proportion to their sizes: no day of one split occurs in
    another, in whichever form. A split repeats a pair only when it asks for more than its days give. UserError for a
    negative size or none at all.
    """
    sizes = {"train": train, "valid": valid, "test": test}
    if min(sizes.values()) < 0 or not any(sizes.values()):
        raise UserError(f"the date task needs at least one pair and no negative size, got {sizes}.")
    rng = random.Random(seed)
    return {name: _pairs(rng, days, sizes[name]) for name, days in _deal(rng, sizes).items()}


def addition(*, train: int, valid: int, test: int, seed: int) -> dict[str, list[Pair]]:
    """The splits "train", "valid" and "test" of sums as strings, `16+75` -> `91`, the same for the same arguments.

    Published (Smerity and others, the Keras example addition_rnn, 2015, with 45,000 questions for training and 5,000
    held out): two numbers of one to three digits, each count of digits as likely, then each digit (a zero in front is
    not written); no question is asked twice, and b+a is the same question as a+b. Not published: the questions. They
    padded strings to one length and read them backwards; here both are up to the model.
    UserError for a negative size, none at all, or more than 200,000.
    """
    sizes = {"train": train, "valid": valid, "test": test}
    if min(sizes.values()) < 0 or not 0 < sum(sizes.values()) <= _MOST_SUMS:
        raise UserError(f"the addition task has 1 to {_MOST_SUMS:,} pairs and no negative size, got {sizes}.")
    rng = random.Random(seed)
    asked: dict[tuple[int, int], Pair] = {}
    while len(asked) < sum(sizes.values()):
        a, b = _number(rng), _number(rng)
        asked.setdefault((min(a, b), max(a, b)), Pair(f"{a}+{b}", str(a + b)))
    pairs = iter(asked.values())
    return {name: list(itertools.islice(pairs, size)) for name, size in sizes.items()}


def _number(rng: random.Random) -> int:
    return int(10 ** (1 + int(3 * rng.random())) * rng.random())


def write_tsv(path: Path, pairs: Iterable[Pair]) -> None:
    """One pair a line, a tab between its sides. UserError for a text that holds a tab or a line end itself."""
    lines = []
    for number, pair in enumerate(pairs, start=1):
        if any(mark in text for text in pair for mark in "\t\n\r"):
            raise UserError(
                f"pair {number} holds a tab or a line end, which TSV cannot keep. Write JSON lines instead."
            )
        lines.append(f"{pair.source}\t{pair.target}\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def _deal(rng: random.Random, sizes: dict[str, int]) -> dict[str, list[datetime.date]]:
    count = (LAST_DAY - FIRST_DAY).days + 1
    days = [FIRST_DAY + datetime.timedelta(days=i) for i in range(count)]
    rng.shuffle(days)
    wanted = [name for name, size in sizes.items() if size]
    spare = count - len(wanted)  # a split that wants pairs has one day at least
    shares = {name: spare * sizes[name] // sum(sizes.values()) + (name in wanted) for name in sizes}
    dealt = {}
    for name, share in shares.items():
        dealt[name], days = days[:share], days[share:]
    return dealt


def _pairs(rng: random.Random, days: Sequence[datetime.date], count: int) -> list[Pair]:
    turns = {form: _endless(rng, days) for form in _FORMS}
    seen: set[Pair] = set()
    pairs = []
    for i in range(count):
        form = _FORMS[i % len(_FORMS)]
        for _ in range(_TRIES):
            pair = _written(rng, next(turns[form]), form)
            if pair not in seen:
                break
        seen.add(pair)
        pairs.append(pair)
    rng.shuffle(pairs)
    return pairs


def _endless(rng: random.Random, days: Sequence[datetime.date]) -> Iterator[datetime.date]:
    """All days in random order, again and again: none comes twice before all came once."""
    while True:
        yield from rng.sample(days, len(days))


def _written(rng: random.Random, day: datetime.date, form: _Form) -> Pair:
    match form:
        case "numeric":
            source = f"{day.month}/{day.day}/{day.year % 100:02d}"
        case "named":
            source = _named(rng, day)
        case "decorated":
            weekday = f"{_WEEKDAYS[day.weekday()]}, " if rng.random() < 0.5 else ""
            source = _cased(rng, weekday + _named(rng, day))
        case _:
            assert_never(form)
    return Pair(source, day.isoformat())


def _named(rng: random.Random, day: datetime.date) -> str:
    month = _MONTHS[day.month - 1]
    return f"{month if rng.random() < 0.5 else month[:3]} {day.day}, {day.year}"


def _cased(rng: random.Random, text: str) -> str:
    return (text, text.upper(), text.lower())[int(3 * rng.random())]

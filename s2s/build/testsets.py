"""What `s2s evaluate` scores on: pairs of files or of runs, and translations that were made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from s2s.build.corpus import load_corpus
from s2s.build.folder import RunFolder
from s2s.build.say import counted, say
from s2s.config import Data
from s2s.corpus.direction import check_direction
from s2s.corpus.lines import read_lines
from s2s.corpus.read import Pair, read_pairs
from s2s.errors import UserError
from s2s.evaluation import System


@dataclass(frozen=True)
class TestSet:
    """Test pairs, where they come from, and the targets of the training pairs where they were read."""

    pairs: Sequence[Pair]
    where: str
    trained: Sequence[str] = ()


def named_test_set(paths: Sequence[str], section: Data, *, skip_bad: bool, console: Console) -> TestSet:
    """The pairs of files; `section` is the `[data]` of a run that is to translate them."""
    keys = (section.source_lang or "source", section.target_lang or "target")
    check_direction(paths, keys)
    result = read_pairs(paths, skip_bad=skip_bad, source_key=keys[0], target_key=keys[1])
    if result.bad:
        say(console, f"skipped {counted(result.bad, 'bad line')} of {result.where}")
    return TestSet(result.pairs, result.where)


def trained_targets(run: RunFolder, section: Data) -> list[str]:
    """The targets a run was trained on; none where its files are gone."""
    try:
        return [pair.target for pair in load_corpus(section, stdin=run.stdin).train]
    except UserError:
        return []


def own_test_sets(runs: Sequence[tuple[RunFolder, Data]]) -> list[TestSet]:
    """The test pairs of each run, else its validation pairs.

    Raises:
        UserError: there are none, or the references of two runs differ.
    """
    tests = [_own_test_set(*run) for run in runs]
    for (run, _), test in zip(runs, tests, strict=True):
        if not test.pairs:
            raise UserError(f"{run.path}: its test set is empty, expected at least one pair; give one with --data")
        _compare_references(runs[0][0], tests[0], run, test)
    return tests


def _own_test_set(run: RunFolder, section: Data) -> TestSet:
    corpus = load_corpus(section, stdin=run.stdin)
    pairs, where = (corpus.test, "test") if corpus.test else (corpus.valid, "validation (the run has no test set)")
    return TestSet(pairs, where, [pair.target for pair in corpus.train])


def _compare_references(first: RunFolder, one: TestSet, run: RunFolder, other: TestSet) -> None:
    """Scores on unlike references can't be compared."""
    advice = "give the pairs that all are to translate with --data"
    if len(one.pairs) != len(other.pairs):
        raise UserError(
            f"{first.path} and {run.path} have test sets of {len(one.pairs):,} and {len(other.pairs):,} pairs, expected"
            f" the same references; {advice}"
        )
    for number, (left, right) in enumerate(zip(one.pairs, other.pairs, strict=True), start=1):
        if left.target != right.target:
            raise UserError(
                f"{first.path} and {run.path} have unlike references, the first in pair {number:,}: {left.target!r} and"
                f" {right.target!r}; {advice}"
            )


def system_of_file(word: str, test: TestSet) -> System:
    """`NAME=FILE`: translations made elsewhere, one a line.

    Raises:
        UserError: another word, no such file, or not one line a pair.
    """
    name, _, file = word.partition("=")
    if not (name and file):
        raise UserError(f"--system {word}: expected NAME=FILE, a name and a file of translations, one a line")
    answers = read_lines(file)
    if len(answers) != len(test.pairs):
        raise UserError(
            f"--system {word}: {len(answers):,} lines, but {test.where} has {len(test.pairs):,} pairs; expected one"
            " translation a line, in the order of the pairs"
        )
    return System(name, [pair.source for pair in test.pairs], answers, {})

"""Which test dialogues a model can't know from its training set: DailyDialog's official split leaks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from s2s.corpus.dialogue.read import Dialogue


@dataclass(frozen=True)
class Clean:
    """The rows of the clean dialogues; of all adjacent pairs of turns in test, how many stand in train."""

    rows: list[int]
    total: int
    shared: int
    pairs: int

    def sentence(self) -> str:
        """One line for people, such as "723 of 1,000 test dialogues share no two turns in a row with ..."."""
        share = 100 * self.shared / max(self.pairs, 1)
        return (
            f"{len(self.rows):,} of {self.total:,} test dialogues share no two turns in a row with the training set;"
            f" {self.shared:,} of {self.pairs:,} such pairs ({share:.1f} %) do"
        )


def clean_dialogues(test: Sequence[Dialogue], train: Iterable[Dialogue]) -> Clean:
    """The dialogues of `test` without a pair (turn, next turn) that stands in `train` too.

    Turns are compared in lower case and without white space. Give both as they were read, before anything is joined
    or cut: that is how the 723 clean dialogues of DailyDialog's test set are counted.
    """
    known = {pair for dialogue in train for pair in _pairs(dialogue)}
    shared = [[pair in known for pair in _pairs(dialogue)] for dialogue in test]
    rows = [row for row, flags in enumerate(shared) if not any(flags)]
    return Clean(rows, len(test), sum(map(sum, shared)), sum(map(len, shared)))


def _pairs(dialogue: Dialogue) -> Iterator[tuple[str, str]]:
    turns = ["".join(turn.lower().split()) for turn in dialogue]
    return pairwise(turns)

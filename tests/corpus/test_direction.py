"""Files whose names contradict the languages."""

from __future__ import annotations

import pytest

from s2s.corpus.direction import check_direction
from s2s.errors import UserError


@pytest.mark.parametrize(
    ("paths", "direction"),
    [
        (["train.de", "train.en"], ("en", "de")),
        (["train.de", "train.en"], ("de", "de")),
        (["train.de", "train.en"], ("en", "en")),
        (["train.de", "train.fr"], ("en", "de")),
        (["train.de.gz", "other.en.gz"], ("en", "fr")),
        (["a.de", "b.de"], ("de", "en")),
        (["a.txt", "b.de"], ("de", "en")),
        (["news.de-en.tsv"], ("en", "de")),
        (["news.pt_BR-en.tsv.gz"], ("en", "pt_BR")),
    ],
)
def test_the_other_way_round(paths: list[str], direction: tuple[str, str]) -> None:
    with pytest.raises(UserError, match=f"expected {direction[0]} to {direction[1]}") as caught:
        check_direction(paths, direction)
    assert paths[0] in str(caught.value)


@pytest.mark.parametrize(
    ("paths", "direction"),
    [
        ([], ("de", "en")),
        (["train.de", "train.en"], ("de", "en")),
        (["train.de", "train.en"], ("src", "tgt")),
        (["train.en", "train.cn"], ("en", "zh")),
        (["train.err", "train.cor"], ("en", "en")),
        (["complex.en", "simple.en"], ("en", "en")),
        (["complex.txt", "simple.en"], ("en", "en")),
        (["-"], ("de", "en")),
        (["pairs.tsv"], ("de", "en")),
        (["news.de-en.jsonl"], ("en", "de")),
    ],
)
def test_no_contradiction(paths: list[str], direction: tuple[str, str]) -> None:
    check_direction(paths, direction)


def test_json_lines_by_another_name() -> None:
    check_direction(["news.de-en.txt"], ("en", "de"), format="jsonl")

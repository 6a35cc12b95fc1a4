"""Which word (run of characters without white space) of a text each of its tokens belongs to."""

from __future__ import annotations

import re
from collections.abc import Sequence

from s2s.text.tags import Tagged
from s2s.text.tokenizer import Tokenizer

_WHITE = re.compile(r"(\s+)")


def word_of_each_token(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int | None]]:
    """For each text one entry a token of `encode`: the number of its word in `text.split()`, None for white space (and
    a language tag).

    Words are encoded alone and put together again. Where that gives other tokens (a combining mark behind a space may
    do so), as many entries as there are tokens are spread over the words in order.
    """
    if isinstance(tokenizer, Tagged):
        return [[None, *words] for words in word_of_each_token(tokenizer.base, texts)]
    wholes = tokenizer.encode_batch(texts)
    cut = [_WHITE.split(text) for text in texts]  # word, white space, word, ..., word
    known = list({part for parts in cut for part in parts})
    ids = dict(zip(known, tokenizer.encode_batch(known), strict=True))
    result: list[list[int | None]] = []
    for parts, whole in zip(cut, wholes, strict=True):
        words: list[int | None] = []
        joined: list[int] = []
        number = 0
        for place, part in enumerate(parts):
            words += [None if place % 2 else number] * len(ids[part])
            joined += ids[part]
            number += place % 2 == 0 and bool(part)
        same = joined == whole or not words
        result.append(words if same else [words[row * len(words) // len(whole)] for row in range(len(whole))])
    return result

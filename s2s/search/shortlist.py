"""A vocabulary of its own for each batch: the tokens that its sources make likely, instead of all (Jean et al. 2015,
"On Using Very Large Target Vocabulary for Neural Machine Translation", section 3.3)."""

# V source vocabulary, N candidates of each source token, W target vocabulary, X tokens of a shortlist

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from s2s.search.hypothesis import Hypothesis
from s2s.search.lexical import Lexicon
from s2s.search.limits import Limits

MOST = 100
"""N: candidates that are kept of a source token."""
COMMON = 200
"""Target tokens that are always there."""
WHOLE = 64
"""X is a multiple of this where there are tokens enough: products of odd widths take longer."""


class Candidates(NamedTuple):
    """What the sources of one language pair make likely."""

    common_W: Tensor
    """All target tokens, the commonest first."""
    likely_VN: Tensor
    """Of each source token, the likeliest first; -1 where there are no more."""

    @classmethod
    def of(cls, lexicon: Lexicon, counts: Sequence[int], source_size: int) -> Candidates:
        """counts: how often each target token stands in the texts."""
        found = np.full((source_size, MOST), -1)
        first = np.searchsorted(lexicon.source_K, lexicon.source_K, "left")
        rank = np.arange(len(lexicon.source_K)) - first
        kept = rank < MOST
        found[lexicon.source_K[kept], rank[kept]] = lexicon.target_K[kept]
        common = np.argsort(-np.asarray(counts), kind="stable")
        return cls(torch.from_numpy(common.copy()), torch.from_numpy(found))

    def shortlist(self, sources: Iterable[Sequence[int]], each: int, limits: Limits) -> Shortlist:
        """What these sources may need: `each` candidates of every token, and all that the limits speak of."""
        tokens = torch.tensor(sorted({token for ids in sources for token in ids}), dtype=torch.int64)
        likely = self.likely_VN[tokens, :each].flatten()
        spoken = torch.tensor([limits.bos, limits.eos, *_phrases(limits)], dtype=torch.int64)
        listed_W = torch.zeros(len(self.common_W), dtype=torch.bool)
        for some in (likely[likely >= 0], self.common_W[:COMMON], spoken):
            listed_W[some] = True
        left = self.common_W[~listed_W[self.common_W]]
        listed_W[left[: -int(listed_W.sum()) % WHOLE]] = True
        return Shortlist(listed_W.nonzero().squeeze(1))


class Shortlist:
    """Some tokens of a vocabulary, which a search knows by their places.

    Args:
        token_X: in rising order.
    """

    def __init__(self, token_X: Tensor) -> None:
        self.token_X = token_X
        self._token = token_X.tolist()
        self._place = {token: place for place, token in enumerate(self._token)}

    def limits(self, limits: Limits) -> Limits:
        """Of a search among these tokens."""
        places = self._places
        return replace(
            limits,
            bos=self._place[limits.bos],
            eos=self._place[limits.eos],
            forbidden=places([token for token in limits.forbidden if token in self._place]),
            prefixes=[places(one) for one in limits.prefixes],
            banned=[[places(one) for one in own] for own in limits.banned],
            required=[[places(one) for one in own] for own in limits.required],
        )

    def tokens(self, found: Hypothesis) -> Hypothesis:
        """What was found, in tokens of the vocabulary."""
        return found._replace(tokens=[self._token[place] for place in found.tokens])

    def _places(self, tokens: Iterable[int]) -> list[int]:
        return [self._place[token] for token in tokens]


def _phrases(limits: Limits) -> list[int]:
    phrases = [*limits.prefixes, *(one for own in (*limits.banned, *limits.required) for one in own)]
    return [token for phrase in phrases for token in phrase]

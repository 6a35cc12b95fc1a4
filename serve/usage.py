"""How many characters each caller had translated since the server started."""

from __future__ import annotations

from collections import OrderedDict

MOST_CALLERS = 10_000  # that are remembered; beyond, those not heard of for longest begin anew


class Usage:
    """Counts of characters by caller; memory is bounded."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()

    def add(self, caller: str, characters: int) -> None:
        self._counts[caller] = self._counts.pop(caller, 0) + characters
        while len(self._counts) > MOST_CALLERS:
            self._counts.popitem(last=False)

    def of(self, caller: str) -> int:
        return self._counts.get(caller, 0)

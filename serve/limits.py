"""How much one caller may ask for in a minute: a bucket that fills steadily and holds one minute's worth."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache

MOST_CALLERS = 10_000  # whose buckets are remembered; beyond, those not heard of for longest get a full one


ROUNDING = 1e-7  # of an allowance: who waited as long as was said is not sent away for want of less


class Rate:
    """An allowance of `limit` a minute for each caller; -1: none is counted. Memory is bounded."""

    def __init__(self, limit: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # caller: allowance, and when it was so

    def take(self, caller: str, amount: int) -> int:
        """Take an amount, at most `limit`; 0, or the seconds after which it will be there (nothing is taken then)."""
        if self.limit < 0:
            return 0
        now = self._clock()
        left, then = self._left.pop(caller, (float(self.limit), now))
        left = min(self.limit, left + (now - then) * self.limit / 60)
        missing = amount - left
        missing = 0.0 if missing < ROUNDING else missing
        self._left[caller] = (left if missing > 0 else left - amount, now)
        while len(self._left) > MOST_CALLERS:
            self._left.popitem(last=False)
        return math.ceil(missing * 60 / self.limit) if missing > 0 else 0


@lru_cache(maxsize=1024)
def network_of(host: str) -> str:
    """What counts as one caller: an IPv4 address, or the /64 that one customer has of IPv6."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:  # a test client, or a Unix socket
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    mapped = address.ipv4_mapped
    return str(mapped or ipaddress.ip_network((address, 64), strict=False))

"""Who may ask, and for how much: the key, and the limits of its holder, or of an address without one."""

from __future__ import annotations

from collections.abc import Sequence

from .keys import Keys
from .limits import Rate, network_of
from .refusal import Refusal
from .settings import Settings


class Gate:
    """Lets requests in. `keys`: without one of these nobody is served; None: no key is asked for, nor looked at."""

    def __init__(self, settings: Settings, keys: Keys | None) -> None:
        self._keys = keys
        self._requests = Rate(settings.requests_per_minute)
        self._characters = Rate(settings.characters_per_minute)

    def admit(self, host: str, key: str | None, texts: Sequence[str]) -> str:
        """Who is let in: `key ID`, or the address.

        Args:
            host: whose address counts where there is no valid key, so that guessing has its limit too.
            key: what the client sent; None or "": nothing.
            texts: what is to be worked on, whose characters are counted.

        Raises:
            Refusal: about the key (403; missing, or one and the same for wrong, unknown and revoked), 429 too much in
                this minute, 413 more text than any minute allows.
        """
        known = None if self._keys is None or not key else self._keys.check(key)
        caller = network_of(host) if known is None else f"key {known}"
        _take(self._requests, caller, 1, "requests")
        if self._keys is not None and known is None:
            raise Refusal(403, "Invalid API key" if key else "An API key is required", about_key=True)
        _take(self._characters, caller, sum(map(len, texts)), "characters")
        return caller


def _take(rate: Rate, caller: str, amount: int, what: str) -> None:
    if -1 < rate.limit < amount:
        raise Refusal(413, f"Invalid request: {amount} {what}, and a minute allows {rate.limit}")
    if wait := rate.take(caller, amount):
        raise Refusal(429, f"Slow down: a minute allows {rate.limit} {what}", retry_after=wait)

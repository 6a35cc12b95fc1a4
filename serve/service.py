"""What every dialect asks for: a direction, the limits, the translations. The work is done off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from .directions import Direction, Directions
from .lines import blank, translate_texts
from .protocols import Translator
from .refusal import Refusal
from .settings import Settings


class Service:
    """The models of one server and the threads that run them."""

    def __init__(self, translators: Sequence[Translator], settings: Settings) -> None:
        self.directions = Directions(translators)
        self.settings = settings
        self._threads = ThreadPoolExecutor(settings.workers, thread_name_prefix="translate")

    async def translate(self, direction: Direction, texts: Sequence[str], *, n_best: int = 1) -> list[list[str]]:
        """For each text up to n_best different translations, best first; a blank text gives ""."""
        if direction.translator is None:
            return [["" if blank(text) else text] for text in texts]
        work = partial(translate_texts, direction.translator, texts, n_best=n_best)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def check_size(self, texts: Sequence[str]) -> None:
        """Refuse (400) more texts or characters than the settings allow."""
        sizes = ((len(texts), self.settings.batch_limit), (sum(map(len, texts)), self.settings.char_limit))
        for size, limit in sizes:
            if -1 < limit < size:
                raise Refusal(400, f"Invalid request: request ({size}) exceeds text limit ({limit})")

    def check_alternatives(self, alternatives: int) -> None:
        """Refuse (400) more alternatives than the settings allow."""
        limit = self.settings.alternatives_limit
        if alternatives > limit:
            raise Refusal(400, f"Invalid request: alternatives ({alternatives}) exceeds limit ({limit})")

"""What every dialect asks for: a direction, the limits, the translations. The work is done off the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import repeat
from typing import TypeVar, cast

from starlette.requests import Request

from s2s.errors import MissingExtraError, UserError

from .batcher import Batcher, Bounds
from .detection import Detector
from .directions import Direction, Directions
from .gate import Gate
from .keys import Keys
from .lines import Whole, blank, translate_texts
from .metrics import Metrics
from .protocols import Run, Speaker, Translation, Translator
from .refusal import Refusal
from .settings import Settings
from .speakers import by_name
from .traffic import note

Answer = TypeVar("Answer")
GREETING = "Hello, 1 2 3."
log = logging.getLogger("s2s.serve")


class Service:
    """The models of one server and the threads that run them."""

    def __init__(self, runs: Sequence[Run], settings: Settings, keys: Keys | None = None) -> None:
        """`keys`: without one of these nobody is served; None: no key is asked for, nor looked at."""
        self.serve(runs)
        self.detector = Detector()
        self.settings = settings
        self.keys = keys
        self._gate = Gate(settings, keys)
        bounds = Bounds(
            items=settings.batch_lines,
            room=settings.batch_characters,
            queue=settings.queue_limit,
            gather=settings.batch_wait,
            workers=settings.workers or 1,
        )
        self.metrics = Metrics()
        self._batcher = Batcher(bounds, self.metrics)
        self.metrics.measure(lambda: self._batcher.waiting)
        self.warming = self.draining = False

    def serve(self, runs: Sequence[Run]) -> None:
        """Answer with these runs from now on; what was asked before is still answered by those from before.

        Raises UserError when they cannot be served together; nothing is changed then.
        """
        if not runs:
            raise UserError("There is no run to serve; name at least one run directory.")
        directions = Directions([run for run in runs if not isinstance(run, Speaker)])
        self.speakers = by_name([run for run in runs if isinstance(run, Speaker)])
        self.directions = directions
        self.runs = runs

    async def warm(self, runs: Sequence[Run]) -> None:
        """Let each run answer once, in the thread that will ask it: a first answer takes longer than those after it.
        Where languages may have to be told apart, their model is loaded, too (a second, some 100 MB).

        What goes wrong is left to the requests, which say so.
        """
        for run in runs:
            try:
                await self.work(partial(_greet, run))
            except Exception:
                log.exception("the run %s could not answer its first text", run.name)
        if len(self.directions.sources()) > 1:
            with suppress(MissingExtraError):
                await asyncio.to_thread(self.detector.known, ())

    async def drain(self) -> None:
        """Take nothing in any more, and come back when all that was taken in is worked off."""
        self.draining = True
        await self._batcher.rest()

    async def admit(self, request: Request, key: str | None, texts: Sequence[str] = ()) -> str:
        """Let a request in that works, before the work, or raise Refusal; see `Gate.admit`. Gives the caller's name."""
        if self.draining:
            raise Refusal(503, "The server is stopping", retry_after=5)
        caller = self._gate.admit(request.client.host if request.client else "", key, texts)
        note(request.scope, caller, texts)
        return caller

    async def translate(
        self,
        direction: Direction,
        texts: Sequence[str],
        *,
        n_best: int = 1,
        glossary: Mapping[str, str] | None = None,
        linked: bool = False,
    ) -> list[list[Whole]]:
        """For each text up to n_best different translations, best first; a blank text gives "".

        `linked`: with the words that belong together. Lines share batches with those of other requests. Raises Refusal:
        400 for what the run can't do, 503 for a full queue and for a request that took too long.
        """
        translator = direction.translator
        if translator is None:
            return [[Whole("" if blank(text) else text)] for text in texts]

        async def ask(
            lines: Sequence[str], required: Sequence[Sequence[str]] | None
        ) -> Sequence[Sequence[Translation]]:
            items = list(zip(lines, required or repeat(()), strict=False))
            work, sizes = partial(_answers, translator, n_best, linked), list(map(len, lines))
            if translator.draws:
                (answers,) = await self._batcher.ask(object(), lambda all_: [work(all_[0])], [items], [sum(sizes)])
                return cast(Sequence[Sequence[Translation]], answers)
            # What is asked of words that must be there is searched for in another way: apart from the rest.
            return await self._batcher.ask((id(translator), n_best, linked, required is not None), work, items, sizes)

        with self._patience():
            async with asyncio.timeout(self.settings.timeout):
                return await translate_texts(ask, texts, n_best=n_best, glossary=glossary)

    async def work(self, call: Callable[[], Answer]) -> Answer:
        """What a model is asked, off the event loop and by itself. Raises Refusal like `translate`."""
        with self._patience():
            async with asyncio.timeout(self.settings.timeout):
                (answer,) = await self._batcher.ask(object(), lambda _: [call()], [None], [0])
        return cast(Answer, answer)

    @contextmanager
    def _patience(self) -> Iterator[None]:
        """What goes wrong with the work, as what the client hears of it."""
        try:
            yield
        except UserError as error:
            raise Refusal(400, f"Invalid request: {error}") from None
        except TimeoutError:
            message = f"There was no answer within {self.settings.timeout:g} seconds; try again later, or send less"
            raise Refusal(503, message, retry_after=5) from None

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


def _greet(run: Run) -> None:
    if isinstance(run, Speaker):
        run.reply([GREETING])
    else:
        run.translate([GREETING])


def _answers(
    translator: Translator, n_best: int, linked: bool, items: Sequence[tuple[str, Sequence[str]]]
) -> Sequence[object]:
    """A batch of lines, each with the words that its answers must hold."""
    lines, required = [line for line, _ in items], [words for _, words in items]
    return translator.translate(lines, n_best=n_best, required=required if any(required) else None, linked=linked)

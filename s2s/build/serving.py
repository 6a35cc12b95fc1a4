"""Runs as the server asks them: `s2s.serve.protocols` says what it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from s2s.build.attending import Attended, attended
from s2s.build.folder import RunFolder
from s2s.build.load import Device, Precision, load_translator
from s2s.config import Serve
from s2s.config.io import check, merge
from s2s.passages import Passage, Wish, align_passages, cut_texts, translate_passages
from s2s.scoring import Links
from s2s.text.sentences import sentences
from s2s.text.turns import Turns, history
from s2s.training.hardware import pick_device, set_threads
from s2s.translator import Constraints, Translator

WIDE = 10
"""Beam for required words: in a narrower one they stand where there is room rather than where they fit."""

MOST_WORKERS = 4
"""That a server has unless it is told otherwise."""

COLDEST = 1e-3
"""Below this temperature only the likeliest words are left, and divisions by it would overflow."""


class Answer(NamedTuple):
    """A translation of a line, and which words belong together."""

    text: str
    links: Links | None


class Interpreter:
    """A run with one direction, for the server. Its answers are those of `s2s translate`: long lines are cut."""

    def __init__(self, translator: Translator) -> None:
        self._translator = translator
        self.name = translator.name
        self.source_lang, self.target_lang = translator.source_lang, translator.target_lang
        self.draws = translator.config.search.sample

    def translate(
        self,
        texts: Sequence[str],
        *,
        n_best: int = 1,
        required: Sequence[Sequence[str]] | None = None,
        linked: bool = False,
    ) -> list[list[Answer]]:
        """N lines in, N lists of up to `n_best` answers out, best first; with links if asked and the model attends.

        Raises:
            UserError: a word is required that the target vocabulary cannot write.
        """
        wish, constraints = Wish(n_best=n_best), None
        if required is not None and any(required):
            wish = Wish(n_best=n_best, beam=max(WIDE, self._translator.config.search.beam), search={"groups": 1})
            constraints = [Constraints(required=words) for words in required]
        found = translate_passages(self._translator, texts, wish, constraints=constraints)
        if linked and self._translator.members.attend:
            return self._linked(found)
        return [[Answer(one.text, None) for one in passage.joined()] for passage in found]

    def _linked(self, passages: Sequence[Passage]) -> list[list[Answer]]:
        ways = [way for passage in passages for way in passage.ways()]
        links = iter(align_passages(self._translator, ways, every_source=True))
        return [[Answer(one.text, next(links)) for one in passage.joined()] for passage in passages]

    def attention(self, source: str, target: str) -> list[Attended]:
        """What the model looks at while it writes `target`; nothing without attention, and for long sentences.

        Lines that are cut are looked at by sentences, where there are as many on both sides.
        """
        pairs = [(source, target)]
        if len(cut_texts(self._translator, [source], "auto")[0]) > 1:
            before, after = ([piece.text for piece in sentences(side)] for side in (source, target))
            pairs = list(zip(before, after, strict=True)) if len(before) == len(after) else pairs
        found = [attended(self._translator, *pair) for pair in pairs]
        return [one for one in found if one is not None]


class Reply(NamedTuple):
    """What a model of dialogues said."""

    text: str
    tokens: int
    finished: bool


class Partner:
    """A run of dialogues, for the server."""

    def __init__(self, translator: Translator) -> None:
        self._translator = translator
        self.name = translator.name

    def tokens(self, turns: Sequence[str]) -> int:
        """How many tokens of a history the model reads."""
        return len(self._translator.source.encode(history(turns)))

    def reply(
        self,
        turns: Sequence[str],
        *,
        count: int = 1,
        temperature: float | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        max_tokens: int | None = None,
    ) -> list[Reply]:
        """Up to `count` replies to the last turn, best first.

        Raises:
            UserError: nothing was said, or keys that do not go together with the run's own `[search]`.
        """
        keys = self._keys(temperature, top_p, seed, max_tokens)
        chat = self._translator.chat(search=keys)
        chat.turns = list(turns[:-1])
        target = self._translator.target
        found = chat.say(turns[-1], candidates=count)
        return [Reply(one.text, len(target.encode(one.text)), one.finished) for one in found]

    def _keys(
        self, temperature: float | None, top_p: float | None, seed: int | None, max_tokens: int | None
    ) -> dict[str, Any]:
        """Keys of `[search]`; a limit never goes beyond the run's own."""
        keys: dict[str, Any] = {}
        if temperature is not None and temperature < COLDEST:
            keys = {"sample": False, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
        elif temperature is not None or top_p is not None:
            keys = {"sample": True, "groups": 1}
            keys |= {} if temperature is None else {"temperature": temperature}
            keys |= {} if top_p is None else {"top_p": top_p}
        if seed is not None:
            keys["seed"] = seed
        if max_tokens is not None:
            search = self._translator.config.search
            longest = min(max_tokens, search.max_length)
            keys |= {"max_length": longest, "min_length": min(search.min_length, longest)}
        return keys


def servable(translator: Translator) -> list[Interpreter | Partner]:
    """What a run offers: its directions, or a partner to talk to."""
    if isinstance(translator.source, Turns):
        return [Partner(translator)]
    return [Interpreter(one) for one in translator.each_direction()]


def load_runs(
    paths: Sequence[Path], *, device: Device = "auto", threads: int | None = None, precision: Precision = "float32"
) -> list[Interpreter | Partner]:
    """What all of some run directories offer, from their files as they are now; `threads`: of one batch.

    Raises:
        UserError: one is no run, or is damaged.
    """
    translators = (load_translator(path, device=device, threads=threads, precision=precision) for path in paths)
    return [one for translator in translators for one in servable(translator)]


def share_cores(settings: Serve, device: Device) -> tuple[Serve, int]:
    """The settings with their number of workers, and the threads that each may have.

    Workers with a thread each don't wait for one another at every step, as the threads of one batch do, and one works
    while the answers of another are written. Beyond a few, they wait for Python's lock instead.

    Raises:
        UserError: the device is not there.
    """
    cores = set_threads(None)
    usual = min(MOST_WORKERS, cores) if pick_device(device).type == "cpu" else 1
    workers = settings.workers or usual
    return settings.model_copy(update={"workers": workers}), max(1, cores // workers)


def serve_settings(run: Path, keys: Mapping[str, Any]) -> Serve:
    """The section `[serve]` of a run, with other keys.

    Raises:
        UserError: keys that do not exist or are out of bounds, or the folder is no run.
    """
    config, _ = RunFolder(run).read()
    return check(merge(config.model_dump(), {"serve": keys}), "serve").serve

"""A translator without a model, for the tests of the server; `serve_stub.py HOST PORT` serves it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Hypothesis:
    text: str
    links: list[tuple[int, int]] | None = None


@dataclass(frozen=True)
class Looked:
    source: list[str]
    target: list[str]
    weights: list[list[float]]


@dataclass
class Reversing:
    """Reverses the words of a line; hypothesis k > 0 carries k exclamation marks. The line "crash" raises."""

    source_lang: str = "en"
    target_lang: str = "de"
    name: str = "reversing"
    limit: int = 100  # hypotheses that it finds at most
    lines: list[str] = field(default_factory=list)  # what it was asked
    threads: set[str] = field(default_factory=set)  # where
    draws: bool = False
    attends: bool = True

    def translate(
        self,
        texts: Sequence[str],
        *,
        n_best: int = 1,
        required: Sequence[Sequence[str]] | None = None,
        linked: bool = False,
    ) -> list[list[Hypothesis]]:
        if required is not None:
            assert len(required) == len(texts)
            texts = [" ".join([*reversed(words), text]) for words, text in zip(required, texts, strict=True)]
        self.lines.extend(texts)
        self.threads.add(threading.current_thread().name)
        if "crash" in texts:
            raise ValueError("secret detail")
        return [[self._answer(text.split(), k, linked) for k in range(min(n_best, self.limit))] for text in texts]

    def _answer(self, words: Sequence[str], rank: int, linked: bool) -> Hypothesis:
        links = [(len(words) - 1 - place, place) for place in range(len(words))]
        return Hypothesis(" ".join(reversed(words)) + "!" * rank, links if linked and self.attends else None)

    def attention(self, source: str, target: str) -> list[Looked]:
        """Nine tenths on the word itself, the rest on the first one; none for the word "blind"."""
        if source == "blind":
            return []
        words, written = source.split(), target.split()
        weights = [
            [0.9 * (word == one.rstrip("!")) + 0.1 * (place == 0) for place, word in enumerate(words)]
            for one in written
        ]
        return [Looked(words, written, weights)]


class Announcing(Reversing):
    """Says when it is at work on "slow", and takes its time."""

    def translate(
        self,
        texts: Sequence[str],
        *,
        n_best: int = 1,
        required: Sequence[Sequence[str]] | None = None,
        linked: bool = False,
    ) -> list[list[Hypothesis]]:
        if "slow" in texts:
            print("at work", flush=True)
            time.sleep(2.0)
        return super().translate(texts, n_best=n_best, required=required, linked=linked)


@dataclass(frozen=True)
class Said:
    text: str
    tokens: int
    finished: bool = True


@dataclass
class Echoing:
    """Says how many turns there were and repeats the last one; reply k > 0 carries k question marks."""

    name: str = "echoing"
    asked: list[dict[str, object]] = field(default_factory=list)

    def tokens(self, turns: Sequence[str]) -> int:
        return sum(len(turn.split()) for turn in turns)

    def reply(
        self,
        turns: Sequence[str],
        *,
        count: int = 1,
        temperature: float | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        max_tokens: int | None = None,
    ) -> list[Said]:
        self.asked.append({"temperature": temperature, "top_p": top_p, "seed": seed})
        if turns[-1] == "crash":
            raise ValueError("secret detail")
        words = [str(len(turns)), *turns[-1].split()]
        kept = words[:max_tokens]
        return [Said(" ".join(kept) + "?" * k, len(kept), kept == words) for k in range(count)]


def main() -> None:
    from s2s.errors import UserError
    from s2s.serve import app

    try:
        app.run(
            [Announcing()],
            host=sys.argv[1],
            port=int(sys.argv[2]),
            again=lambda: [Announcing()],
            on_ready=lambda url: print(url, flush=True),
        )
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    assert "torch" not in sys.modules
    print("stopped", flush=True)


if __name__ == "__main__":
    main()

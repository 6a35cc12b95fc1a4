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
    score: float


@dataclass
class Reversing:
    """Reverses the words of a line; hypothesis k > 0 carries k exclamation marks. The line "crash" raises."""

    source_lang: str = "en"
    target_lang: str = "de"
    name: str = "reversing"
    limit: int = 100  # hypotheses that it finds at most
    lines: list[str] = field(default_factory=list)  # what it was asked
    threads: set[str] = field(default_factory=set)  # where

    def translate(self, texts: Sequence[str], *, n_best: int = 1, beam: int | None = None) -> list[list[Hypothesis]]:
        assert beam is None
        self.lines.extend(texts)
        self.threads.add(threading.current_thread().name)
        if "crash" in texts:
            raise ValueError("secret detail")
        return [
            [Hypothesis(" ".join(reversed(text.split())) + "!" * k, -float(k)) for k in range(min(n_best, self.limit))]
            for text in texts
        ]


class Announcing(Reversing):
    """Says when it is at work on "slow", and takes its time."""

    def translate(self, texts: Sequence[str], *, n_best: int = 1, beam: int | None = None) -> list[list[Hypothesis]]:
        if "slow" in texts:
            print("at work", flush=True)
            time.sleep(0.5)
        return super().translate(texts, n_best=n_best, beam=beam)


def main() -> None:
    from s2s.errors import UserError
    from s2s.serve import app

    try:
        app.run([Announcing()], host=sys.argv[1], port=int(sys.argv[2]), on_ready=lambda url: print(url, flush=True))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    assert "torch" not in sys.modules
    print("stopped", flush=True)


if __name__ == "__main__":
    main()

"""`python -m peers.answer_ours RUN [PRECISION]`: this toolkit answers, by the functions that `s2s translate` calls."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Literal, cast

from peers.answering import Answer, serve


def load() -> tuple[Answer, Mapping[str, float]]:
    start = time.perf_counter()
    from s2s.build.words import split_search
    from s2s.passages import Wish, translate_passages
    from s2s.session import load as load_run

    imported = time.perf_counter()
    precision = cast(Literal["float32", "bfloat16", "int8"], sys.argv[2] if len(sys.argv) > 2 else "float32")
    translator = load_run(sys.argv[1], precision=precision)
    loaded = time.perf_counter()

    def answer(lines: Sequence[str], beam: int, batch: int, words: Sequence[str]) -> list[str]:
        wish = Wish(beam=beam, batch_size=batch, search=split_search(words)[1], split="never")
        return [passage.joined()[0].text for passage in translate_passages(translator, lines, wish)]

    parameters = sum(parameter.numel() for parameter in translator.model.parameters())
    return answer, {"import": imported - start, "load": loaded - imported, "parameters": parameters}


if __name__ == "__main__":
    serve(load)

"""`python -m peers.answer_onmt CHECKPOINT DATA`, in OpenNMT-py's environment: it answers."""

from __future__ import annotations

import functools
import os
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peers import settings
from peers.answering import Answer, serve


def load() -> tuple[Answer, Mapping[str, float]]:
    """An engine's beam and batch are fixed when it is made, so each pair has one, with the model's weights in it."""
    start = time.perf_counter()
    from onmt.bin import translate

    imported = time.perf_counter()

    @functools.cache
    def engine(beam: int, batch: int) -> Any:
        return translate.InferenceEnginePY(options(translate, beam, batch))

    def answer(lines: Sequence[str], beam: int, batch: int, words: Sequence[str]) -> list[str]:
        assert not words
        _, found = engine(beam, batch).infer_list(list(lines))
        return [best for best, *_ in found]

    model = engine(1, 64).translator.model
    loaded = time.perf_counter()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return answer, {"import": imported - start, "load": loaded - imported, "parameters": parameters}


def options(translate: Any, beam: int, batch: int) -> Any:
    """What `onmt_translate` makes of its words before it makes an engine; the files are never read or written."""
    model, data = sys.argv[1:3]
    search = settings.onmt_search(model, Path(data), beam=beam)
    given = {**search, "batch_size": batch, "src": os.devnull, "output": os.devnull}
    found = translate._get_parser().parse_args(settings.words(given))
    parser = translate.ArgumentParser
    steps = (
        parser.validate_translate_opts,
        parser._get_all_transform_translate,
        parser._validate_transforms_opts,
        parser.validate_translate_opts_dynamic,
    )
    for step in steps:
        step(found)
    return found


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    serve(load)

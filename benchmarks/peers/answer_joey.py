"""`python -m peers.answer_joey MODEL-FOLDER`, in JoeyNMT's environment: it answers."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from peers.answering import Answer, serve


def load() -> tuple[Answer, Mapping[str, float]]:
    """By the steps of `joeynmt translate`, whose stream of lines is filled and emptied for each call."""
    start = time.perf_counter()
    from joeynmt.config import load_config, parse_global_args
    from joeynmt.prediction import predict, prepare

    imported = time.perf_counter()
    args = parse_global_args(load_config(Path(sys.argv[1]) / "config.yaml"), mode="translate")
    model, _, _, stream = prepare(args, rank=0, mode="translate")
    loaded = time.perf_counter()

    def answer(lines: Sequence[str], beam: int, batch: int, words: Sequence[str]) -> list[str]:
        assert not words
        for line in lines:
            stream.set_item(line)
        search = args.test._replace(beam_size=beam, batch_size=batch)
        _, _, answers, *_ = predict(model, stream, args.device, args.n_gpu, args=search, autocast=args.autocast)
        stream.reset_cache()
        return list(answers)

    parameters = sum(parameter.numel() for parameter in model.parameters())
    return answer, {"import": imported - start, "load": loaded - imported, "parameters": parameters}


if __name__ == "__main__":
    serve(load)

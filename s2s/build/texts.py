"""A run of pairs of texts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from rich.console import Console

from s2s.build.corpus import Corpus, load_corpus
from s2s.build.folder import RunFolder
from s2s.build.load import check_vocabulary, make_translator
from s2s.build.prepare import prepare
from s2s.build.text import load_tokenizers
from s2s.build.trainee import Start, Trainee
from s2s.build.training import Batches, Validator, batch_limits, build_objective
from s2s.config import Config
from s2s.models import Seq2Seq
from s2s.training.log import Validation
from s2s.training.state import Progress


def text_trainee(config: Config, corpus: Corpus | None, start: Start, console: Console) -> Trainee:
    """Pairs, tokenizers and model; `corpus` is there unless a run is gone on with.

    Raises:
        UserError: whatever is wrong with files, folders or sizes.
    """
    tokenizers = None
    if (before := start.before) is not None:
        corpus = load_corpus(config.data, stdin=before.folder.stdin)
        tokenizers = load_tokenizers(before.folder.path, config.text)
        check_vocabulary(before.about, tokenizers, before.folder)
    assert corpus is not None, "a new run's pairs are read with its configuration"
    prepared = prepare(
        config,
        corpus,
        console,
        init_from=start.init_from,
        tokenizers=tokenizers,
        threads=start.threads(config),
        processes=start.processes,
    )
    config, training, model = prepared.config, prepared.config.training, prepared.model
    device, precision = torch.device(prepared.identity["device"]), prepared.identity["precision"]
    limits = *batch_limits(training), training.seed, config.model.reverse_source, training.pool

    def judge(folder: RunFolder, judged: Seq2Seq, _progress: Progress) -> Callable[[], Validation]:
        translator = make_translator(folder, config, judged, prepared.tokenizers, device)
        return partial(Validator(config, translator, corpus.valid, prepared.valid), precision)

    return Trainee(
        config,
        model,
        prepared.identity,
        prepared.tokenizers.hash,
        source=Batches(prepared.examples, *limits, prepared.mix),
        objective=lambda progress: build_objective(config, model, progress),
        judge=judge,
        about={"languages": [corpus.source_lang, corpus.target_lang], "directions": corpus.directions},
        fill=prepared.tokenizers.save,
    )

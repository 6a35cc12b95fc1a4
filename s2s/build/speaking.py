"""A run of dialogues: a flat model of pairs (what was said, the next turn), an HRED or a VHRED."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import torch
from rich.console import Console

from s2s.build.dialogue_model import kl_weight
from s2s.build.dialogues import DialogueCorpus, load_dialogues
from s2s.build.embeddings import fill_embedding
from s2s.build.folder import RunFolder
from s2s.build.inheriting import take_weights
from s2s.build.load import check_vocabulary, make_translator, new_model, reading
from s2s.build.machine import set_up
from s2s.build.say import counted, say
from s2s.build.speech import DialogueValidator
from s2s.build.text import Tokenizers, learn_tokenizer, load_tokenizers
from s2s.build.trainee import Start, Trainee
from s2s.build.training import Batches, Validator, batch_limits, build_objective, sampling_share
from s2s.config import Config, Data, Training
from s2s.corpus.dialogue.batch import DialogueBatch, DialogueSource
from s2s.corpus.dialogue.flat import encode_dialogues, flat_examples, flat_pairs
from s2s.corpus.dialogue.read import Dialogue
from s2s.corpus.examples import Encoded
from s2s.models import HRED, Loss, Seq2Seq
from s2s.models.dialogue_loss import dialogue_loss
from s2s.text.tokenizer import Tokenizer
from s2s.text.turns import Turns
from s2s.training.hardware import Precision
from s2s.training.log import Validation
from s2s.training.state import Progress, Source

Ids = list[list[int]]
"""A dialogue's turns."""


def dialogue_trainee(config: Config, corpus: DialogueCorpus | None, start: Start, console: Console) -> Trainee:
    """Dialogues, one tokenizer for all turns, and a model; `corpus` is there unless a run is gone on with.

    Raises:
        UserError: whatever is wrong with files, folders or sizes.
    """
    config = config.model_copy(update={"text": config.text.model_copy(update={"shared": True})})
    training = config.training
    if start.before is not None:
        corpus = load_dialogues(config.data, stdin=start.before.folder.stdin)
    assert corpus is not None, "a new run's dialogues are read with its configuration"
    machine = set_up(training, start.threads(config), start.processes)
    tokenizer, fresh = _tokenizer(config, corpus, start)
    tokenizers = Tokenizers(tokenizer, tokenizer)
    learned, long = _shortened(encode_dialogues(corpus.train, tokenizer), config.data.max_target)
    if long:
        corpus.notes.append(f"training: {counted(long, 'turn')} cut to {config.data.max_target} tokens")
    corpus.notes.extend(_histories_cut(learned, reading(config, tokenizer)))
    model = new_model(config, tokenizers)
    if start.init_from is not None:
        take_weights(model, RunFolder(start.init_from), tokenizers, console)
    elif fresh:
        corpus.notes.extend(_fill(config, model, tokenizer, corpus.train))
    identity = machine.identity(config, corpus.sha256)
    for note in corpus.notes:
        say(console, note)
    turns = sum(map(len, learned))
    say(
        console,
        f"{len(learned):,} training dialogues of {turns:,} turns, vocabulary of {len(tokenizer.vocabulary):,}"
        f" ({config.text.tokenizer}), {machine.describe(config, model)}",
    )
    making = _Making(config, corpus, tokenizers, machine.device, machine.precision)
    return Trainee(
        config.model_copy(update={"data": _named(config.data)}),
        model.to(machine.device),
        identity,
        tokenizers.hash,
        source=making.source(learned),
        objective=partial(making.objective, model),
        judge=making.judge,
        about={"dialogues": True},
        fill=tokenizers.save,
    )


@dataclass(frozen=True)
class _Making:
    """What the parts of a trainee have in common."""

    config: Config
    corpus: DialogueCorpus
    tokenizers: Tokenizers
    device: torch.device
    precision: Precision

    @property
    def turns(self) -> Turns:
        return reading(self.config, self.tokenizers.target)

    def source(self, learned: Sequence[Ids]) -> Source:
        training = self.config.training
        limits = batch_limits(training)
        if self.config.model.of_dialogues:
            return DialogueSource(learned, *limits, training.seed, training.pool)
        examples = Encoded([example for turns in learned for example in flat_examples(turns, self.turns)])
        return Batches(examples, *limits, training.seed, self.config.model.reverse_source, training.pool)

    def objective(self, model: Seq2Seq | HRED, progress: Progress) -> Callable[[DialogueBatch], Loss]:
        if isinstance(model, Seq2Seq):
            return build_objective(self.config, model, progress)  # type: ignore[no-any-return]
        training = self.config.training

        def loss(batch: DialogueBatch) -> Loss:
            return dialogue_loss(
                model,
                batch,
                kl_weight=kl_weight(training, progress.update),
                free_bits=training.free_bits,
                bag_of_words=training.bag_of_words,
                smoothing=training.label_smoothing,
                sampling=sampling_share(self.config.model, progress.update),
            ).loss

        return loss

    def judge(self, folder: RunFolder, model: Seq2Seq | HRED, progress: Progress) -> Callable[[], Validation]:
        translator = make_translator(folder, self.config, model, self.tokenizers, self.device)
        valid = self.corpus.valid
        pairs, encoded = list(flat_pairs(valid)), encode_dialogues(valid, self.tokenizers.target)
        if isinstance(model, HRED):
            weight = partial(_weight_now, self.config.training, progress)
            return partial(DialogueValidator(self.config, translator, model, encoded, pairs, weight), self.precision)
        examples = [example for turns in encoded for example in flat_examples(turns, self.turns)]
        return partial(Validator(self.config, translator, pairs, examples), self.precision)


def _weight_now(training: Training, progress: Progress) -> float:
    return kl_weight(training, progress.update)


def _shortened(dialogues: Sequence[Ids], most: int | None) -> tuple[list[Ids], int]:
    """Turns of at most so many tokens, and how many were cut."""
    if most is None:
        return list(dialogues), 0
    long = sum(len(turn) > most for turns in dialogues for turn in turns)
    return [[turn[:most] for turn in turns] for turns in dialogues], long


def _histories_cut(dialogues: Sequence[Ids], reader: Turns) -> list[str]:
    """A note where what was said before a training turn is longer than the model reads."""
    ends = [(turns, at) for turns in dialogues for at in range(1, len(turns))]
    cut = sum(reader.cuts(turns[:at]) for turns, at in ends)
    if not cut:
        return []
    most = reader.longest
    return [f"training: {cut:,} of {counted(len(ends), 'history', 'histories')} cut to their last {most} tokens"]


def _tokenizer(config: Config, corpus: DialogueCorpus, start: Start) -> tuple[Tokenizer, bool]:
    """The one of the run before, or learned from the training turns (then it is fresh)."""
    if start.before is not None:
        tokenizers = load_tokenizers(start.before.folder.path, config.text)
        check_vocabulary(start.before.about, tokenizers, start.before.folder)
        return tokenizers.target, False
    if start.init_from is not None:
        return load_tokenizers(start.init_from, config.text).target, False
    seed = config.training.seed
    return start.processes.alone(
        lambda: learn_tokenizer(config.text, chain.from_iterable(corpus.train), seed=seed)
    ), True


def _fill(config: Config, model: Seq2Seq | HRED, tokenizer: Tokenizer, dialogues: Sequence[Dialogue]) -> list[str]:
    """Word vectors into the embeddings; notes on what was found."""
    encoder, decoder = model.encoder.embedding, model.decoder.embedding
    notes = fill_embedding(
        encoder, config.model.side("encoder").embeddings, tokenizer, chain.from_iterable(dialogues), side="encoder"
    )
    if encoder.table is decoder.table:
        return notes
    return notes + fill_embedding(
        decoder, config.model.side("decoder").embeddings, tokenizer, chain.from_iterable(dialogues), side="decoder"
    )


def _named(data: Data) -> Data:
    return data.model_copy(
        update={"source_lang": data.source_lang or "said", "target_lang": data.target_lang or "reply"}
    )

"""What `benchmarks/gpu.py` compares: how each is built and learns, and from which batches.

Ours are made of a configuration by what `s2s train` calls, and moved by its `step`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Protocol

import torch
from layers import Precision
from peers.plain import PlainLearner, Rule, Sizes
from torch import Tensor, nn

from s2s import metrics
from s2s.build.corpus import load_corpus
from s2s.build.machine import set_up
from s2s.build.model import build_model
from s2s.build.text import make_tokenizers, training_examples
from s2s.build.training import Batches, build_objective, build_optimizer, build_schedule, build_settings
from s2s.config import Config
from s2s.config.io import check, merge, parse_overrides, read_toml
from s2s.cores import Recurrent
from s2s.cores.recurrent import choose
from s2s.corpus.batch import Batch
from s2s.corpus.examples import Encoded, Example
from s2s.models import Loss, Seq2Seq
from s2s.text.vocab import SPECIALS
from s2s.training.checkpoint import Checkpoints, Parts
from s2s.training.hardware import autocast
from s2s.training.log import Quiet
from s2s.training.processes import ALONE
from s2s.training.state import Progress, Run
from s2s.training.step import step

MODEL = Path(__file__).with_name("peers") / "s2s.toml"
PEER = "nn.LSTM"
NAMES = (PEER, "lstm", "gru")
"""The peer, and our cores."""


class Way(NamedTuple):
    """One of those that are compared."""

    name: str
    hidden: int
    precision: Precision


@dataclass(frozen=True)
class Setting:
    """What is the same for all."""

    device: str
    threads: int
    tf32: bool
    batch: int
    words: tuple[str, ...] = ()
    """section.key=value"""

    def apply(self) -> None:
        """What float32 products are, ours and the peer's."""
        torch.backends.cuda.matmul.allow_tf32 = self.tf32
        torch.backends.cudnn.allow_tf32 = self.tf32

    def config(self, way: Way | None = None, *more: str) -> Config:
        """`peers/s2s.toml` on this device, with the score, the constant rate and the weights without a moving average
        that the peer has. Without a warm-up: the loss of a few updates is to fall."""
        words = [f"training.device={self.device}", f"training.threads={self.threads}", "training.warmup=0"]
        words += ["model.attention_score=general", "training.schedule=constant", "training.ema=0"]
        words += [f"training.batch_size={self.batch}", *self.words, *more]
        if way is not None:
            core = "lstm" if way.name == PEER else way.name
            words += [f"model.core={core}", f"model.hidden_size={way.hidden}", f"training.precision={way.precision}"]
        return check(merge(read_toml(MODEL), parse_overrides(words)), str(MODEL))


@dataclass(frozen=True)
class Work:
    """What is learned from: full batches of an epoch, each of sentences of about one length."""

    source: Batches
    vocabulary: int
    updates: int
    """Of a piece, each with another batch."""

    def batches(self) -> list[Batch]:
        """In the order of epoch 1, since epoch 0 begins with its largest.

        Raises:
            SystemExit: there are fewer.
        """
        full = [rows for rows in self.source.plan(1) if len(rows) == self.source.size]
        if len(full) < self.updates:
            raise SystemExit(
                f"{len(full)} batches of {self.source.size} pairs, {self.updates} updates: lower --updates"
            )
        return [self.source.batch(rows, 1) for rows in full[: self.updates]]


def generated(setting: Setting, pairs: int, updates: int) -> Work:
    """Pairs as long as those of Multi30k in its 8,000 pieces (14.8 and 14.3 on average, with their spread and what
    one side's length says of the other's), tokens by Zipf's law.
    """
    config = setting.config()
    vocabulary, rng = config.text.vocab_size, random.Random(config.training.seed)
    assert vocabulary is not None, "peers/s2s.toml gives it"
    ids = range(len(SPECIALS), vocabulary)
    weights = [1 / (rank + 2) for rank in range(len(ids))]

    def text(logarithm: float) -> list[int]:
        return rng.choices(ids, weights, k=min(max(round(math.exp(logarithm)), 3), 52))

    logarithms = [rng.gauss(2.63, 0.353) for _ in range(pairs)]
    examples = [Example(text(source), text(0.588 + 0.768 * source + rng.gauss(0, 0.163))) for source in logarithms]
    return Work(_batches(config, examples), vocabulary, updates)


def of_corpus(setting: Setting, root: Path, updates: int) -> Work:
    """Multi30k's training pairs in pieces of their own."""
    config = setting.config(None, "data.corpus=multi30k", f"data.root={str(root)!r}")
    corpus = load_corpus(config.data)
    tokenizers = make_tokenizers(config.text, corpus, seed=config.training.seed)
    found = training_examples(config, corpus, tokenizers).examples
    examples = found.take(range(len(found.source_lengths)), 1)
    return Work(_batches(config, examples), len(tokenizers.target.vocabulary), updates)


def _batches(config: Config, examples: Sequence[Example]) -> Batches:
    seed = config.training.seed
    return Batches(Encoded(examples), config.training.batch_size, None, seed, config.model.reverse_source)


class Learner(Protocol):
    """A model with all that moves its weights."""

    @property
    def model(self) -> nn.Module: ...

    def update(self, batch: Batch) -> float | Tensor:
        """One update; returns the loss a token before it."""


class Ours:
    """A model as `s2s train` makes and moves it; nothing is validated, saved or logged."""

    def __init__(self, config: Config, work: Work) -> None:
        machine = set_up(config.training, None, ALONE)
        sizes = {"source_vocabulary": work.vocabulary, "target_vocabulary": work.vocabulary}
        self.model: Seq2Seq = build_model(config.model, **sizes).to(machine.device)
        self.device, self.precision = machine.device, machine.precision
        self._settings = build_settings(config.training, machine.precision)
        self._progress = Progress()
        self._run = self._parts(config, work)

    def _parts(self, config: Config, work: Work) -> Run:
        training = config.training
        scaler = torch.amp.GradScaler(self.device.type, enabled=False)
        return Run(
            parts=Parts(self.model, build_optimizer(training, self.model), scaler),
            device=self.device,
            objective=build_objective(config, self.model, self._progress),
            source=work.source,
            schedule=build_schedule(training, None),
            checkpoints=Checkpoints(Path()),
            validate=_never,
            better=partial(metrics.better, training.metric),
            keep=_never,
            identity={},
            log=Quiet(0),
            interrupted=lambda: "",
        )

    def update(self, batch: Batch) -> float:
        self._progress.update += 1
        rate = self._run.schedule.rate(self._progress.update)
        return step(self._run, self._settings, self._progress, [batch], rate=rate).loss

    def loss(self, batch: Batch) -> Loss:
        """What is minimised, and over how many tokens."""
        with autocast(self.device, self.precision):
            return self._run.objective(batch.to(self.device))

    def logits(self, batch: Batch) -> Tensor:
        """(B, T, V)."""
        there = batch.to(self.device)
        with autocast(self.device, self.precision):
            decoded = self.model(there.source_BS, there.source_lengths_B, there.target_in_BT)
            return self.model.logits(decoded, there.source_BS[:, :0])


def _never(*_: object, **__: object) -> NoReturn:
    raise AssertionError("nothing is validated or kept here")


def learner(way: Way, setting: Setting, work: Work) -> Learner:
    """Fresh, about to learn."""
    made: Learner = plain(way, setting, work) if way.name == PEER else Ours(setting.config(way), work)
    made.model.train()
    return made


def plain(way: Way, setting: Setting, work: Work) -> PlainLearner:
    """The peer, by the sizes and the rule of our configuration."""
    config = setting.config(way)
    model, training = config.model, config.training
    device = set_up(training, None, ALONE).device
    sizes = Sizes(
        work.vocabulary, model.embedding_size, model.hidden_size, model.embedding_dropout, model.output_dropout
    )
    clip = math.inf if training.clip_norm is None else training.clip_norm
    rule = Rule(training.learning_rate, clip, training.label_smoothing)
    return PlainLearner(sizes, rule, device, bfloat16=way.precision == "bfloat16")


def backend_of(made: Learner) -> str:
    """Which scan runs the decoder's core."""
    if not isinstance(made, Ours):
        return "torch"
    layer = made.model.decoder.stack.layers[0]
    assert isinstance(layer, Recurrent)
    kernel = choose(layer.cell.kernel, layer.backend, made.device, torch.float32)
    return "reference" if kernel is None else kernel.name


def piece(made: Learner, batches: Sequence[Batch]) -> Callable[[], Any]:
    """An update of each batch."""

    def run() -> None:
        for batch in batches:
            made.update(batch)

    return run

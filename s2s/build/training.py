"""From configuration, corpus and model to what the training loop works with."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, assert_never

import torch
from torch import nn

from s2s import metrics
from s2s.build.likelihood import reference_sums
from s2s.config import Config, Model, Training
from s2s.corpus.batch import Batch, Plan, make_batch, plan_epoch
from s2s.corpus.examples import Example, Examples
from s2s.corpus.mix import Mix
from s2s.corpus.read import Pair
from s2s.models import Seq2Seq, sequence_loss
from s2s.text.vocab import PAD
from s2s.training.hardware import Precision, autocast
from s2s.training.log import Sample, Validation
from s2s.training.schedule import Schedule
from s2s.training.state import Progress, Settings, Source
from s2s.translator import Translator


@dataclass(frozen=True)
class Batches:
    """The training examples, planned anew each epoch from seed and epoch alone (and the shares of a mix)."""

    examples: Examples
    size: int | None
    tokens: int | None
    seed: int
    reverse_source: bool
    pool: int | None = None
    mix: Mix | None = None

    def plan(self, epoch: int) -> Plan:
        sources, targets = self.examples.source_lengths, self.examples.target_lengths
        plan = partial(plan_epoch, size=self.size, tokens=self.tokens, pool=self.pool, seed=self.seed, epoch=epoch)
        if self.mix is None:
            return plan(sources, targets)
        rows = self.mix.rows(self.seed, epoch)
        return plan(sources[rows], targets[rows]).over(rows)

    def batch(self, rows: Sequence[int], epoch: int) -> Batch:
        return make_batch(self.examples.take(rows, epoch), rows, reverse_source=self.reverse_source)


def batch_limits(training: Training) -> tuple[int | None, int | None]:
    """Pairs and padded tokens a batch; the number of pairs decides where both are given."""
    return training.batch_size, training.batch_tokens if training.batch_size is None else None


def build_settings(training: Training, precision: Precision) -> Settings:
    """What the loop reads of `[training]`."""
    return Settings(
        epochs=training.epochs,
        updates=training.updates,
        minutes=training.minutes,
        accumulate=training.accumulate,
        clip_norm=training.clip_norm,
        ema=training.ema,
        validate_every=training.validate_every,
        checkpoint_every=training.checkpoint_every,
        metric=training.metric,
        patience=training.patience,
        goal=training.goal,
        goal_validations=training.goal_validations,
        precision=precision,
        divergence_factor=training.divergence_factor,
        divergence_retries=training.divergence_retries,
    )


def total_updates(training: Training, source: Source) -> int | None:
    """Updates of the whole run, as far as epochs and updates tell."""
    limits = [training.updates] if training.updates is not None else []
    if training.epochs is not None:
        limits.append(training.epochs * math.ceil(len(source.plan(0)) / training.accumulate))
    return min(limits, default=None)


def build_schedule(training: Training, total: int | None) -> Schedule:
    """The learning rate of each update."""
    return Schedule(
        kind=training.schedule,
        peak=training.learning_rate,
        warmup=training.warmup,
        total=total or 0,
        factor=training.step_factor if training.schedule == "step" else training.plateau_factor,
        patience=training.plateau_patience,
        every=training.step_every,
    )


def build_optimizer(training: Training, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser over all parameters; tied ones count once."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rate, decay = training.learning_rate, training.weight_decay
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in parameters)
    match training.optimizer:
        case "adam":
            return torch.optim.Adam(
                parameters, lr=rate, betas=training.betas, eps=training.epsilon, weight_decay=decay, fused=fused
            )
        case "adamw":
            return torch.optim.AdamW(
                parameters, lr=rate, betas=training.betas, eps=training.epsilon, weight_decay=decay, fused=fused
            )
        case "sgd":
            return torch.optim.SGD(parameters, lr=rate, momentum=training.momentum, weight_decay=decay, fused=fused)
        case _:
            assert_never(training.optimizer)


def build_objective(config: Config, model: Seq2Seq, progress: Progress) -> Any:
    """The loss of a batch, at the update under way."""
    training = config.training
    loss = partial(
        sequence_loss,
        model,
        padding=PAD,
        smoothing=training.label_smoothing,
        coverage=config.model.coverage_loss,
        agreement=training.r_drop,
    )
    return lambda batch: loss(batch, sampling=sampling_share(config.model, progress.update))


def sampling_share(model: Model, update: int) -> float:
    """Of decoder inputs that are the model's own words: from zero up to `model.scheduled_sampling`."""
    ramp = model.scheduled_sampling_updates
    return model.scheduled_sampling * (min(1.0, update / ramp) if ramp else 1.0)


class Validator:
    """Loss on all validation pairs and text metrics on the first `decode_limit`, decoded greedily."""

    def __init__(
        self, config: Config, translator: Translator, pairs: Sequence[Pair], examples: Sequence[Example]
    ) -> None:
        self.config, self.translator = config, translator
        self.pairs, self.examples = pairs, examples
        self.device = translator.device
        lengths = [len(example.source) for example in examples], [len(example.target) for example in examples]
        size, tokens = batch_limits(config.training)
        self._plan = plan_epoch(*lengths, size=size, tokens=tokens, seed=0, epoch=0, shuffle=False)

    def __call__(self, precision: Precision) -> Validation:
        started = time.monotonic()
        judged, types = self._judged(precision)
        pairs = self.pairs[: self.config.training.decode_limit]
        with types:
            scores = self._losses(judged)
            answers = judged.translate([pair.source for pair in pairs], beam=1)
        samples = []
        if pairs:
            texts = [answer[0].text for answer in answers]
            references = [pair.target for pair in pairs]
            # Of text that looks tokenised sacreBLEU warns once, with the test scores: not at every validation.
            scores |= _numbers(metrics.text_scores(texts, references, self._wanted(), warn=False))
            rows = _spread(len(pairs), self.config.training.samples)
            samples = [Sample(pairs[row].source, pairs[row].target, texts[row]) for row in rows]
        return Validation(scores, samples, time.monotonic() - started)

    def _judged(self, precision: Precision) -> tuple[Translator, AbstractContextManager[object]]:
        """What is judged, and under which types.

        On the CPU a copy of the model, in the same precision, answers faster than one that is trained. What learns in
        8 bits is judged in bfloat16.
        """
        if self.device.type == "cpu":
            return self.translator.as_it_is("bfloat16" if precision == "int8" else precision), nullcontext()
        return self.translator, autocast(self.device, precision)

    def _wanted(self) -> list[str]:
        """Exact match always; BLEU where answers are sentences; what decides in any case."""
        wanted = ["exact_match"]
        if self.config.text.tokenizer != "characters":
            wanted.append("bleu")
        metric = self.config.training.metric
        return wanted if metric in wanted or metric not in metrics.TEXT_METRICS else [*wanted, metric]

    def _losses(self, judged: Translator) -> dict[str, float]:
        sums = reference_sums(judged, self.examples, self._plan)
        return {"loss": sums.nll / max(sums.tokens, 1), "token_accuracy": sums.correct / max(sums.tokens, 1)}


def _numbers(scores: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in scores.items() if isinstance(value, float)}


def _spread(count: int, wanted: int) -> list[int]:
    """`wanted` row numbers spread evenly over `count`."""
    return sorted({round(index * (count - 1) / max(wanted - 1, 1)) for index in range(min(wanted, count))})

"""The section `[training]`: how long, how fast and by which rule."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from s2s.config.base import NonNegative, Positive, Probability, Section

Metric = Literal["loss", "exact_match", "token_accuracy", "bleu", "chrf", "ter"]


class Training(Section):
    """How long, how fast and by which rule. The first of `epochs`, `updates`, `minutes` reached ends the run."""

    epochs: NonNegative | None = Field(10, description="Passes over the training pairs.")
    updates: NonNegative | None = Field(None, description="Optimiser steps.")
    minutes: float | None = Field(None, gt=0.0, description="Wall-clock time, validation included.")
    seed: NonNegative = Field(1, description="Seed of weights, dropout and batch order.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where it runs.")
    precision: Literal["auto", "float32", "bfloat16", "float16", "int8"] = Field(
        "auto",
        description="Precision of products; auto: bfloat16 where the hardware multiplies it, else float32; int8, on"
        " processors: bfloat16, but the output layer, and gradients of what goes into other layers, in 8 bits.",
    )
    threads: Positive | None = Field(None, description="CPU threads; none: one a core, which several processes share.")
    optimizer: Literal["adam", "adamw", "sgd"] = Field("adam", description="Optimiser.")
    learning_rate: float = Field(1e-3, gt=0.0, description="Highest learning rate.")
    betas: tuple[Probability, Probability] = Field(
        (0.9, 0.999), strict=False, description="Adam: decays of the two moments."
    )
    epsilon: float = Field(1e-8, gt=0.0, description="Adam: added to the denominator.")
    momentum: Probability = Field(0.0, description="SGD: momentum.")
    weight_decay: float = Field(0.0, ge=0.0, description="Weight decay (decoupled with adamw).")
    schedule: Literal["constant", "inverse_sqrt", "noam", "step", "linear", "cosine", "plateau"] = Field(
        "constant",
        description="Of the learning rate after the warm-up: constant, 1/sqrt(update) (inverse_sqrt; noam is the same"
        " by its other name), a factor every step_every updates (step), down to zero at the end of the run (linear,"
        " cosine), or a factor when the metric stalls (plateau).",
    )
    warmup: NonNegative = Field(0, description="Updates over which the rate rises linearly from zero.")
    step_factor: float = Field(0.5, gt=0.0, le=1.0, description="step: factor of the rate.")
    step_every: Positive = Field(1_000, description="step: updates from one factor to the next.")
    plateau_factor: float = Field(0.5, gt=0.0, lt=1.0, description="plateau: factor of the rate.")
    plateau_patience: NonNegative = Field(1, description="plateau: validations without progress before the factor.")
    clip_norm: float | None = Field(5.0, gt=0.0, description="Largest norm of the gradient; none: no clipping.")
    ema: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="Decay of the moving average of the weights, which is validated and kept as the model; 0: off.",
    )
    loss: Literal["auto", "mse", "cross_entropy"] = Field(
        "auto", description="Predictor: squared error, or cross-entropy of classes; auto: what the task's answers are."
    )
    label_smoothing: Probability = Field(0.0, description="Share of probability spread over the vocabulary.")
    r_drop: float = Field(
        0.0,
        ge=0.0,
        description="Weight of R-Drop: pairs are read twice, with dropout drawn anew, and the two distributions are"
        " drawn together; 0: off.",
    )
    kl_warmup: NonNegative = Field(
        0, description="vhred: updates over which the weight of the KL divergence rises linearly from zero to one."
    )
    free_bits: float = Field(
        0.0,
        ge=0.0,
        description="vhred: nats of divergence a turn that cost nothing more, shared out evenly among the units.",
    )
    bag_of_words: float = Field(
        0.0,
        ge=0.0,
        description="vhred: weight of the loss that guesses a turn's words from context and latent variable.",
    )
    batch_size: Positive | None = Field(
        None, description="Pairs a batch, of all processes; none: batch_tokens decides."
    )
    batch_tokens: Positive | None = Field(
        4_096, description="Padded tokens (both sides) a batch, of all processes, if batch_size is none."
    )
    accumulate: Positive = Field(1, description="Batches an update: their gradients add up to that of one batch.")
    pool: Positive | None = Field(
        None, description="Batches whose pairs are sorted by length together; none: nearly all; 1: no length buckets."
    )
    validate_every: Positive | None = Field(None, description="Updates between validations; none: after each epoch.")
    checkpoint_every: Positive | None = Field(None, description="Updates between checkpoints; none: each validation.")
    keep: Positive = Field(2, description="Checkpoints kept.")
    keep_best: Positive = Field(1, description="Best models kept by the metric; above 1 in `best/`, for `s2s average`.")
    metric: Metric = Field(
        "loss", description="Decides the best model (between equals: the loss), early stopping and plateau."
    )
    patience: Positive | None = Field(
        None, description="Validations without progress before training stops; none: never."
    )
    goal: float | None = Field(None, description="The run ends once its metric is better than this.")
    goal_validations: Positive = Field(1, description="Validations in a row that have to be better than the goal.")
    divergence_factor: float = Field(
        0.5, gt=0.0, lt=1.0, description="Of the rate, each time a loss that is no number sends the run back."
    )
    divergence_retries: NonNegative = Field(
        3, description="Times that a run whose loss is no number goes back to its last checkpoint before it stops."
    )
    decode_limit: NonNegative = Field(1_000, description="Validation pairs decoded (greedily) for the text metrics.")
    samples: NonNegative = Field(3, description="Validation samples shown each time.")
    tensorboard: bool = Field(False, description="Write TensorBoard events into the run.")
    final_test: bool = Field(True, description="Score the test set when the run ends; `s2s evaluate` can later, too.")
    plots: bool = Field(True, description="Write learning curve and attention pictures (needs s2s[plot]).")

    @field_validator("threads")
    @classmethod
    def _sane(cls, value: int | None) -> int | None:
        if value is not None and value > 4_096:
            raise ValueError("more threads than any machine has")
        return value

    @model_validator(mode="after")
    def _ends(self) -> Training:
        if self.epochs is None and self.updates is None and self.minutes is None:
            raise ValueError("one of epochs, updates, minutes must be given, or the run would never end")
        if self.batch_size is None and self.batch_tokens is None:
            raise ValueError("one of batch_size, batch_tokens must be given")
        if self.schedule in ("linear", "cosine") and self.epochs is None and self.updates is None:
            raise ValueError(f"schedule = {self.schedule!r} needs epochs or updates, to know where the end is")
        if self.schedule == "noam" and not self.warmup:
            raise ValueError("schedule = 'noam' needs warmup above 0: the rate rises until then and falls after it")
        return self

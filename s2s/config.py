"""The whole configuration of a run: one schema, checked before anything starts.

Every key has its default, its bounds and its one-line meaning here (those of `[model]` in `config_model.py`) and
nowhere else. `config_io.py` reads TOML files and command-line overrides into it and words the errors.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from s2s.config_base import NonNegative, Positive, Probability, Section
from s2s.config_model import Core, Model, ResolvedSide, Side
from s2s.config_search import Search, beam_keys

__all__ = [
    "Config",
    "Core",
    "Data",
    "Metric",
    "Mixed",
    "Model",
    "ResolvedSide",
    "Search",
    "Section",
    "Serve",
    "Side",
    "Text",
    "Training",
    "beam_keys",
]

Task = Literal["bit-count", "binary-addition", "length", "adding", "copy", "reber", "pixel-mnist", "permuted-mnist"]
Metric = Literal["loss", "exact_match", "token_accuracy", "bleu", "chrf", "ter"]


Format = Literal["auto", "tsv", "jsonl", "parallel", "fixed"]


def _one_or_two(value: Any) -> Any:
    """One path may be written without the brackets."""
    paths = [value] if isinstance(value, str) else value
    if isinstance(paths, list) and len(paths) > 2:
        raise ValueError("one file of pairs, or two parallel files")
    return paths


Files = Annotated[list[str], BeforeValidator(_one_or_two)]


class Mixed(Section):
    """One `[[data.mix]]`: training pairs besides those of `[data]`."""

    corpus: str = Field("", description="A corpus card, whose training pairs are taken; its files as for data.corpus.")
    train: Files = Field([], description="One file of pairs, or two parallel files, `.gz` too.")
    format: Format = Field("auto", description="How the files are read.")
    source_lang: str = Field("", description="Language code; empty: from file suffixes, else as data.source_lang.")
    target_lang: str = Field("", description="Language code; empty: from file suffixes, else as data.target_lang.")
    weight: float | None = Field(None, gt=0.0, description="Share of each epoch, beside the other weights.")

    @model_validator(mode="after")
    def _has_pairs(self) -> Mixed:
        if bool(self.corpus) == bool(self.train):
            raise ValueError("expected train (files of pairs) or corpus (a corpus card), one of the two")
        if "-" in self.train:
            raise ValueError("standard input (-) can be data.train alone")
        return self


class Data(Section):
    """Where the pairs come from and which of them are used."""

    corpus: str = Field("", description="A corpus card or a built-in generator (`s2s data list`).")
    task: Task | None = Field(
        None, description="A sequence task with a generator of its own, for model.kind = 'predictor'."
    )
    length: Positive | None = Field(None, description="Of the task's sequences (bits, steps); none: as published.")
    root: str = Field("", description="Folder that already holds the corpus card's files (`--from DIR`).")
    train: Files = Field([], description="One file of pairs, or two parallel files; `.gz` and `-` (stdin) too.")
    valid: Files = Field([], description="Validation pairs, as for train; empty: held out from train.")
    test: Files = Field([], description="Test pairs, as for train; scored once at the end.")
    format: Format = Field("auto", description="How the files are read.")
    source_lang: str = Field("", description="Language code of the source; empty: from file suffixes, else `src`.")
    target_lang: str = Field("", description="Language code of the target; empty: from file suffixes, else `tgt`.")
    train_size: Positive = Field(45_000, description="Pairs that a generator makes for training.")
    valid_size: Positive = Field(1_000, description="Pairs held out (or generated) for validation, 10 % at most.")
    test_size: Positive = Field(5_000, description="Pairs that a generator makes for testing.")
    seed: NonNegative = Field(1, description="Seed of generators and of the held-out split.")
    skip_bad: bool = Field(False, description="Count malformed lines instead of stopping at the first.")
    max_source: Positive | None = Field(100, description="Longest source in tokens; longer training pairs are dropped.")
    max_target: Positive | None = Field(100, description="Longest target in tokens; longer training pairs are dropped.")
    max_ratio: float | None = Field(None, gt=1.0, description="Largest ratio of lengths (in tokens) between the sides.")
    drop_duplicates: bool = Field(False, description="Drop training pairs that stand in the corpus more than once.")
    drop_identical: bool = Field(False, description="Drop training pairs whose source and target are the same text.")
    mapped: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Whether training pairs stay on the disk, in a store that is made once, and are read when their"
        " batch is made; auto: from 256 MiB of files on (gzip counts four times).",
    )
    store: str = Field("", description="Folder for such stores; empty: `stores` in S2S_CACHE or ~/.cache/s2s.")
    weight: float | None = Field(
        None,
        gt=0.0,
        description="With a mix: share of each epoch that these training pairs have, beside the weights in the mix;"
        " none: every pair once an epoch.",
    )
    mix: list[Mixed] = Field(
        [],
        description="More training pairs, one [[data.mix]] a corpus: train (files) or corpus (a card), format,"
        " source_lang, target_lang, weight. Validation and test pairs are those of [data].",
    )

    @model_validator(mode="after")
    def _all_weighted_or_none(self) -> Data:
        given = [weight is not None for weight in (self.weight, *(one.weight for one in self.mix))]
        if any(given) and not all(given):
            raise ValueError("weights are shares beside each other: give data.weight and one to each data.mix, or none")
        return self


class Text(Section):
    """How text becomes tokens."""

    tokenizer: Literal["characters", "words", "unigram", "bpe"] = Field(
        "unigram", description="Characters, words, or SentencePiece (unigram or BPE, trained inside the run)."
    )
    vocab_size: Positive | None = Field(
        8_000, description="Largest vocabulary; none: all tokens that min_count allows."
    )
    min_count: Positive = Field(1, description="Rarer characters or words become <unk>.")
    shared: bool = Field(False, description="One vocabulary for both sides.")
    lowercase: bool = Field(
        False, description="Lower-case both sides before tokenising; scores compare with the references as they are."
    )
    tags: bool = Field(
        False,
        description="Each source begins with a token of its target language, so that one model writes several: those of"
        " data.target_lang and of each data.mix.",
    )
    character_coverage: float = Field(1.0, gt=0.0, le=1.0, description="SentencePiece: share of characters kept.")
    subword_sampling: float = Field(
        0.0,
        ge=0.0,
        description="SentencePiece, in training: subwords are drawn anew for each batch. bpe: share of merges left out"
        " (BPE dropout, such as 0.1); unigram: exponent of their probabilities (such as 0.2; near 0 all are alike)."
        " 0: always the likeliest.",
    )

    @model_validator(mode="after")
    def _sampling_fits(self) -> Text:
        if self.subword_sampling and self.tokenizer not in ("unigram", "bpe"):
            raise ValueError(f"subword_sampling is of unigram and bpe, but tokenizer is {self.tokenizer!r}")
        if self.tokenizer == "bpe" and self.subword_sampling >= 1:
            raise ValueError(f"subword_sampling of bpe is a share below 1, got {self.subword_sampling:g}")
        return self


class Training(Section):
    """How long, how fast and by which rule. The first of `epochs`, `updates`, `minutes` reached ends the run."""

    epochs: NonNegative | None = Field(10, description="Passes over the training pairs.")
    updates: NonNegative | None = Field(None, description="Optimiser steps.")
    minutes: float | None = Field(None, gt=0.0, description="Wall-clock time, validation included.")
    seed: NonNegative = Field(1, description="Seed of weights, dropout and batch order.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where it runs.")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Precision of products; auto: bfloat16 where the hardware multiplies it, else float32."
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
    divergence_factor: float = Field(
        0.5, gt=0.0, lt=1.0, description="Of the rate, each time a loss that is no number sends the run back."
    )
    divergence_retries: NonNegative = Field(
        3, description="Times that a run whose loss is no number goes back to its last checkpoint before it stops."
    )
    decode_limit: NonNegative = Field(1_000, description="Validation pairs decoded (greedily) for the text metrics.")
    samples: NonNegative = Field(3, description="Validation samples shown each time.")
    tensorboard: bool = Field(False, description="Write TensorBoard events into the run.")
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


class Serve(Section):
    """The REST endpoint."""

    host: str = Field("127.0.0.1", description="Address; the loopback by default.")
    port: int = Field(5000, ge=0, le=65535, description="Port; 0: any free one.")
    char_limit: int = Field(-1, ge=-1, description="Longest request in characters; -1: none.")
    batch_limit: int = Field(-1, ge=-1, description="Most texts a request; -1: none.")


class Config(Section):
    """One run."""

    name: str = Field("", description="Name of the run; empty: of the recipe or file.")
    data: Data = Field(Data(), description="Where the pairs come from and which of them are used.")
    text: Text = Field(Text(), description="How text becomes tokens.")
    model: Model = Field(Model(), description="The network.")
    training: Training = Field(Training(), description="How long, how fast and by which rule.")
    search: Search = Field(Search(), description="How answers are found.")
    serve: Serve = Field(Serve(), description="The REST endpoint.")

    @model_validator(mode="after")
    def _predicts(self) -> Config:
        """A task and a predictor belong together."""
        if self.data.task and self.model.kind != "predictor":
            raise ValueError(f"data.task = {self.data.task!r} is answered by a predictor: set model.kind = 'predictor'")
        if self.model.kind != "predictor":
            for key in ("model.pooling", "model.input_layer", "training.loss", "data.length"):
                if _changed(self, key):
                    raise ValueError(f"{key} is of predictors; leave it out, or set data.task and model.kind")
            return self
        if not self.data.task:
            raise ValueError("model.kind = 'predictor' needs data.task, such as 'adding'")
        if unread := [key for key in _OF_TEXTS if _changed(self, key)]:
            raise ValueError(f"a predictor does not read {', '.join(unread)}; leave these keys out")
        if self.training.batch_size is None:
            raise ValueError("a predictor needs training.batch_size, the examples a batch")
        if self.training.metric not in ("loss", "exact_match", "token_accuracy"):
            raise ValueError(
                f"training.metric = {self.training.metric!r} is of texts; a predictor has loss, exact_match (all"
                " answers of an example right) and token_accuracy (share of right answers)"
            )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.model.tie == "all" and not self.text.shared:
            raise ValueError("model.tie = 'all' ties both embeddings, which needs text.shared = true")
        if self.model.copying and not self.text.shared:
            raise ValueError("model.copying makes words of the source words of the target: set text.shared = true")
        if self.model.copying and self.training.r_drop:
            raise ValueError("training.r_drop is of models that do not copy; leave it or model.copying out")
        if self.model.tie == "all":
            encoder, decoder = self.model.side("encoder"), self.model.side("decoder")
            if encoder.embedding_size != decoder.embedding_size:
                raise ValueError("model.tie = 'all' needs the same embedding_size on both sides")
        if (
            self.training.metric != "loss"
            and self.training.metric != "token_accuracy"
            and not self.training.decode_limit
        ):
            raise ValueError(f"training.metric = {self.training.metric!r} needs training.decode_limit above 0")
        for name in ("coverage_penalty", "replace_unknown"):
            if getattr(self.search, name) and self.model.attention == "none":
                raise ValueError(f"search.{name} needs attention; choose a model.attention other than 'none'")
        if self.search.replace_unknown and self.text.tokenizer not in ("characters", "words"):
            raise ValueError(
                f"search.replace_unknown is for characters and words; text.tokenizer = {self.text.tokenizer!r} writes"
                " whatever stands in its training text, so there is nothing to replace"
            )
        return self


_OF_TEXTS = (
    *(f"data.{key}" for key in ("corpus", "train", "valid", "test", "train_size", "mix")),
    *(f"model.{key}" for key in ("embedding_dropout", "word_dropout", "embeddings", "reverse_source", "copying")),
    *(f"training.{key}" for key in ("label_smoothing", "r_drop", "batch_tokens", "pool")),
)
"""Keys that do nothing for a predictor."""


def _changed(config: Config, key: str) -> bool:
    """Whether `section.key` has another value than its default."""
    section, name = key.split(".")
    part = getattr(config, section)
    return bool(getattr(part, name) != type(part).model_fields[name].default)

"""The whole configuration of a run: one schema, checked before anything starts.

Every key has its default, its bounds and its one-line meaning here and nowhere else. `config_io.py` reads TOML files
and command-line overrides into it and words the errors.
"""

from __future__ import annotations

from types import NoneType
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Core = Literal["elman", "lstm", "gru", "rwa", "statistical", "sru"]
Metric = Literal["loss", "exact_match", "token_accuracy", "bleu", "chrf", "ter"]

Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[int, Field(ge=0)]
Probability = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """Strict: an unknown key is an error, and nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _none_is_spelt(cls, values: Any) -> Any:
        """TOML has no null, so `none` stands for it where a key may be empty."""
        if not isinstance(values, dict):
            return values
        return {key: None if value == "none" and cls.may_be_none(key) else value for key, value in values.items()}

    @classmethod
    def may_be_none(cls, key: str) -> bool:
        """Whether a key of this section may be left empty."""
        field = cls.model_fields.get(key)
        return field is not None and NoneType in get_args(field.annotation)


class Data(Section):
    """Where the pairs come from and which of them are used."""

    corpus: str = Field("", description="A corpus card (`s2s data list`) or a built-in generator (`dates`).")
    root: str = Field("", description="Folder that already holds the corpus card's files (`--from DIR`).")
    train: list[str] = Field([], description="One file of pairs, or two parallel files; `.gz` and `-` (stdin) too.")
    valid: list[str] = Field([], description="Validation pairs, as for train; empty: held out from train.")
    test: list[str] = Field([], description="Test pairs, as for train; scored once at the end.")
    format: Literal["auto", "tsv", "jsonl", "parallel", "fixed"] = Field("auto", description="How the files are read.")
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

    @field_validator("train", "valid", "test", mode="before")
    @classmethod
    def _one_or_two(cls, value: Any) -> Any:
        """One path may be written without the brackets."""
        paths = [value] if isinstance(value, str) else value
        if isinstance(paths, list) and len(paths) > 2:
            raise ValueError("one file of pairs, or two parallel files")
        return paths


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
    lowercase: bool = Field(False, description="Lower-case both sides before tokenising.")
    character_coverage: float = Field(1.0, gt=0.0, le=1.0, description="SentencePiece: share of characters kept.")


class Side(Section):
    """Keys of one side of the model; a key left out takes the value of `[model]`."""

    core: Core | str | None = Field(None, description="Recurrent core of this side.")
    hidden_size: Positive | None = Field(None, description="Width of each recurrent layer (each direction).")
    layers: Positive | None = Field(None, description="Recurrent layers.")
    embedding_size: Positive | None = Field(None, description="Width of the embeddings.")
    bidirectional: bool | None = Field(None, description="Read in both directions (encoder only).")
    residual: bool | None = Field(None, description="Residual connections around the layers after the first.")
    dropout: Probability | None = Field(None, description="Dropout between layers.")
    embedding_dropout: Probability | None = Field(None, description="Dropout on embeddings.")
    variational_dropout: bool | None = Field(None, description="One dropout mask for all steps of a sequence.")


class Model(Section):
    """The network. Keys here hold for both sides; `[model.encoder]` and `[model.decoder]` win."""

    kind: Literal["seq2seq"] = Field("seq2seq", description="Which model is built.")
    core: Core | str = Field(
        "lstm",
        description="elman, lstm, gru, rwa, statistical (alias sru: the Statistical Recurrent Unit), or one's own as"
        " python:package.module:Class.",
    )
    hidden_size: Positive = Field(256, description="Width of each recurrent layer (each direction).")
    layers: Positive = Field(1, description="Recurrent layers of each side.")
    embedding_size: Positive = Field(256, description="Width of the embeddings.")
    bidirectional: bool = Field(True, description="The encoder reads in both directions.")
    residual: bool = Field(False, description="Residual connections around the layers after the first.")
    dropout: Probability = Field(0.0, description="Dropout between layers.")
    embedding_dropout: Probability = Field(0.0, description="Dropout on embeddings.")
    output_dropout: Probability = Field(0.0, description="Dropout before the output layer.")
    variational_dropout: bool = Field(False, description="One dropout mask for all steps of a sequence.")
    attention: Literal["none", "bahdanau", "luong", "book", "joey"] = Field(
        "luong", description="Preset of score x query x feed x readout, or none."
    )
    attention_score: Literal["dot", "general", "additive"] | None = Field(None, description="Overrides the preset.")
    attention_query: Literal["previous", "current"] | None = Field(None, description="Overrides the preset.")
    attention_feed: Literal["none", "context", "attentional"] | None = Field(None, description="Overrides the preset.")
    readout: Literal["affine", "tanh", "deep"] | None = Field(
        None, description="Before the output layer: nothing, tanh layer of [context; state], or of both and embedding."
    )
    bridge: Literal["copy", "output", "linear", "tanh"] = Field(
        "tanh", description="Encoder to decoder: whole state, last output only, or a (tanh) layer of the last output."
    )
    peeky: bool = Field(False, description="The encoder's last output joins every decoder input and readout.")
    reverse_source: bool = Field(False, description="Feed the source backwards.")
    tie: Literal["none", "decoder", "all"] = Field(
        "none", description="Share weights: target embedding with output layer, or source embedding too."
    )
    init: Literal["torch", "normal", "truncated_normal", "xavier", "he"] = Field(
        "torch", description="Initial weights."
    )
    init_std: float = Field(0.1, gt=0.0, description="Standard deviation of normal and truncated_normal.")
    recurrent_init: Literal["same", "orthogonal"] = Field("same", description="Initial recurrent weights.")
    embedding_std: float | None = Field(
        None, gt=0.0, description="Standard deviation of the initial embeddings; none: 1 / sqrt(embedding_size)."
    )
    activation: Literal["tanh", "relu", "sigmoid"] = Field("tanh", description="Elman: activation.")
    forget_bias: float | None = Field(None, description="LSTM: initial bias of the forget gate.")
    peephole: bool = Field(False, description="LSTM: the gates see the cell.")
    forget_gate: bool = Field(True, description="LSTM: with forget gate.")
    reset: Literal["after", "before"] = Field("after", description="GRU: reset after or before the product.")
    phi_size: Positive = Field(200, description="Statistical RU: width of phi.")
    recurrent_size: Positive = Field(60, description="Statistical RU: width of r.")
    decays: list[Annotated[float, Field(ge=0.0, lt=1.0)]] = Field(
        [0.0, 0.25, 0.5, 0.9, 0.99], min_length=1, description="Statistical RU: decays of its averages."
    )
    variant: Literal["full", "iid", "recurrent", "multiscale"] = Field("full", description="Statistical RU: ablation.")
    backend: Literal["auto", "reference", "native"] = Field("auto", description="Which scan runs the cores.")
    encoder: Side = Field(Side(), description="Keys of the encoder.")
    decoder: Side = Field(Side(), description="Keys of the decoder.")

    def side(self, name: Literal["encoder", "decoder"]) -> ResolvedSide:
        """The keys of one side, with those of `[model]` where the side is silent. A decoder reads in one direction."""
        own: Side = getattr(self, name)
        values = {
            key: getattr(self, key) if getattr(own, key) is None else getattr(own, key) for key in Side.model_fields
        }
        if name == "decoder" and own.bidirectional is None:
            values["bidirectional"] = False
        if values["core"] == "sru":
            values["core"] = "statistical"
        return ResolvedSide(**values)

    @model_validator(mode="after")
    def _consistent(self) -> Model:
        if self.decoder.bidirectional:
            raise ValueError("decoder.bidirectional: a decoder writes from left to right; leave this key out")
        if self.bridge == "copy":
            self._same_on_both_sides("copy hands the encoder's whole state over")
        query = self.attention_query or ("previous" if self.attention == "bahdanau" else "current")
        if query == "previous" and self.attention_feed == "attentional":
            raise ValueError("attention_feed: the attentional vector needs attention_query = 'current'")
        if self.attention == "none" and (self.attention_score or self.attention_query or self.attention_feed):
            raise ValueError("attention = 'none' takes no attention_score, attention_query or attention_feed")
        return self

    def _same_on_both_sides(self, why: str) -> None:
        encoder, decoder = self.side("encoder"), self.side("decoder")
        for key in ("core", "hidden_size", "layers"):
            if (left := getattr(encoder, key)) != (right := getattr(decoder, key)):
                raise ValueError(
                    f"bridge = 'copy': {why}, so {key} must be equal, but is {left!r} and {right!r}; use tanh"
                )
        if encoder.bidirectional:
            raise ValueError(f"bridge = 'copy': {why}, so bidirectional must be false; or use bridge = 'tanh'")


class ResolvedSide(Section):
    """One side of the model with every key decided."""

    core: str
    hidden_size: int
    layers: int
    embedding_size: int
    bidirectional: bool
    residual: bool
    dropout: float
    embedding_dropout: float
    variational_dropout: bool


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
    threads: Positive | None = Field(None, description="CPU threads; none: one a core.")
    optimizer: Literal["adam", "adamw", "sgd"] = Field("adam", description="Optimiser.")
    learning_rate: float = Field(1e-3, gt=0.0, description="Highest learning rate.")
    betas: tuple[Probability, Probability] = Field((0.9, 0.999), description="Adam: decays of the two moments.")
    epsilon: float = Field(1e-8, gt=0.0, description="Adam: added to the denominator.")
    momentum: Probability = Field(0.0, description="SGD: momentum.")
    weight_decay: float = Field(0.0, ge=0.0, description="Weight decay (decoupled with adamw).")
    schedule: Literal["constant", "inverse_sqrt", "linear", "cosine", "plateau"] = Field(
        "constant",
        description="Of the learning rate after the warm-up: constant, 1/sqrt(update), down to zero at the end of the"
        " run (linear, cosine), or halved when the metric stalls (plateau).",
    )
    warmup: NonNegative = Field(0, description="Updates over which the rate rises linearly from zero.")
    plateau_factor: float = Field(0.5, gt=0.0, lt=1.0, description="plateau: factor of the rate.")
    plateau_patience: NonNegative = Field(1, description="plateau: validations without progress before the factor.")
    clip_norm: float | None = Field(5.0, gt=0.0, description="Largest norm of the gradient; none: no clipping.")
    label_smoothing: Probability = Field(0.0, description="Share of probability spread over the vocabulary.")
    batch_size: Positive | None = Field(None, description="Pairs a batch; none: batch_tokens decides.")
    batch_tokens: Positive | None = Field(
        4_096, description="Padded tokens (both sides) a batch, if batch_size is none."
    )
    pool: Positive | None = Field(
        None, description="Batches whose pairs are sorted by length together; none: nearly all; 1: no length buckets."
    )
    validate_every: Positive | None = Field(None, description="Updates between validations; none: after each epoch.")
    checkpoint_every: Positive | None = Field(None, description="Updates between checkpoints; none: each validation.")
    keep: Positive = Field(2, description="Checkpoints kept.")
    metric: Metric = Field("loss", description="Decides the best model, early stopping and the plateau.")
    patience: Positive | None = Field(
        None, description="Validations without progress before training stops; none: never."
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
        return self


class Search(Section):
    """How answers are found."""

    beam: Positive = Field(1, description="Beam width; 1 is greedy.")
    length_penalty: float = Field(1.0, ge=0.0, description="Exponent a of Wu's ((5 + length) / 6)^a; 0: none.")
    max_length: Positive = Field(200, description="Longest answer in tokens.")
    max_ratio: float = Field(3.0, gt=0.0, description="Longest answer as a multiple of the source's length (plus 10).")
    batch_size: Positive = Field(64, description="Sentences decoded at once.")


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
    def _consistent(self) -> Config:
        if self.model.tie == "all" and not self.text.shared:
            raise ValueError("model.tie = 'all' ties both embeddings, which needs text.shared = true")
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
        return self

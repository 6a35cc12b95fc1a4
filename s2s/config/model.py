"""The `[model]` section: the network and its two sides.

Every key has its default, its bounds and its one-line meaning here and nowhere else.
"""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from s2s.config.base import NonNegative, Positive, Probability, Section

Core = Literal["elman", "lstm", "gru", "rwa", "statistical", "sru"]

_CORES = [*get_args(Core), "python:package.module:Class"]


def _known_core(name: str) -> str:
    """A core of the toolkit, or a path to one's own."""
    module, _, made = name.removeprefix("python:").partition(":")
    if name in _CORES[:-1] or (name.startswith("python:") and module and made):
        return name
    near = difflib.get_close_matches(name, _CORES, n=1)
    raise ValueError(f"no such core; expected {', '.join(_CORES)}" + (f". Did you mean {near[0]}?" if near else ""))


CoreName = Annotated[str, AfterValidator(_known_core), Field(json_schema_extra={"enum": list(_CORES)})]


class Layers(Section):
    """Keys of the recurrent layers of one part of the model; a key left out takes the value of `[model]`."""

    core: CoreName | None = Field(None, description="Recurrent core of this side.")
    hidden_size: Positive | None = Field(None, description="Width of each recurrent layer (each direction).")
    layers: Positive | None = Field(None, description="Recurrent layers.")
    residual: bool | None = Field(None, description="Residual connections around the layers after the first.")
    dropout: Probability | None = Field(None, description="Dropout between layers.")
    variational_dropout: bool | None = Field(None, description="One dropout mask for all steps of a sequence.")
    recurrent_dropout: Probability | None = Field(None, description="Dropout of recurrent weights.")
    layer_norm: bool | None = Field(None, description="Layer-normalised LSTM or GRU.")


class Side(Layers):
    """Keys of one side of the model; a key left out takes the value of `[model]`."""

    embedding_size: Positive | None = Field(None, description="Width of the embeddings.")
    bidirectional: bool | None = Field(None, description="Read in both directions (encoder only).")
    embedding_dropout: Probability | None = Field(None, description="Dropout on embeddings.")
    word_dropout: Probability | None = Field(None, description="Share of tokens read as <unk>.")
    embeddings: str | None = Field(None, description="File of word vectors that the embeddings start from.")
    freeze_embeddings: bool | None = Field(None, description="Embeddings do not learn.")


class Model(Section):
    """The network. Keys here hold for both sides; `[model.encoder]` and `[model.decoder]` win."""

    kind: Literal["seq2seq", "hred", "vhred", "predictor"] = Field(
        "seq2seq",
        description="Which model is built: one that writes a sequence, one of dialogues (hred, or vhred with a latent"
        " variable a turn), or (for data.task) one that answers with numbers or a class. A predictor reads the keys of"
        " the encoder.",
    )
    core: CoreName = Field(
        "lstm",
        description="Recurrent core; sru is an alias of statistical, the Statistical Recurrent Unit; one's own as"
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
    recurrent_dropout: Probability = Field(
        0.0, description="Dropout of the weights that read the last state, one mask a batch (DropConnect)."
    )
    word_dropout: Probability = Field(0.0, description="Share of tokens read as <unk> in training, drawn for each.")
    layer_norm: bool = Field(False, description="Layer-normalised LSTM or GRU (gates and cell).")
    embeddings: str | None = Field(
        None, description="File of word vectors (word2vec, as text or binary, or GloVe) to start from."
    )
    freeze_embeddings: bool = Field(False, description="Embeddings keep their start and do not learn.")
    attention: Literal["none", "bahdanau", "luong", "book", "joey"] = Field(
        "luong",
        description="Preset of score x query x feed x readout, or none. Of hred and vhred: over the words of all turns"
        " before; left out: none.",
    )
    attention_score: Literal["dot", "general", "additive"] | None = Field(None, description="Overrides the preset.")
    attention_query: Literal["previous", "current"] | None = Field(None, description="Overrides the preset.")
    attention_feed: Literal["none", "context", "attentional"] | None = Field(None, description="Overrides the preset.")
    readout: Literal["affine", "tanh", "deep"] | None = Field(
        None, description="Before the output layer: nothing, tanh layer of [context; state], or of both and embedding."
    )
    coverage: bool = Field(
        False, description="The additive score sees how much attention each source position got so far."
    )
    coverage_loss: float = Field(0.0, ge=0.0, description="Weight of the penalty on attending to the same again.")
    context_gate: Literal["none", "source", "target", "both"] = Field(
        "none", description="A gate in the readout between what source and target say, and which of them it scales."
    )
    copying: bool = Field(
        False, description="Words of the source may be copied by attention, also unknown ones (pointer-generator)."
    )
    scheduled_sampling: Probability = Field(
        0.0, description="Share of decoder inputs in training that are the model's own words, at the end of its ramp."
    )
    scheduled_sampling_updates: NonNegative = Field(
        10_000, description="Updates over which that share rises linearly from zero."
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
        "xavier", description="Initial weights."
    )
    init_std: float = Field(0.1, gt=0.0, description="Standard deviation of normal and truncated_normal.")
    recurrent_init: Literal["same", "orthogonal"] = Field("orthogonal", description="Initial recurrent weights.")
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
    conditioning: Literal["every", "first"] = Field(
        "every",
        description="hred, vhred: what the turns before say joins every decoder input and readout, or only"
        " the decoder's first state.",
    )
    latent_size: Positive = Field(100, description="vhred: width of the latent variable.")
    pooling: Literal["state", "last", "mean", "attention"] = Field(
        "state",
        description="Predictor: what its answer is read from: the last state of each direction, the output at the last"
        " step (of which a backward direction has read no more), the mean of all outputs, or what one learned query"
        " attends to. An answer at each step needs none.",
    )
    input_layer: bool = Field(
        False, description="Predictor: an affine layer (of symbols: an embedding) of embedding_size before the core."
    )
    backend: Literal["auto", "reference", "native", "fused", "compiled", "triton"] = Field(
        "auto", description="Which scan runs the cores."
    )
    segment: Positive | None = Field(
        None, description="Steps of a segment that the backward recomputes; none: all is kept. For long sequences."
    )
    encoder: Side = Field(Side(), description="Keys of the encoder.")
    decoder: Side = Field(Side(), description="Keys of the decoder.")
    context: Layers = Field(Layers(), description="Keys of the core of hred and vhred that steps once a turn.")

    @property
    def of_dialogues(self) -> bool:
        """Whether it reads and writes dialogues, turn by turn."""
        return self.kind in ("hred", "vhred")

    def side(self, name: Literal["encoder", "decoder", "context"]) -> ResolvedSide:
        """The keys of one side, with those of `[model]` where the side is silent. Only an encoder reads both ways."""
        own: Layers = getattr(self, name)
        said = {key: value for key in type(own).model_fields if (value := getattr(own, key)) is not None}
        values = {key: said.get(key, getattr(self, key)) for key in Side.model_fields}
        if name != "encoder":
            values["bidirectional"] = False
        if values["core"] == "sru":
            values["core"] = "statistical"
        return ResolvedSide(**values)

    @model_validator(mode="before")
    @classmethod
    def _no_attention_unless_asked_for(cls, keys: Any) -> Any:
        if isinstance(keys, dict) and keys.get("kind") in ("hred", "vhred"):
            return {"attention": "none", **keys}
        return keys

    @model_validator(mode="after")
    def _of_dialogues_or_not(self) -> Model:
        if not self.of_dialogues:
            if self.context != Layers() or self.conditioning != "every":
                raise ValueError("context and conditioning are of dialogues; set kind = 'hred' or 'vhred'")
        elif unread := [key for key in _OF_PAIRS if getattr(self, key) != type(self).model_fields[key].default]:
            raise ValueError(f"kind = {self.kind!r} does not read {', '.join(unread)}; leave these keys out")
        elif self.encoder.word_dropout:
            raise ValueError("the encoder of dialogues reads whole turns: word_dropout is of the decoder alone")
        elif self.bridge == "copy":
            raise ValueError("bridge = 'copy' is of pairs; the context is no state of the decoder's core: use 'tanh'")
        if self.latent_size != type(self).model_fields["latent_size"].default and self.kind != "vhred":
            raise ValueError("latent_size is of kind = 'vhred'")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Model:
        if self.decoder.bidirectional:
            raise ValueError("decoder.bidirectional: a decoder writes from left to right; leave this key out")
        self._layer_norm_fits("encoder")
        self._layer_norm_fits("decoder")
        if self.of_dialogues:
            self._layer_norm_fits("context")
        if self.bridge == "copy":
            self._same_on_both_sides("copy hands the encoder's whole state over")
        query = self.attention_query or ("previous" if self.attention == "bahdanau" else "current")
        feed = self.attention_feed or ("attentional" if self.attention == "joey" else "none")
        if query == "previous" and feed == "attentional":
            raise ValueError(
                "the attentional vector needs attention_query = 'current', but it is 'previous'; change it, or set"
                " attention_feed = 'context' or 'none'"
            )
        if self.attention == "none" and (self.attention_score or self.attention_query or self.attention_feed):
            raise ValueError("attention = 'none' takes no attention_score, attention_query or attention_feed")
        self._attention_options_fit()
        self._embeddings_fit()
        return self

    def _embeddings_fit(self) -> None:
        encoder, decoder = self.side("encoder"), self.side("decoder")
        if self.tie == "all" and encoder.embeddings != decoder.embeddings:
            raise ValueError("tie = 'all' makes one embedding of both, so name one file: model.embeddings")
        frozen = decoder.freeze_embeddings or (self.tie == "all" and encoder.freeze_embeddings)
        if self.tie != "none" and frozen:
            raise ValueError(
                f"freeze_embeddings: with tie = {self.tie!r} the output layer is the embedding and would not learn"
                " either; set tie = 'none', or decoder.freeze_embeddings = false"
            )

    def _attention_options_fit(self) -> None:
        score = self.attention_score or ("additive" if self.attention in ("bahdanau", "joey") else "")
        if self.coverage and score != "additive":
            raise ValueError("coverage enters the additive score; set attention_score = 'additive', or leave it out")
        if self.coverage_loss and self.attention == "none":
            raise ValueError("coverage_loss needs attention, but attention is 'none'")
        if self.copying and self.attention == "none":
            raise ValueError("copying needs attention, which points at what is copied, but attention is 'none'")
        readout = self.readout or ("affine" if self.attention in ("book", "none") else "tanh")
        if self.context_gate != "none" and (self.attention == "none" or readout == "affine"):
            raise ValueError("context_gate needs attention and readout = 'tanh' or 'deep'; leave it out, or set these")

    def _layer_norm_fits(self, name: Literal["encoder", "decoder", "context"]) -> None:
        side = self.side(name)
        if not side.layer_norm:
            return
        if side.core not in ("lstm", "gru"):
            raise ValueError(
                f"layer_norm: there is a layer-normalised lstm and gru, but the {name}'s core is {side.core!r}; change"
                f" the core, or set {name}.layer_norm = false"
            )
        if side.core == "lstm" and (self.peephole or not self.forget_gate):
            raise ValueError(
                "layer_norm: the layer-normalised lstm has a forget gate and no peepholes; leave these keys"
            )

    def _same_on_both_sides(self, why: str) -> None:
        encoder, decoder = self.side("encoder"), self.side("decoder")
        for key in ("core", "hidden_size", "layers"):
            if (left := getattr(encoder, key)) != (right := getattr(decoder, key)):
                raise ValueError(
                    f"bridge = 'copy': {why}, so {key} must be equal, but is {left!r} and {right!r}; use tanh"
                )
        if encoder.bidirectional:
            raise ValueError(f"bridge = 'copy': {why}, so bidirectional must be false; or use bridge = 'tanh'")


_OF_PAIRS = ("peeky", "reverse_source", "copying", "coverage_loss")
"""Keys that do nothing for dialogues."""


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
    recurrent_dropout: float
    word_dropout: float
    layer_norm: bool
    embeddings: str | None
    freeze_embeddings: bool

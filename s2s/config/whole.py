"""The sections as one configuration, and what must fit between them."""

from __future__ import annotations

from pydantic import Field, model_validator

from s2s.config.base import Section
from s2s.config.data import Data
from s2s.config.model import Model
from s2s.config.search import Search
from s2s.config.serve import Serve
from s2s.config.text import Text
from s2s.config.training import Training


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
    def _speaks(self) -> Config:
        """What is of dialogues, and of those with a latent variable."""
        if self.model.kind != "vhred":
            for key in _OF_LATENT:
                if _changed(self, key):
                    raise ValueError(f"{key} is of model.kind = 'vhred'; leave it out")
        if self.model.of_dialogues and self.training.r_drop:
            raise ValueError("training.r_drop is of pairs; leave it out")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.model.tie == "all" and not (self.text.shared or self.model.of_dialogues):
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
        if self.search.replace_unknown and self.text.tokenizer not in ("characters", "words", "spaces"):
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

_OF_LATENT = ("training.kl_warmup", "training.free_bits", "training.bag_of_words")


def _changed(config: Config, key: str) -> bool:
    """Whether `section.key` has another value than its default."""
    section, name = key.split(".")
    part = getattr(config, section)
    return bool(getattr(part, name) != type(part).model_fields[name].default)

"""The section `[text]`: how text becomes tokens."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from s2s.config.base import Positive, Section


class Text(Section):
    """How text becomes tokens."""

    tokenizer: Literal["characters", "words", "spaces", "unigram", "bpe"] = Field(
        "unigram",
        description="Characters, words, what stands between spaces, or SentencePiece (unigram or BPE, trained inside"
        " the run).",
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

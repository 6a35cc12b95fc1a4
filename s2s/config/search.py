"""The section `[search]`: how answers are found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, model_validator

from s2s.config.base import NonNegative, Positive, Section

SAMPLING = ("temperature", "top_k", "top_p")
"""Keys that do nothing without `sample`."""


class Search(Section):
    """How answers are found."""

    beam: Positive = Field(1, description="Beam width; 1 is greedy. Sampling does not read it.")
    length_penalty: float = Field(1.0, ge=0.0, description="Exponent a of the length penalty; 0: none.")
    length_penalty_kind: Literal["none", "wu", "average"] = Field(
        "wu", description="Scores are divided by 1, by Wu's ((5 + length) / 6)^a, or by length^a (average)."
    )
    coverage_penalty: float = Field(
        0.0, ge=0.0, description="Strength of Wu's penalty for source tokens that no attention fell on; 0: none."
    )
    max_length: Positive = Field(200, description="Longest answer in tokens.")
    max_ratio: float = Field(3.0, gt=0.0, description="Longest answer as a multiple of the source's length (plus 10).")
    min_length: NonNegative = Field(0, description="Shortest answer in tokens.")
    min_ratio: float = Field(0.0, ge=0.0, description="Shortest answer as a multiple of the source's length.")
    no_repeat_ngram: NonNegative = Field(
        0, description="So many tokens in a row are not written twice; 0: they may be."
    )
    groups: Positive = Field(1, description="Parts of the beam that keep away from each other; they divide the beam.")
    diversity: float = Field(0.5, ge=0.0, description="groups: taken from a token for each group that just wrote it.")
    sample: bool = Field(False, description="Draw tokens by their probability; n-best lists are then so many samples.")
    temperature: float = Field(1.0, gt=0.0, description="sample: below 1 sharpens the probabilities, above 1 flattens.")
    top_k: NonNegative = Field(0, description="sample: only of the k likeliest tokens; 0: of all.")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="sample: only of the fewest tokens with so much probability.")
    seed: NonNegative = Field(1, description="sample: seed; with a text's number in a call it decides what is drawn.")
    prefix: str | None = Field(None, description="How every answer begins; none: as the model likes.")
    required: list[str] = Field([], description="Words or phrases that every answer holds.")
    banned: list[str] = Field([], description="Words or phrases that no answer holds, as the tokenizer spells them.")
    replace_unknown: bool = Field(
        False, description="Write <unk>, and put the source word there that had most attention (words, characters)."
    )
    shortlist: NonNegative = Field(
        0,
        le=100,
        description="Write likely tokens only, so many of each source token (`s2s shortlist`); 0: all.",
    )
    batch_size: Positive = Field(64, description="Sentences decoded at once.")

    @model_validator(mode="after")
    def _possible(self) -> Search:
        if problems := [*self._lengths(), *self._ways()]:
            raise ValueError("; ".join(problems))
        return self

    def _lengths(self) -> Iterator[str]:
        if self.min_length > self.max_length:
            yield f"min_length = {self.min_length} is above max_length = {self.max_length}"
        if self.min_ratio > self.max_ratio:
            yield f"min_ratio = {self.min_ratio} is above max_ratio = {self.max_ratio}"

    def _ways(self) -> Iterator[str]:
        """Options that do not go together, or do nothing alone."""
        if not all(text.strip() for text in [*self.required, *self.banned]):
            yield "required and banned hold words, got a blank one"
        if self.sample and (self.groups > 1 or self.required):
            yield "sample = true draws each answer by itself; groups and required need beam search"
        if self.groups > 1 and self.required:
            yield "required words share the beam out in their own way; groups must be 1"
        if not self.sample and self.beam % self.groups:
            yield f"groups = {self.groups} must divide beam = {self.beam}"
        idle = [name for name in SAMPLING if getattr(self, name) != type(self).model_fields[name].default]
        if idle and not self.sample:
            yield f"{', '.join(idle)}: only for sampling; set sample = true"


def beam_keys(width: int) -> dict[str, Any]:
    """The keys that make any search a beam search of this width; a single hypothesis has one group."""
    fields = Search.model_fields
    reset = {name: fields[name].default for name in ("sample", *SAMPLING)}
    return {**reset, "beam": width, **({"groups": 1} if width == 1 else {})}

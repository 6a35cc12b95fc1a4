"""The section `[data]`: where the pairs come from and which of them are used."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from s2s.config.base import NonNegative, Positive, Section

Task = Literal["bit-count", "binary-addition", "length", "adding", "copy", "reber", "pixel-mnist", "permuted-mnist"]
Format = Literal["auto", "tsv", "jsonl", "parallel", "fixed", "turns-tsv", "turns-jsonl", "cornell"]


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
    max_turns: int | None = Field(
        None, ge=2, description="Longest dialogue in turns; a longer one is cut into windows that follow each other."
    )
    join_contractions: bool | None = Field(
        None, description="Dialogues: read `don ’ t` as `don't`; none: as the corpus card says, else no."
    )
    context_turns: Positive | None = Field(
        None, description="Turns before a reply that the source of a flat model of dialogues holds; none: all."
    )
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

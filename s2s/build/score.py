"""`s2s score`: how likely a model finds given pairs, one line a pair, and all of them together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from s2s.build.load import Device, load_translator
from s2s.build.say import counted, say
from s2s.build.streams import json_line, writing
from s2s.corpus.direction import check_direction
from s2s.corpus.read import Pair, ReadResult, read_pairs
from s2s.errors import UserError
from s2s.scoring import Score, align_pairs, has_empty_side, perplexity, pharaoh, score_pairs
from s2s.text.turns import TURN, Turns
from s2s.translator import Translator


@dataclass(frozen=True)
class Scoring:
    """The words of `s2s score`."""

    run: Path
    files: Sequence[str]
    """One file of pairs, or two parallel files."""
    to: str | None = None
    """The language of the targets, of a run with several."""
    batch_size: int | None = None
    output: Path | None = None
    alignments: Path | None = None
    json: bool = False
    total: bool = False
    """Only what all pairs together have."""
    skip_bad: bool = False
    device: Device = "auto"


def score_verb(asked: Scoring, console: Console) -> None:
    """Write a line for each pair, in order, and say the total.

    Raises:
        UserError: whatever is wrong with run, files or lines; files under `output` and `alignments` are not touched.
    """
    translator = load_translator(asked.run, device=asked.device)
    translator = translator if asked.to is None else translator.to(asked.to)
    keys = (translator.source_lang, translator.target_lang)
    check_direction(asked.files, keys)
    result = _pairs(translator, asked)
    if result.bad:
        say(console, f"skipped {counted(result.bad, 'bad line')} of {result.where}")
    with ExitStack() as files:
        output = files.enter_context(writing(asked.output, "--output"))
        if asked.alignments is not None:
            refuse_without_attention(translator)
            links = files.enter_context(writing(asked.alignments, "--alignments"))
            found = align_pairs(translator, result.pairs, batch_size=asked.batch_size)
            links.writelines(f"{pharaoh(each)}\n" for each in found)
        scores = score_pairs(translator, result.pairs, batch_size=asked.batch_size)
        _tell_gaps(result.pairs, scores, console)
        total = _total(scores)
        if asked.total:
            output.write(json_line(total) if asked.json else f"{_words(total)}\n")
        else:
            line = _json if asked.json else _text
            output.writelines(line(pair, score) for pair, score in zip(result.pairs, scores, strict=True))
            say(console, f"{result.where}: {_words(total)}")


def _pairs(translator: Translator, asked: Scoring) -> ReadResult:
    """The pairs; to whoever gives dialogues to a run of dialogues is said what goes here."""
    try:
        return read_pairs(
            asked.files,
            skip_bad=asked.skip_bad,
            source_key=translator.source_lang,
            target_key=translator.target_lang,
        )
    except UserError as error:
        if not isinstance(translator.source, Turns):
            raise
        raise UserError(
            f"{error} {asked.run} is of dialogues, and `s2s score` is of pairs: give it what was said ({TURN}"
            f" before each turn), a TAB and the reply; whole test dialogues are scored by `s2s evaluate {asked.run}`"
        ) from None


def refuse_without_attention(translator: Translator) -> None:
    """UserError where there is nothing to align by."""
    if not translator.members.attend:
        raise UserError(
            f"{translator.name}: the model has no attention, so there are no alignments. Leave --alignments out, or"
            " train with model.attention"
        )


def _tell_gaps(pairs: Sequence[Pair], scores: Sequence[Score | None], console: Console) -> None:
    missing = [(number, pair) for number, pair in enumerate(pairs, start=1) if scores[number - 1] is None]
    for what, numbers in (
        ("an empty side", [number for number, pair in missing if has_empty_side(pair)]),
        ("too long", [number for number, pair in missing if not has_empty_side(pair)]),
    ):
        if numbers:
            shown = ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
            say(console, f"warning: not scored, {what}: {len(numbers):,} of {len(pairs):,} pairs ({shown})")


def _total(scores: Sequence[Score | None]) -> dict[str, Any]:
    scored = [score for score in scores if score is not None]
    tokens = sum(len(score.tokens) for score in scored)
    log_p = math.fsum(score.log_probability for score in scored)
    per_token = log_p / tokens if tokens else None
    return {
        "pairs": len(scores),
        "scored": len(scored),
        "tokens": tokens,
        "log_probability": log_p,
        "per_token": per_token,
        "perplexity": None if per_token is None else _finite(perplexity(per_token)),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _words(total: dict[str, Any]) -> str:
    counts = f"{total['scored']:,} of {total['pairs']:,} pairs, {total['tokens']:,} tokens"
    if total["per_token"] is None:
        return f"{counts}: nothing to score"
    ease = "beyond any number" if total["perplexity"] is None else f"{total['perplexity']:.4f}"
    per_token = f"{total['per_token']:.4f} a token"
    return f"{counts}: log-probability {total['log_probability']:.4f}, {per_token}, perplexity {ease}"


def _text(_: Pair, score: Score | None) -> str:
    if score is None:
        return "-\t-\t-\t0\n"
    return f"{score.log_probability:.4f}\t{score.per_token:.4f}\t{score.perplexity:.4f}\t{len(score.tokens)}\n"


def _json(pair: Pair, score: Score | None) -> str:
    found: dict[str, Any] = {"log_probability": None, "per_token": None, "perplexity": None}
    if score is not None:
        found = {
            "log_probability": score.log_probability,
            "per_token": score.per_token,
            "perplexity": _finite(score.perplexity),
            "tokens": score.tokens,
            "token_scores": score.token_scores,
        }
    return json_line({"source": pair.source, "target": pair.target, **found})

"""What a run of dialogues leaves behind: perplexities of all and of clean test dialogues, and what replies are like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from s2s import plots
from s2s.build.dialogues import DialogueCorpus, load_dialogues
from s2s.build.folder import RunFolder
from s2s.build.likelihood import perplexity
from s2s.build.load import Device, load_translator
from s2s.build.replies import Asked, replies_text, reply_scores
from s2s.build.say import counted, drawn_if_possible, say
from s2s.build.speech import latent_facts, predict
from s2s.corpus.batch import plan_epoch
from s2s.corpus.dialogue.flat import encode_dialogues, flat_examples
from s2s.corpus.dialogue.read import Dialogue
from s2s.errors import UserError
from s2s.evaluation.kneser_ney import KneserNey
from s2s.models import HRED
from s2s.text.tokenizer import Tokenizer
from s2s.text.turns import Turns
from s2s.text.vocab import EOS
from s2s.training.files import write_json, write_text
from s2s.training.hardware import judging_precision
from s2s.translator import Translator

ORDER = 5
"""Of the Kneser-Ney model beside every run."""
SAMPLES_AT_THE_END = 10
"""Of the latent variable, a turn, when a run ends; a minute for some thousand turns. `s2s evaluate` takes more."""
_MOST = 5_000_000
"""Training tokens that it is made of at most: a million take some ten seconds."""


def dialogue_scores(translator: Translator, corpus: DialogueCorpus, asked: Asked) -> dict[str, Any]:
    """Every test turn given the turns before it, the first included; and replies to them.

    Perplexities are of sums over turns: a token (end marks included), and a word, where words are separated by white
    space and each end counts as one, so that runs with unlike tokenizers compare. `clean` is over the dialogues that
    share no two turns in a row with the training set. With a latent variable `loss` is importance-sampled, each turn
    with its own samples; `bound` is reconstruction + kl. `kneser_ney` is the perplexity a token of a model of n-grams
    that learned the training turns in the same tokens.
    """
    corpus, called = corpus.scored()
    if not corpus.test:
        raise UserError(f"{translator.name}: has neither test nor validation dialogues left to be scored on")
    columns, more = _turns(translator, corpus.test, asked)
    columns |= _baseline(translator.target, corpus)
    row = np.repeat(np.arange(len(corpus.test)), [len(dialogue) for dialogue in corpus.test])
    owner = row if corpus.parts is None or called != "test" else np.array(corpus.parts)[row]
    parts = {"all": np.ones(len(owner), bool), "clean": np.isin(row, corpus.clean)}
    found: dict[str, Any] = {"of": called, "n": len(set(owner.tolist())), "turns": len(owner)}
    for name, inside in parts.items():
        if inside.any():
            scores = {"dialogues": len(set(owner[inside].tolist())), **_summed(columns, inside)}
            found = {**found, **scores} if name == "all" else {**found, name: scores}
    return {**found, **more, "replies": reply_scores(translator, corpus, asked)}


Columns = dict[str, np.ndarray]
"""One number a turn: nll, right, tokens, words, with a latent variable reconstruction and kl, and Kneser-Ney's nll."""


def _baseline(tokenizer: Tokenizer, corpus: DialogueCorpus) -> Columns:
    """Ends of turns and unknown words are tokens like any other, and each turn begins without history."""
    told, asked = (
        [[*turn, EOS] for turn in chain.from_iterable(encode_dialogues(dialogues, tokenizer))]
        for dialogues in (corpus.train, corpus.test)
    )
    if sum(map(len, told)) > _MOST:
        return {}
    return {"kneser_ney": -KneserNey.fit(told, order=ORDER, size=len(tokenizer.vocabulary)).scores(asked)}


def _turns(translator: Translator, dialogues: Sequence[Dialogue], asked: Asked) -> tuple[Columns, dict[str, Any]]:
    words = np.array([len(turn.split()) + 1 for turn in chain.from_iterable(dialogues)])
    encoded = encode_dialogues(dialogues, translator.target)
    precision = judging_precision(translator.config.training.precision, translator.device)
    if isinstance(translator.model, HRED):
        found = predict(translator.model, encoded, translator.device, precision, samples=asked.samples)
        columns = {"nll": found.nll, "right": found.right, "tokens": found.tokens, "words": words}
        if found.latent is None:
            return columns, {}
        columns |= {"reconstruction": found.reconstruction, "kl": found.kl}
        return columns, {"samples": asked.samples, **latent_facts(found.latent)}
    assert isinstance(translator.source, Turns)
    examples = [example for turns in encoded for example in flat_examples(turns, translator.source)]
    lengths = [len(one.source) for one in examples], [len(one.target) for one in examples]
    columns = {name: np.zeros(len(examples)) for name in ("nll", "right")}
    for rows in plan_epoch(*lengths, size=None, tokens=4_096, seed=0, epoch=0, shuffle=False):
        chosen = [examples[row] for row in rows]
        read = translator.members.read([one.source for one in chosen], [one.target for one in chosen])
        sizes = [len(one.target) + 1 for one in chosen]
        for row, log_p, right in zip(
            rows, torch.split(read.log_p_N, sizes), torch.split(read.right_N, sizes), strict=True
        ):
            columns["nll"][row], columns["right"][row] = -float(log_p.double().sum()), int(right.sum())
    return {**columns, "tokens": np.array(lengths[1]) + 1, "words": words}, {}


def _summed(columns: Columns, inside: np.ndarray) -> dict[str, float]:
    sums = {name: float(values[inside].sum()) for name, values in columns.items()}
    tokens, words = sums["tokens"], sums["words"]
    found = {
        "loss": sums["nll"] / tokens,
        "perplexity": perplexity(sums["nll"] / tokens),
        "perplexity_per_word": perplexity(sums["nll"] / words),
        "token_accuracy": sums["right"] / tokens,
        "tokens": tokens,
        "words": words,
    }
    if "kneser_ney" in sums:
        found["kneser_ney"] = perplexity(sums["kneser_ney"] / tokens)
    if "kl" not in sums:
        return found
    return {
        **found,
        "bound_per_word": perplexity((sums["reconstruction"] + sums["kl"]) / words),
        "reconstruction": sums["reconstruction"] / words,
        "kl": sums["kl"] / words,
        "kl_turn": sums["kl"] / max(int(inside.sum()), 1),
    }


def load_and_score(run: Path, asked: Asked, *, device: Device = "auto") -> dict[str, Any]:
    """The scores of a run on its own test dialogues."""
    translator = load_translator(run, device=device)
    translator.translate([], search=asked.search)  # checks the keys
    return dialogue_scores(translator, load_dialogues(translator.config.data, stdin=RunFolder(run).stdin), asked)


def finish_dialogues(path: Path, corpus: DialogueCorpus | None, console: Console) -> None:
    """Score the test dialogues, draw the learning curve, write the card. Without a corpus it is read again."""
    folder = RunFolder(path)
    config, _ = folder.read()
    translator = load_translator(path, device=config.training.device, threads=config.training.threads)
    corpus = corpus or load_dialogues(config.data, stdin=folder.stdin)
    scores: dict[str, Any] = {}
    if corpus.test and config.training.final_test:
        say(console, f"scoring {len(corpus.test):,} test dialogues of {sum(map(len, corpus.test)):,} turns")
        scores = dialogue_scores(translator, corpus, Asked(samples=SAMPLES_AT_THE_END))
        write_json(folder.scores, scores)
        say(console, spoken_text(scores))
    if config.training.plots:
        drawn_if_possible(partial(_draw, folder, translator, console), console)
    write_text(folder.card, _card(translator, scores))


def _draw(folder: RunFolder, translator: Translator, console: Console) -> None:
    metric = translator.config.training.metric
    path = folder.plots / "learning-curve.png"
    plots.learning_curve(path, folder.log_lines(), metric=metric, title=translator.name)
    say(console, f"pictures: {folder.plots}")


def spoken_text(scores: Mapping[str, Any]) -> str:
    """Scores for people."""
    lines = [f"{scores['of']}, every turn: {_line(scores)}"]
    if "clean" in scores:
        lines.append(f"clean ({scores['clean']['dialogues']:,} dialogues): {_line(scores['clean'])}")
    if "active_units" in scores:
        lines.append(
            f"latent variable: {counted(round(scores['active_units']), 'active unit')}, variances"
            f" {scores['posterior_variance']:.4f} (posterior) and {scores['prior_variance']:.4f} (prior),"
            f" {scores['samples']} samples a turn"
        )
    if "kneser_ney" in scores:
        clean = f" ({scores['clean']['kneser_ney']:.2f} clean)" if "clean" in scores else ""
        lines.append(
            f"Kneser-Ney of order {ORDER}: perplexity {scores['kneser_ney']:.2f}{clean} a token; only perplexities"
            " of the same tokens compare"
        )
    if scores.get("replies"):
        lines += replies_text(scores["replies"])
    return "\n".join(lines)


def _line(scores: Mapping[str, Any]) -> str:
    text = (
        f"perplexity {scores['perplexity_per_word']:.2f} a word, {scores['perplexity']:.2f} a token, accuracy"
        f" {100 * scores['token_accuracy']:.2f} %"
    )
    if "kl" not in scores:
        return text
    return (
        f"{text}; bound {scores['bound_per_word']:.2f} a word = reconstruction {scores['reconstruction']:.4f}"
        f" + KL {scores['kl']:.4f} nats a word ({scores['kl_turn']:.2f} a turn)"
    )


def _card(translator: Translator, scores: Mapping[str, Any]) -> str:
    """The model in words (Markdown)."""
    model = translator.config.model
    parameters = sum(parameter.numel() for parameter in translator.model.parameters())
    lines = [
        f"# {translator.name}",
        "",
        f"A recurrent model of dialogues ({model.kind}), made with s2s.",
        "",
        f"- model: {model.core}, {model.layers} layer(s) of {model.hidden_size}, {parameters:,} parameters",
    ]
    if scores:
        lines += ["", "## Test scores", "", "```", spoken_text(scores), "```"]
    return "\n".join([*lines, ""])

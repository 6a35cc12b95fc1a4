"""Training without a configuration: look at the pairs, choose, and say why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from s2s.corpus.read import Pair

SAMPLE = 20_000
"""Pairs that are looked at; more would change nothing but the time."""


@dataclass
class Choice:
    """Values for a configuration with the reason of each."""

    tree: dict[str, dict[str, Any]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def set(self, key: str, value: Any, why: str = "") -> None:
        """One key; the reason is shown to the user and written beside the value."""
        section, _, name = key.partition(".")
        self.tree.setdefault(section, {})[name] = value
        if why:
            self.reasons[key] = why


@dataclass(frozen=True)
class Look:
    """What the pairs are like."""

    pairs: int
    characters: float
    """Mean length of a side."""
    words: float
    """Mean number of words of a side."""
    same_script: bool
    """Whether the two sides share most of their characters."""


def look(pairs: Sequence[Pair]) -> Look:
    """Statistics over an even sample of the pairs."""
    step = max(1, len(pairs) // SAMPLE)
    sample = pairs[::step]
    texts = [text for pair in sample for text in pair]
    left, right = _letters(pair.source for pair in sample), _letters(pair.target for pair in sample)
    return Look(
        pairs=len(pairs),
        characters=sum(map(len, texts)) / len(texts),
        words=sum(len(text.split()) for text in texts) / len(texts),
        same_script=len(left & right) >= 0.6 * len(left | right),
    )


def _letters(texts: Iterable[str]) -> set[str]:
    """The characters that are seen more than once in a while."""
    from collections import Counter

    counts = Counter(character for text in texts for character in text.lower())
    total = sum(counts.values())
    return {character for character, count in counts.items() if count >= 1e-4 * total}


def choose(pairs: Sequence[Pair], *, epochs: int | None = None) -> Choice:
    """Tokenizer, sizes, regularisation, budget (for `epochs`, if the user has said how many) and search."""
    seen, choice = look(pairs), Choice()
    strings = seen.words <= 3 and seen.characters <= 60
    if strings:
        _choose_for_strings(seen, choice)
    else:
        _choose_for_sentences(seen, choice)
    _choose_budget(seen, choice, epochs, strings=strings)
    return choice


def _choose_for_strings(seen: Look, choice: Choice) -> None:
    why = f"{seen.words:.1f} words and {seen.characters:.0f} characters a side: short strings"
    choice.set("text.tokenizer", "characters", why)
    choice.set("text.vocab_size", "none")
    choice.set("model.embedding_size", 64, "characters are few")
    choice.set("model.hidden_size", 256 if seen.pairs >= 5_000 else 128, f"{seen.pairs:,} training pairs")
    choice.set("model.embedding_std", 1.0, "so that attention takes hold early")
    choice.set("model.output_dropout", 0.1 if seen.pairs >= 5_000 else 0.3)
    choice.set("training.pool", 1, "no length buckets: lengths of short strings give their kind away")
    choice.set("training.metric", "exact_match", "short answers are right or wrong")
    choice.set("search.beam", 1, "greedy is enough for short strings")


def _choose_for_sentences(seen: Look, choice: Choice) -> None:
    steps = ((5_000, 1_000), (20_000, 4_000), (200_000, 8_000), (2_000_000, 16_000))
    vocabulary = next((size for limit, size in steps if seen.pairs < limit), 32_000)
    choice.set("text.tokenizer", "unigram", f"{seen.words:.1f} words a side: sentences, so subwords")
    choice.set("text.vocab_size", vocabulary, f"{seen.pairs:,} training pairs")
    choice.set("text.shared", seen.same_script, "both sides share their letters" if seen.same_script else "two scripts")
    choice.set("model.tie", "all" if seen.same_script else "decoder", "fewer parameters, better scores")
    large = seen.pairs >= 500_000
    width = 512 if large else 256 if seen.pairs >= 5_000 else 128
    choice.set("model.embedding_size", width, f"{seen.pairs:,} training pairs")
    choice.set("model.hidden_size", width)
    choice.set("model.layers", 2 if large else 1)
    dropout = 0.1 if large else 0.3
    choice.set("model.dropout", dropout, "less data, more dropout")
    choice.set("model.embedding_dropout", dropout)
    choice.set("model.output_dropout", dropout)
    choice.set("training.label_smoothing", 0.1)
    choice.set("training.metric", "bleu")
    choice.set("search.beam", 5)


def _choose_budget(seen: Look, choice: Choice, epochs: int | None, *, strings: bool) -> None:
    """About 600,000 pairs in all, at most 300 epochs, in batches small enough for at least 20 updates an epoch."""
    epochs = epochs or min(300, max(3, round(600_000 / seen.pairs)))
    tokens = seen.pairs * 2 * ((seen.characters if strings else 1.5 * seen.words) + 1)
    budget = int(min(4_096, max(256, tokens / 20)))
    updates = max(1, round(tokens / budget))
    choice.set("training.epochs", epochs, f"about {epochs * seen.pairs:,} pairs seen")
    choice.set("training.batch_tokens", budget, f"about {updates:,} updates an epoch")
    if epochs > 30:
        choice.set("training.validate_every", updates * epochs // 30, "about 30 validations in all")
    if seen.pairs >= 5_000:
        choice.set("training.patience", 3 if strings else 6, "stops early when nothing improves")
    choice.set("training.learning_rate", 2e-3)
    choice.set("training.schedule", "cosine")
    choice.set("training.warmup", min(200, epochs * updates // 10))

"""A trained model with its tokenizers: text in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from s2s import search
from s2s.config import Config
from s2s.models import Memory, Seq2Seq
from s2s.text.tokenizer import Tokenizer
from s2s.text.vocab import BOS, EOS, PAD, UNK


class Translation(NamedTuple):
    """One answer to one text."""

    text: str
    score: float
    """Log-probability over the length penalty; 0 for a blank text."""
    log_probability: float
    finished: bool
    """False where the length limit cut the answer off."""


class Alignment(NamedTuple):
    """Which source piece each written piece looked at."""

    source: list[str]
    target: list[str]
    weights: list[list[float]]
    """One row a target piece, one column a source piece; each row sums to 1."""


class Translator:
    """A trained model that answers. Safe to call from several threads: no state is kept between calls.

    Args:
        model: in evaluation mode.
        source, target: the tokenizers it was trained with.
        config: of the run; `[search]` has the defaults.
        name: of the run.
        languages: codes of source and target.
        device: where the model is.
    """

    def __init__(
        self,
        model: Seq2Seq,
        source: Tokenizer,
        target: Tokenizer,
        *,
        config: Config,
        name: str,
        languages: tuple[str, str],
        device: torch.device,
    ) -> None:
        self.model, self.source, self.target = model, source, target
        self.config, self.name, self.device = config, name, device
        self.source_lang, self.target_lang = languages

    def translate(
        self,
        texts: Sequence[str],
        *,
        n_best: int = 1,
        beam: int | None = None,
        length_penalty: float | None = None,
        max_length: int | None = None,
        batch_size: int | None = None,
    ) -> list[list[Translation]]:
        """Up to `n_best` answers to each text, best first; N texts in, N lists out; a blank text gives one blank.

        Args:
            texts: one sentence each; white space alone is a blank.
            n_best: answers a text; the beam is at least as wide.
            beam: beam width; 1 is greedy; None takes the run's.
            length_penalty: exponent of Wu's penalty; None takes the run's.
            max_length: longest answer in tokens; None takes the run's.
            batch_size: sentences decoded at once; None takes the run's.

        Raises:
            ValueError: a number below 1.
        """
        settings = self.config.search
        beam = settings.beam if beam is None else beam
        size = settings.batch_size if batch_size is None else batch_size
        longest = settings.max_length if max_length is None else max_length
        if min(beam, size, n_best, longest) < 1:
            got = f"{beam}, {n_best}, {size} and {longest}"
            raise ValueError(f"beam, n_best, batch_size and max_length must be at least 1, got {got}")
        results: list[list[Translation]] = [[Translation("", 0.0, 0.0, True)] for _ in texts]
        encoded = dict(enumerate(self.source.encode_batch(list(texts))))
        rows = sorted(
            (row for row in encoded if encoded[row] and texts[row].strip()), key=lambda row: len(encoded[row])
        )
        exponent = settings.length_penalty if length_penalty is None else length_penalty
        for start in range(0, len(rows), size):
            chunk = rows[start : start + size]
            found = self._search([encoded[row] for row in chunk], max(beam, n_best), exponent, longest)
            for row, hypotheses in zip(chunk, found, strict=True):
                results[row] = [self._translation(hypothesis) for hypothesis in hypotheses[:n_best]]
        return results

    def _search(
        self, sources: Sequence[Sequence[int]], width: int, exponent: float, max_length: int
    ) -> list[list[search.Hypothesis]]:
        ratio = self.config.search.max_ratio
        longest = [min(max_length, int(ratio * len(ids)) + 10) for ids in sources]
        limits = search.Limits(bos=BOS, eos=EOS, longest=longest, forbidden=(PAD, BOS, UNK))
        with torch.inference_mode():
            memory = self._encode(sources)
            if width == 1:
                return [[one] for one in search.greedy(self.model, memory, limits, length_penalty=exponent)]
            return search.beam(self.model, memory, limits, width=width, length_penalty=exponent)

    def _encode(self, sources: Sequence[Sequence[int]]) -> Memory:
        lengths = torch.tensor([len(ids) for ids in sources])
        padded = torch.full((len(sources), int(lengths.max())), PAD)
        for row, ids in enumerate(sources):
            order = list(reversed(ids)) if self.config.model.reverse_source else list(ids)
            padded[row, : len(ids)] = torch.tensor(order)
        return self.model.encode(padded.to(self.device), lengths)

    def _translation(self, hypothesis: search.Hypothesis) -> Translation:
        text = self.target.decode(hypothesis.tokens)
        return Translation(text, hypothesis.score, hypothesis.log_probability, hypothesis.finished)

    def align(self, source: str, target: str | None = None) -> Alignment | None:
        """Attention weights while writing `target` (or the model's own answer); None for a model without attention."""
        source_ids = self.source.encode(source)
        if not source_ids or self.model.decoder.attention is None:
            return None
        if target is None:
            (best,) = self._search([source_ids], 1, 0.0, self.config.search.max_length)[0]
            target_ids = best.tokens
        else:
            target_ids = self.target.encode(target)
        with torch.inference_mode():
            inputs = torch.tensor([[BOS, *target_ids]], device=self.device)
            _, weights = self.model.decoder(inputs, self._encode([source_ids]))
        rows = weights[0].float()
        if self.config.model.reverse_source:
            rows = rows.flip(1)
        pieces = [*self.target.pieces(target_ids), "</s>"]
        return Alignment(self.source.pieces(source_ids), pieces, rows.tolist())

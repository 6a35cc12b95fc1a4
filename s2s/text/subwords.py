"""SentencePiece (Kudo and Richardson 2018, arXiv 1808.06226), unigram or BPE, trained in memory inside the run."""

from __future__ import annotations

import functools
import hashlib
import io
import logging
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from s2s.errors import UserError
from s2s.text.ids import content, encodable
from s2s.text.saved import Saved, damaged, missing, replace_file, write_saved
from s2s.text.vocab import BOS, EOS, PAD, SPECIALS, UNK, Vocabulary

DEFAULT_SIZE = 8000
LARGEST_SAMPLE = 1_000_000  # texts; more of them take hours of training and do not change the pieces
_LONGEST_TEXT = 65_536  # bytes; the library drops longer ones, and its own limit of 4,192 would lose whole paragraphs
_SILENT = 3  # log level: the library writes to stderr from C++ and says the same in the exception

_log = logging.getLogger("s2s")


@dataclass(frozen=True)
class Subwords:
    """A SentencePiece model. Text passes its NFKC normalisation (runs of white space become one space), and
    `lowercase` is applied before it."""

    kind: Literal["unigram", "bpe"]
    model: bytes = field(repr=False)
    lowercase: bool = False

    @classmethod
    def train(
        cls,
        kind: Literal["unigram", "bpe"],
        texts: Iterable[str],
        *,
        vocab_size: int | None = None,
        lowercase: bool = False,
        character_coverage: float = 1.0,
        seed: int = 1,
        threads: int = 4,
        reserved: Sequence[str] = (),
    ) -> Subwords:
        """A model of `vocab_size` pieces; a smaller one, with a line in the log, when the texts have no more."""
        asked = DEFAULT_SIZE if vocab_size is None else vocab_size
        lines = [encodable(text.lower() if lowercase else text) for text in texts if text.strip()]
        if not lines:
            raise UserError(f"a {kind} tokenizer needs text, got none. Give a corpus whose lines are not all empty.")
        if len(lines) > LARGEST_SAMPLE:
            lines = random.Random(seed).sample(lines, LARGEST_SAMPLE)
        trained = cls(kind, _train(kind, lines, asked, character_coverage, threads, reserved), lowercase)
        if len(trained.vocabulary) < asked:
            _log.info("%s vocabulary: asked for %d pieces, the text gave %d", kind, asked, len(trained.vocabulary))
        return trained

    @classmethod
    def restore(cls, saved: Saved) -> Subwords:
        """From its two files; UserError when one is missing or they do not belong together."""
        if saved.kind not in ("unigram", "bpe"):
            raise ValueError(f"{saved.path} holds a tokenizer of kind {saved.kind}")
        path = saved.path.with_suffix(".model")
        try:
            model = path.read_bytes()
        except FileNotFoundError as error:
            raise missing(path) from error
        except OSError as error:
            raise damaged(path, str(error)) from error
        if hashlib.sha256(model).hexdigest() != saved.sha256:
            raise damaged(path, f"its sha256 is not the one that {saved.path.name} names")
        restored = cls(saved.kind, model, saved.flag("lowercase"))
        try:
            restored.vocabulary  # noqa: B018  (reads the model)
        except (RuntimeError, ValueError) as error:
            raise damaged(path, str(error)) from error
        return restored

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary([self._processor.id_to_piece(i) for i in range(self._processor.get_piece_size())])

    def encode(self, text: str) -> list[int]:
        return list(self._processor.encode(self._clean(text)))

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return list(self._processor.encode([self._clean(text) for text in texts])) if texts else []

    def sample_batch(self, texts: Sequence[str], *, strength: float, seed: int) -> list[list[int]]:
        """Ids of drawn segmentations; the same texts, strength and seed give the same ones.

        BPE: `strength` is the share of merges that are left out (BPE dropout). Unigram: a segmentation is drawn with
        probability p^strength / Z, so near 0 all are alike, and large values draw the likeliest.
        """
        from sentencepiece import set_random_generator_seed

        if not texts:
            return []
        # The library's generator belongs to a thread and takes the seed of the time when it is first used. With
        # num_threads given a batch is encoded in threads of its own, so each call begins a generator.
        set_random_generator_seed(seed)
        cleaned = [self._clean(text) for text in texts]
        drawn = self._processor.encode(cleaned, enable_sampling=True, nbest_size=-1, alpha=strength, num_threads=1)
        return list(drawn)

    def cut(self, text: str) -> list[str]:
        """The subwords of a text, characters that are not known among them as they are."""
        return list(self._processor.encode(self._clean(text), out_type=str))

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._processor.decode(content(ids)))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return self.vocabulary.words(ids)

    def save(self, folder: Path, name: str) -> None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / f"{name}.model", self.model)
        sha256 = hashlib.sha256(self.model).hexdigest()
        write_saved(Saved(folder / f"{name}.json", self.kind, {"lowercase": self.lowercase}, sha256, ()))

    @functools.cached_property
    def _processor(self) -> Any:
        from sentencepiece import SentencePieceProcessor

        return SentencePieceProcessor(model_proto=self.model)

    def _clean(self, text: str) -> str:
        return encodable(text.lower() if self.lowercase else text)


def _train(kind: str, lines: list[str], size: int, coverage: float, threads: int, reserved: Sequence[str]) -> bytes:
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type=kind,
            vocab_size=size,
            character_coverage=coverage,
            hard_vocab_limit=False,
            pad_id=PAD,
            bos_id=BOS,
            eos_id=EOS,
            unk_id=UNK,
            unk_surface=SPECIALS[UNK],
            control_symbols=list(reserved),  # unlike user-defined ones, never found in a text
            max_sentence_length=_LONGEST_TEXT,
            num_threads=threads,
            minloglevel=_SILENT,
        )
    except RuntimeError as error:
        raise _refusal(kind, size, str(error)) from error
    return model.getvalue()


def _refusal(kind: str, size: int, message: str) -> UserError:
    """SentencePiece's own words turned into what to do."""
    if needed := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return UserError(
            f"a {kind} vocabulary of {size} pieces cannot hold the characters of this text: it needs at least "
            f"{needed[1]}. Raise vocab_size or lower character_coverage (0.9995 leaves rare characters out)."
        )
    return UserError(f"SentencePiece could not learn a {kind} vocabulary of {size} pieces: {message}")

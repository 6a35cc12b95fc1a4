"""Where a comparison keeps its things, and the files that all toolkits read."""

from __future__ import annotations

import gzip
import io
import subprocess
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import measure
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from s2s import resources
from s2s.corpus import fetch

Peer = Literal["joey", "onmt"]
LANGUAGES = ("de", "en")
SPLITS = {"train": "train", "val": "dev", "test_2016_flickr": "test"}


@dataclass(frozen=True)
class Place:
    """A folder with `envs/` (made by `environments.py`), `data/` and `out/` (one folder a trained model)."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def program(self, peer: Peer, name: str = "python") -> str:
        """A program of a peer's environment."""
        path = self.folder / "envs" / peer / "bin" / name
        if not path.exists():
            script = Path(__file__).with_name("environments.py")
            raise SystemExit(f"{path}: not there; make it with: python {script} {self.folder / 'envs'}")
        return str(path)

    def versions(self, peer: Peer) -> dict[str, str]:
        """Of a peer and its torch."""
        names = {"joey": "joeynmt", "onmt": "OpenNMT-py"}[peer], "torch"
        code = f"import importlib.metadata as m; print(*[m.version(name) for name in {names!r}])"
        found = subprocess.run([self.program(peer), "-c", code], capture_output=True, text=True, check=True).stdout
        return dict(zip(names, found.split(), strict=True))

    def lines(self, name: str) -> list[str]:
        """Of a file such as `test.en`."""
        return (self.data / name).read_text(encoding="utf-8").splitlines()

    def facts(self, names: Collection[str]) -> dict[str, object]:
        """Of the machine, and of those peers that are among the names."""
        return {**measure.facts("cpu"), "peers": [self.versions(peer) for peer in get_args(Peer) if peer in names]}

    def tokens_per_sentence(self) -> float:
        """Of the English training texts in the peers' pieces, the end of sentence counted."""
        pieces = SentencePieceProcessor(model_file=str(self.data / "spm.model"))
        texts = self.lines("train.en")
        return 1 + sum(map(len, pieces.encode(texts))) / len(texts)


def prepare(place: Place, root: Path | None) -> None:
    """Multi30k as plain files, one SentencePiece model of 8,000 for both sides, and it as the peers' vocabularies.

    Args:
        place: nothing is done where its data is there.
        root: a folder with the corpus' files; None: they are fetched.
    """
    if (place.data / "spm.model").exists():
        return
    card = fetch.card("multi30k")
    folder = fetch.fetch(card, cache=resources.cache() / "corpora", source=root, languages=LANGUAGES)
    place.data.mkdir(parents=True, exist_ok=True)
    for split, name in SPLITS.items():
        for language in LANGUAGES:
            text = gzip.decompress((folder / f"{split}.{language}.gz").read_bytes()).decode()
            lines = "".join(f"{line.strip()}\n" for line in text.removesuffix("\n").split("\n"))
            (place.data / f"{name}.{language}").write_text(lines, encoding="utf-8")
    _write_pieces(place)


def _write_pieces(place: Place) -> None:
    texts = {language: place.lines(f"train.{language}") for language in LANGUAGES}
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter([*texts["de"], *texts["en"]]),
        model_writer=model,
        vocab_size=8_000,
        model_type="bpe",
        character_coverage=1.0,
        unk_id=0,
        pad_id=1,
        bos_id=2,
        eos_id=3,
        num_threads=1,
        minloglevel=1,
    )
    processor = SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [processor.id_to_piece(number) for number in range(processor.get_piece_size())]
    _write(place.data / "joey_vocab.txt", pieces)
    for language, lines in texts.items():
        counts = Counter(piece for line in processor.encode(lines, out_type=str) for piece in line)
        _write(place.data / f"onmt.vocab.{language}", [f"{piece}\t{counts[piece] + 1}" for piece in pieces[4:]])
    (place.data / "spm.model").write_bytes(model.getvalue())


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

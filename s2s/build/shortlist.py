"""`s2s shortlist`: learn which target tokens the sources of a run make likely, for `search.shortlist`."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from s2s.build.corpus import Corpus, load_corpus
from s2s.build.dialogues import holds_dialogues
from s2s.build.folder import RunFolder
from s2s.build.text import Tokenizers, load_tokenizers
from s2s.errors import UserError
from s2s.search import Candidates
from s2s.search.lexical import learn

_CHUNK = 4_096


def shortlist_verb(path: Path, console: Console) -> str:
    """Read the training pairs of a run, and put the candidates into its folder.

    Raises:
        UserError: no run, one without source texts, its pairs are not where they were, or the folder can't be written.
    """
    folder = RunFolder(path)
    config, _ = folder.read()
    if config.data.task or holds_dialogues(config):
        raise UserError(f"{path}: is no translator, so no source makes words likely; expected the run of one")
    if config.model.copying:
        raise UserError(f"{path}: copies words of the source, which are on no list")
    tokenizers = load_tokenizers(folder.path, config.text)
    corpus = load_corpus(config.data, stdin=folder.stdin)
    start = time.perf_counter()
    size = len(tokenizers.target.vocabulary)
    counts: Counter[int] = Counter()
    lexicon = learn(_encoded(corpus, tokenizers, counts), target_size=size)
    source_size = len(tokenizers.source.vocabulary)
    candidates = Candidates.of(lexicon, [counts[token] for token in range(size)], source_size)
    _save(folder, tokenizers, candidates)
    known = int((candidates.likely_VN[:, 0] >= 0).sum())
    console.print(f"{known:,} of {source_size:,} source tokens have candidates, {time.perf_counter() - start:.0f} s")
    return f"{folder.shortlist}: answer with it by `s2s translate {path} search.shortlist=50`"


def _encoded(corpus: Corpus, tokenizers: Tokenizers, counts: Counter[int]) -> Iterator[tuple[list[int], list[int]]]:
    """Training pairs as ids; the tokens that are written are counted."""
    for start in range(0, len(corpus.train), _CHUNK):
        pairs = [corpus.train[row] for row in range(start, min(start + _CHUNK, len(corpus.train)))]
        sources = tokenizers.source.encode_batch([pair[0] for pair in pairs])
        targets = tokenizers.target.encode_batch([pair[1] for pair in pairs])
        for source, target in zip(sources, targets, strict=True):
            counts.update(target)
            if source and target:
                yield source, target


def _save(folder: RunFolder, tokenizers: Tokenizers, candidates: Candidates) -> None:
    """Whole or not at all."""
    part = folder.shortlist.with_suffix(".part")
    tensors = {"common": candidates.common_W.int(), "likely": candidates.likely_VN.int()}
    try:
        save_file(tensors, part, metadata={"vocabulary": tokenizers.hash})
        os.replace(part, folder.shortlist)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise UserError(f"{folder.shortlist}: can't be written ({error}); make room, or the folder writable") from None


def load_candidates(folder: RunFolder, tokenizers: Tokenizers) -> Candidates | None:
    """What was learned for a run, if anything was.

    Raises:
        UserError: the file is damaged, or of another vocabulary.
    """
    if not folder.shortlist.is_file():
        return None
    try:
        with safe_open(folder.shortlist, "pt") as file:
            if (file.metadata() or {}).get("vocabulary") == tokenizers.hash:
                return Candidates(file.get_tensor("common").long(), file.get_tensor("likely").long())
            why = "learned with another vocabulary than the run's"
    except SafetensorError as error:
        why = f"not a whole safetensors file ({error})"
    raise UserError(f"{folder.shortlist}: {why}; learn it anew with `s2s shortlist {folder.path}`, or remove it")

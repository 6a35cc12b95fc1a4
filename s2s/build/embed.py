"""`s2s embed`: word vectors learned from texts, and a look at them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console

from s2s import plots
from s2s.build import streams
from s2s.build.dialogues import load_any
from s2s.build.say import say
from s2s.build.words import find_recipe, is_data, split_words
from s2s.config import Config
from s2s.config.io import check, merge, read_toml
from s2s.corpus import lines
from s2s.corpus.dialogue.read import read_dialogues
from s2s.corpus.formats import suffix_format
from s2s.corpus.read import read_pairs
from s2s.errors import UserError
from s2s.files import reading
from s2s.text.saved import replace_file
from s2s.text.vectors import LONGEST, Learning, Vectors, learn_vectors, nearest, read_vectors, vector_bytes
from s2s.text.words import WordKind, join_tokens, tokens_of

__all__ = ["Learning", "Wanted", "embed_verb"]

_NEIGHBOURS = 10
_DRAWN = 300
_TEXT = (".txt", ".vec")
_BETWEEN = re.compile(r"\t|__eou__")
_LIKE_DIALOGUE = re.compile(r"\s*(\[|.*\"dialog(ue)?\"\s*:)")
_GENSIMS_OWN = (".kv", ".model", ".wordvectors", ".pkl")


@dataclass(frozen=True)
class Wanted:
    """What is asked for: `words` and `out` to learn vectors, or `show` to look at a file of them.

    Attributes:
        words: files; or a recipe, or keys of `[data]`, whose training texts are taken; and keys of `[text]`.
        root: the folder of a corpus card's files.
    """

    words: Sequence[str]
    root: Path | None
    out: Path | None
    show: Path | None
    lowercase: bool
    how: Learning
    neighbours: Sequence[str]
    plot: Path | None


def embed_verb(wanted: Wanted, console: Console) -> str:
    """Learn and write vectors, or read them; returns what is to be printed: the neighbours that were asked for.

    Raises:
        UserError: wrong arguments or files, no words, or a word without a vector (then the file is written).
        MissingExtraError: gensim (to learn) or matplotlib (to draw) is not installed.
    """
    if wanted.show is None:
        vectors, place = _learn(wanted, console)
    elif wanted.words or wanted.out is not None:
        raise UserError(f"--show {wanted.show} looks at vectors that are there; leave texts and -o out")
    else:
        vectors, place = read_vectors(wanted.show), wanted.show
        say(
            console,
            f"{place}: {vectors.total:,} vectors of {vectors.size}, the first of them {' '.join(vectors.first)}",
        )
    found = {word: nearest(vectors, _row(vectors, word, place), _NEIGHBOURS) for word in wanted.neighbours}
    if wanted.plot is not None:
        _draw(vectors, {*found, *(near for pairs in found.values() for near, _ in pairs)}, wanted.plot, place.name)
        say(console, f"picture: {wanted.plot}")
    return "\n".join(
        f"{word}: {', '.join(f'{near} {cosine:.2f}' for near, cosine in pairs)}" for word, pairs in found.items()
    )


def _learn(wanted: Wanted, console: Console) -> tuple[Vectors, Path]:
    if not wanted.words or wanted.out is None:
        raise UserError(
            "got no texts, or no place for the vectors; expected `s2s embed FILE... -o vectors.bin`, or, to look at"
            " vectors that are there, `s2s embed --show vectors.bin`"
        )
    files, config = _config(wanted)
    out = _place(wanted.out, files)
    kind: WordKind = "spaces" if config.text.tokenizer == "spaces" else "words"
    texts = partial(_file_texts, files) if files else _corpus_texts(config)
    sentences = Sentences(texts, lowercase=config.text.lowercase, kind=kind)
    vectors = learn_vectors(sentences, wanted.how, say=partial(say, console))
    replace_file(out, vector_bytes(vectors.words, vectors.values_NE, text=out.suffix in _TEXT))
    keys = f"text.tokenizer={kind} model.embeddings={out} model.embedding_size={vectors.size}"
    lower = config.text.lowercase * " text.lowercase=true"
    say(console, f"vectors: {out}; a model starts from them with {keys}{lower}")
    return vectors, out


def _config(wanted: Wanted) -> tuple[list[str], Config]:
    """Files, if these are the texts, and the keys of `[data]` and `[text]` that hold.

    Raises:
        UserError: keys of another section, files beside a corpus, standard input, or neither files nor a corpus.
    """
    files, tree = split_words(wanted.words)
    recipe: dict[str, Any] = {}
    if len(files) == 1 and not is_data(files[0]):
        recipe, files = read_toml(find_recipe(files[0])), []
    if other := [section for section in tree if section not in ("data", "text")]:
        raise UserError(f"{', '.join(other)}: word vectors need texts alone; expected keys of data and text")
    given = {"data": {"root": str(wanted.root)}} if wanted.root is not None else {}
    lower = {"text": {"lowercase": True}} if wanted.lowercase else {}
    config = check(merge(recipe, given, lower, tree), "s2s embed")
    if "-" in (*files, *config.data.train):
        raise UserError("texts are read once an epoch, which standard input (-) can't be; write them to a file")
    if bool(files) == bool(config.data.corpus or config.data.train):
        raise UserError("expected files of text, or a corpus (a recipe with one, data.corpus=NAME), one of the two")
    return files, config


def _corpus_texts(config: Config) -> Callable[[], Iterable[str]]:
    """The training texts of a corpus, what is held out for validation left out."""
    train = load_any(config).train
    return lambda: chain.from_iterable(train)


def _place(out: Path, files: Sequence[str]) -> Path:
    """Where the vectors go, checked before anything is learned."""
    if out.suffix in _GENSIMS_OWN:
        raise UserError(
            f"-o {out}: {out.suffix} files are gensim's pickles, which can run any program when they are loaded;"
            " expected .bin (word2vec's binary format) or .txt, which KeyedVectors.load_word2vec_format reads"
        )
    if out.suffix == ".gz":
        raise UserError(f"-o {out}: vectors are written unpacked; expected .bin or .txt")
    if out.is_dir():
        raise UserError(f"-o {out} is a folder, expected a file; name one inside it, such as {out / 'vectors.bin'}")
    if any(out.resolve() == Path(file).resolve() for file in files):
        raise UserError(f"-o {out}: is one of the texts, which would be lost; name another file")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"-o {out}: {out.parent} is no folder; name another place") from None
    return out


class Sentences:
    """Texts in words, as `text.tokenizer` cuts them; a sentence is cut where gensim would drop the rest.

    Args:
        texts: goes through them, anew each time.
    """

    def __init__(self, texts: Callable[[], Iterable[str]], *, lowercase: bool, kind: WordKind) -> None:
        self.texts, self.lowercase, self.kind = texts, lowercase, kind
        self._known: dict[str, list[str]] = {}  # a corpus repeats its words: each spelling is split once

    def __iter__(self) -> Iterator[list[str]]:
        for text in self.texts():
            yield from self._cut(text)

    def _cut(self, text: str) -> Iterator[list[str]]:
        words: list[str] = []
        for chunk in (text.lower() if self.lowercase else text).split():
            if chunk not in self._known:
                self._known[chunk] = tokens_of(chunk, self.kind)
            words += self._known[chunk]
        yield from (words[start : start + LONGEST] for start in range(0, len(words), LONGEST))


def _file_texts(files: Sequence[str]) -> Iterator[str]:
    """Lines, or what stands between the tabs of one; of JSON lines each side of a pair, each turn of a dialogue."""
    for file in files:
        yield from _json_texts(file) if suffix_format(file) == "jsonl" else _texts(file)


def _texts(file: str) -> Iterator[str]:
    """What stands between line feeds, tabs, and the marks of DailyDialog's own files."""
    with reading(lines.named(file)), streams.reading(Path(file)) as (stream, name):
        for batch in streams.arriving(stream, name):
            for line in batch:
                yield from _BETWEEN.split(line)


def _json_texts(file: str) -> Iterator[str]:
    """The texts of dialogues or of pairs, whichever the first line is."""
    first = next(filter(str.strip, lines.read_lines(file)), "")
    if _LIKE_DIALOGUE.match(first):
        return chain.from_iterable(read_dialogues([file], format="turns-jsonl").dialogues)
    return chain.from_iterable(read_pairs([file], format="jsonl").pairs)


def _row(vectors: Vectors, word: str, place: Path) -> int:
    """The number of a word.

    Raises:
        UserError: there is no such word.
    """
    if word in vectors.words:
        return vectors.words.index(word)
    near = difflib.get_close_matches(word, vectors.words[:20_000], n=3)
    hint = f"there are {', '.join(near or vectors.first)}"
    raise UserError(f"--neighbours {word}: {place} has no vector of it; {hint} (as they are written, case included)")


def _draw(vectors: Vectors, marked: set[str], path: Path, name: str) -> None:
    """The most frequent words and the marked ones."""
    rows = [row for row, word in enumerate(vectors.words) if row < _DRAWN or word in marked]
    words = [vectors.words[row] for row in rows]
    labels = [join_tokens([word]) for word in words]
    title = f"{name}: {len(words):,} of {len(vectors.words):,} words"
    coloured = [row for row, word in enumerate(words) if word in marked]
    plots.word_map(path, labels, vectors.values_NE[rows], marked=coloured, title=title)

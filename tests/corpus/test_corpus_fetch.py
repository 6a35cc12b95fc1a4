"""Corpus cards and fetching, against a server on this machine: whole files or none, and a way out in every message."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from s2s import resources
from s2s.corpus import fetch as fetching
from s2s.corpus.fetch import Card, card, corpora, fetch, read_card
from s2s.corpus.read import Pair, read_pairs
from s2s.errors import UserError

CONTENT = {f"train.{lang}.gz": gzip.compress(f"{lang} text\n".encode(), mtime=0) for lang in ("de", "en", "fr")}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Not into the output of the tests."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """(folder, url) of a public home with the three files."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)

    def handler(*args: object) -> Quiet:
        return Quiet(*args, directory=str(folder))  # type: ignore[arg-type]

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def make_card(url: str = "http://127.0.0.1:9", **changes: object) -> Card:
    files = {
        name: {"url": f"{url}/{name}", "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in CONTENT.items()
    }
    fields: dict[str, object] = {
        "name": "tiny",
        "title": "Tiny",
        "licence": "none",
        "homepage": "https://example.org/tiny",
        "citation": "none",
        "languages": ["de", "en", "fr"],
        "splits": {"train": "train.{lang}.gz"},
        "files": files,
    }
    return Card.model_validate(fields | changes)


def litter(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


# ---- downloading ----


def test_fetch_brings_the_files_once(home: tuple[Path, str], tmp_path: Path) -> None:
    tiny, steps = make_card(home[1]), list[tuple[str, int, int]]()
    folder = fetch(tiny, cache=tmp_path / "cache", progress=lambda *step: steps.append(step))
    assert folder == tmp_path / "cache" / "tiny"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENT
    assert [step for step in steps if step[1] == step[2]] == [(n, len(c), len(c)) for n, c in CONTENT.items()]
    for path in home[0].iterdir():
        path.unlink()
    assert fetch(tiny, cache=tmp_path / "cache") == folder  # nothing is asked for again
    assert read_pairs(tiny.paths(folder, "train", "en", "de")).pairs == [Pair("en text", "de text")]


def test_only_the_languages_that_are_asked_for(home: tuple[Path, str], tmp_path: Path) -> None:
    folder = fetch(make_card(home[1]), cache=tmp_path, languages=["de", "en"])
    assert sorted(path.name for path in folder.iterdir()) == ["train.de.gz", "train.en.gz"]


def test_a_damaged_file_in_the_cache_is_fetched_again(home: tuple[Path, str], tmp_path: Path) -> None:
    folder = fetch(make_card(home[1]), cache=tmp_path)
    (folder / "train.de.gz").write_bytes(b"half")
    fetch(make_card(home[1]), cache=tmp_path)
    assert (folder / "train.de.gz").read_bytes() == CONTENT["train.de.gz"]


def test_a_wrong_checksum_leaves_nothing(home: tuple[Path, str], tmp_path: Path) -> None:
    (home[0] / "train.de.gz").write_bytes(b"something else")
    with pytest.raises(UserError) as got:
        fetch(make_card(home[1]), cache=tmp_path / "cache")
    assert re.search(r"train\.de\.gz: sha256 is [0-9a-f]{64}, the corpus card says", str(got.value))
    assert "--from DIR" in str(got.value)
    assert list((tmp_path / "cache" / "tiny").iterdir()) == []


def test_not_found(home: tuple[Path, str], tmp_path: Path) -> None:
    (home[0] / "train.en.gz").unlink()
    with pytest.raises(
        UserError, match=r"train\.en\.gz: the server answered 404 .*https://example\.org/tiny.*--from DIR"
    ):
        fetch(make_card(home[1]), cache=tmp_path)
    assert (tmp_path / "tiny" / "train.de.gz").read_bytes() == CONTENT["train.de.gz"]  # what came stays
    assert litter(tmp_path / "tiny") == []


def test_offline(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.de\.gz could not be fetched to .*refused.*--from DIR"):
        fetch(make_card(), cache=tmp_path)
    assert litter(tmp_path / "tiny") == []


def test_a_full_disk(home: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetching, "_copy", full)
    with pytest.raises(UserError, match=r"could not be fetched to .*No space left on device"):
        fetch(make_card(home[1]), cache=tmp_path)
    assert litter(tmp_path / "tiny") == []


def test_a_cache_that_is_a_file(home: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(UserError, match="could not be fetched to"):
        fetch(make_card(home[1]), cache=tmp_path / "cache")


# ---- a folder that is already there ----


def test_from_a_folder(home: tuple[Path, str], tmp_path: Path) -> None:
    assert fetch(make_card(), source=home[0], cache=tmp_path / "cache") == home[0]
    assert not (tmp_path / "cache").exists()


def test_from_a_folder_with_unpacked_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for lang in ("de", "en"):
        (tmp_path / f"train.{lang}").write_text(f"{lang} text\n")
    folder = fetch(make_card(), source=tmp_path, cache=tmp_path, languages=["de", "en"])
    assert read_pairs(make_card().paths(folder, "train", "de", "en")).pairs == [Pair("de text", "en text")]
    assert caplog.text == ""


def test_from_a_folder_that_lacks_files(home: tuple[Path, str], tmp_path: Path) -> None:
    (home[0] / "train.de.gz").unlink()
    (home[0] / "train.fr.gz").unlink()
    with pytest.raises(
        UserError, match=r"2 of 3 files of tiny are missing: train\.de\.gz, train\.fr\.gz\. Get them from"
    ):
        fetch(make_card(), source=home[0], cache=tmp_path)
    with pytest.raises(UserError, match=r"--from .*nowhere: no such folder"):
        fetch(make_card(), source=tmp_path / "nowhere", cache=tmp_path)


def test_from_a_folder_with_another_checksum(
    home: tuple[Path, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (home[0] / "train.de.gz").write_bytes(gzip.compress(b"other\n"))
    with caplog.at_level(logging.WARNING, logger="s2s"):
        assert fetch(make_card(), source=home[0], cache=tmp_path) == home[0]
    assert len(caplog.records) == 1
    assert "train.de.gz is not the train.de.gz of the corpus card: its sha256 differs" in caplog.text


# ---- cards ----


def test_the_cards_of_the_project() -> None:
    cards = {found.name: found for found in corpora()}
    assert "multi30k" in cards
    assert all((resources.corpora() / f"{name}.toml").is_file() for name in cards)
    assert all(file.url.startswith("https://") for found in cards.values() for file in found.files.values())
    paths = card("multi30k").paths(Path("x"), "test", "de", "en")
    assert paths == (Path("x/test_2016_flickr.de.gz"), Path("x/test_2016_flickr.en.gz"))


def test_the_card_of_dialogues(tmp_path: Path) -> None:
    """Its files as they are at their home, or with tabs between the turns."""
    daily = card("dailydialog")
    assert (daily.languages, daily.contents, daily.join_contractions) == ((), "dialogues", True)
    assert daily.names() == ["dialogues_train.txt", "dialogues_validation.txt", "dialogues_test.txt"]
    assert daily.path(tmp_path, "valid") == tmp_path / "dialogues_validation.txt"
    with pytest.raises(UserError, match=r"3 of 3 files of dailydialog are missing: dialogues_train\.txt, "):
        fetch(daily, source=tmp_path, cache=tmp_path)
    for part in ("train", "valid", "test"):
        (tmp_path / f"{part}.tsv").write_text("Hi .\tHello .\n")
    assert fetch(daily, source=tmp_path, cache=tmp_path) == tmp_path
    assert daily.path(tmp_path, "valid") == tmp_path / "valid.tsv"
    with pytest.raises(UserError, match="has no language 'en'; it has dialogues"):
        daily.names(["en"])
    with pytest.raises(UserError, match="corpus multi30k holds pairs of de, en, fr, expected dialogues"):
        card("multi30k").path(tmp_path, "train")


def test_an_unknown_corpus_language_or_split() -> None:
    with pytest.raises(UserError, match=r"no corpus named 'multi30'\. Did you mean multi30k\?"):
        card("multi30")
    with pytest.raises(UserError, match=r"no corpus named '../x'\. There are: .*multi30k"):
        card("../x")
    with pytest.raises(UserError, match=r"corpus tiny has no language 'es'; it has de, en, fr"):
        make_card().paths(Path(), "train", "de", "es")
    with pytest.raises(UserError, match="has no language 'es'"):
        make_card().names(["es"])
    with pytest.raises(UserError, match="corpus tiny has no split 'test'; it has train"):
        make_card().paths(Path(), "test", "de", "en")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nmae": "x"}, "nmae: Extra inputs are not permitted"),
        ({"splits": {"train": "train.de.gz"}}, "splits.train: the pattern 'train.de.gz' lacks {lang}"),
        ({"splits": {"train": "tr.{lang}"}}, "splits.train: no [files] entry for tr.de, tr.en, tr.fr"),
        ({"splits": {"dev": "x.{lang}"}}, "splits.dev"),
        ({"languages": ["de"]}, "languages: Value error, expected two at least, or none for dialogues"),
        ({"languages": []}, "splits.train: the pattern 'train.{lang}.gz' has {lang}, but there are no languages"),
        ({"files": {"a": {"url": "a", "sha256": "0", "bytes": 0}}}, "files.a.url"),
    ],
)
def test_a_wrong_card_names_its_faults(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    import tomlkit

    path = tmp_path / "tiny.toml"
    path.write_text(tomlkit.dumps(make_card().model_dump(mode="json") | changes))
    with pytest.raises(UserError, match=rf"tiny\.toml: the corpus card is wrong: .*{re.escape(message)}"):
        read_card(path)


def test_a_card_that_is_no_toml(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text("name = ")
    with pytest.raises(UserError, match=r"tiny\.toml: the corpus card cannot be read"):
        read_card(tmp_path / "tiny.toml")


# ---- where material lies ----


def test_resources_in_a_checkout_and_in_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (resources.corpora() / "multi30k.toml").is_file()
    assert (resources.recipes() / "README.md").is_file()
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "s2s")
    with pytest.raises(
        UserError, match=r"the recipes of s2s were not found: looked in .*_recipes and .*recipes\. Install"
    ):
        resources.recipes()
    (tmp_path / "recipes").mkdir()
    assert resources.recipes() == tmp_path / "recipes"
    (tmp_path / "s2s" / "_recipes").mkdir(parents=True)
    assert resources.recipes() == tmp_path / "s2s" / "_recipes"


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2S_CACHE", "/somewhere")
    assert resources.cache() == Path("/somewhere")
    monkeypatch.delenv("S2S_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert resources.cache() == Path("/xdg/s2s")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert resources.cache() == Path.home() / ".cache" / "s2s"

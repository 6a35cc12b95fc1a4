"""Which room imports which: read from the sources, so that a shortcut between rooms does not go unnoticed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EVERYTHING = {
    "build", "cli", "config", "cores", "corpus", "errors", "evaluation",
    "files", "kernels", "metrics", "models", "passages", "plots", "resources", "scoring", "search", "serve",
    "session", "sweeps", "tasks", "text", "training", "translator",
}  # fmt: skip

# A room may import itself, s2s.errors, and what stands here; `models.loss` allows that module alone.
ARROWS: dict[str, set[str]] = {
    "cli": {"build", "session", "corpus", "resources", "config.io", "serve", "sweeps"},
    "session": {"build", "translator"},
    "build": EVERYTHING - {"cli", "serve", "session", "sweeps"},
    "sweeps": {"build", "config", "evaluation", "metrics", "plots", "training.files", "training.stop"},
    "passages": {"translator", "text", "corpus", "scoring"},
    "scoring": {"translator", "text", "corpus"},
    "translator": {"search", "text", "models", "config"},
    "training": {"models.loss", "corpus.batch", "kernels.pages", "kernels.switchback", "kernels.vectors"},
    "models": {"cores", "kernels"},
    "cores": {"kernels"},
    "kernels": {"resources"},
    "corpus": {"text", "resources", "files"},
    "tasks": {"corpus"},
    "text": {"files"},
    "search": {"kernels"},
    "config": set(),
    "evaluation": {"metrics", "plots"},
    "metrics": set(),
    "plots": set(),
    "resources": set(),
    "errors": set(),
    "files": set(),
    "serve": {"config.serve", "text.sentences"},
    "__init__": {"session"},
    "__main__": {"cli"},
}
TYPES_ONLY = {"serve": {"session"}}
"""What is imported for the type checker alone."""


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "serve" if parts[0] == "serve" else parts[1]


def sources() -> list[Path]:
    found = sorted([*ROOT.glob("s2s/**/*.py"), *ROOT.glob("serve/**/*.py")])
    assert len(found) > 60
    return found


def imported(path: Path, tree: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    """Each import with the dotted module it names; relative ones are made absolute."""
    package = list(path.relative_to(ROOT).parent.parts)
    package = ["s2s", *package] if package[0] == "serve" else package
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [node.module] if node.module else []
            if node.level:
                base = [*package[: len(package) - node.level + 1], *base]
            dotted = ".".join(base)
            yield from ((node, f"{dotted}.{name.name}") for name in node.names)


def guarded(tree: ast.AST) -> set[ast.stmt]:
    """The statements under `if TYPE_CHECKING`."""
    return {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
        if isinstance(inner, ast.stmt)
    }


def violations(path: Path, text: str) -> list[str]:
    room, tree = room_of(path), ast.parse(text)
    lazy, found = guarded(tree), []
    for node, dotted in imported(path, tree):
        ours = dotted.split(".")
        if ours[0] != "s2s" or len(ours) < 2:
            continue
        target, inner = ours[1], ".".join(ours[1:3])
        allowed = ARROWS[room] | {room, "errors"} | (TYPES_ONLY.get(room, set()) if node in lazy else set())
        if target in EVERYTHING and not {target, inner} & allowed:
            found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {room} imports {dotted}")
    return found


def test_every_room_has_its_arrows() -> None:
    assert {room_of(path) for path in sources()} == set(ARROWS)


def test_rooms_import_only_what_they_may() -> None:
    assert [line for path in sources() for line in violations(path, path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("s2s/models/encoder.py", "from s2s.config import Config"),
        ("s2s/models/encoder.py", "from s2s import config"),
        ("s2s/models/encoder.py", "def f():\n    import s2s.search"),
        ("s2s/training/loop.py", "from s2s.models import Seq2Seq"),
        ("s2s/training/loop.py", "from s2s.text.vocab import PAD"),
        ("s2s/kernels/native.py", "from ..cores import Cell"),
        ("s2s/corpus/read.py", "from s2s.training import loop"),
        ("s2s/build/run.py", "from s2s.serve.app import run"),
        ("s2s/build/run.py", "from s2s import session"),
        ("s2s/search.py", "from s2s.models import nested"),
        ("serve/app.py", "from s2s.session import load"),
        ("serve/app.py", "from s2s.translator import Translator"),
    ],
)
def test_a_shortcut_is_found(file: str, line: str) -> None:
    assert len(violations(ROOT / file, line)) == 1


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("s2s/training/loop.py", "from s2s.models.loss import Loss"),
        ("s2s/training/loop.py", "from s2s.corpus.batch import Batch\nfrom s2s.errors import UserError"),
        ("s2s/cores/stack.py", "from s2s.kernels import find"),
        ("serve/app.py", "from .settings import Settings\nfrom s2s.errors import UserError"),
        ("serve/app.py", "if TYPE_CHECKING:\n    from s2s.session import Translator"),
    ],
)
def test_what_is_allowed_is_not(file: str, line: str) -> None:
    assert violations(ROOT / file, line) == []


def test_the_server_imports_no_torch() -> None:
    for path in ROOT.glob("serve/**/*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not [name for _, name in imported(path, tree) if name.split(".")[0] in ("torch", "numpy")], path


def test_only_metrics_and_search_rooms_know_their_libraries() -> None:
    """sacreBLEU belongs to the scores, matplotlib to the pictures, and FastAPI to the server."""
    homes = {
        "sacrebleu": {"metrics"},
        "matplotlib": {"plots"},
        "fastapi": {"serve"},
        "sentencepiece": {"text"},
        "gensim": {"text"},
        "optuna": {"sweeps"},
    }
    for path in sources():
        for _, name in imported(path, ast.parse(path.read_text(encoding="utf-8"))):
            home = homes.get(name.split(".")[0])
            assert home is None or room_of(path) in home, (path, name)


@pytest.mark.parametrize("module", ["s2s.cli", "s2s", "s2s.config.io"])
def test_the_command_line_starts_without_torch(module: str) -> None:
    script = (
        f"import sys, {module}\nheavy = {{'torch', 'numpy', 'sacrebleu', 'matplotlib', 'fastapi'}} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{script}\nprint(sorted(heavy))"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "[]"

"""The wheel: what it holds, and that it works in an empty environment, away from the checkout."""

from __future__ import annotations

import shutil
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a checkout with git")]


def _run(*words: str | Path, folder: Path, stdin: str = "") -> str:
    """Standard output of a command that must succeed; nothing of this environment's Python settings reaches it."""
    import os

    variables = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**variables, "OMP_NUM_THREADS": "1"},
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that git knows of (and new ones that it does not ignore), without leftovers of earlier builds."""
    folder = tmp_path_factory.mktemp("tree")
    listed = _run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, tree, folder=out)
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel; only third-party packages are borrowed, and no editable install among them."""
    folder = tmp_path_factory.mktemp("environment")
    _run(sys.executable, "-m", "venv", "--without-pip", folder, folder=folder)
    python = next(folder.glob("bin/python")) if (folder / "bin").is_dir() else folder / "Scripts" / "python.exe"
    _run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, folder=folder)
    own = Path(_run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=folder).strip())
    # A line of a .pth file adds a folder without running the .pth files in there, those of editable installs included.
    (own / "borrowed.pth").write_text("".join(f"{path}\n" for path in site.getsitepackages()), encoding="utf-8")
    return python.parent


def test_the_wheel_holds_every_room_and_nothing_else(tree: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    rooms = {"s2s": "s2s", "serve": "s2s/serve", "recipes": "s2s/_recipes", "data/corpora": "s2s/_corpora"}
    kinds = {".py", ".toml", ".md", ".typed", ".cpp", ".hpp", ".html", ".css", ".js", ".svg"}
    expected = {
        f"{inside}/{path.relative_to(tree / room).as_posix()}"
        for room, inside in rooms.items()
        for path in (tree / room).rglob("*")
        if path.suffix in kinds or path.name == "py.typed"
    }
    packed = {name for name in names if ".dist-info/" not in name}
    assert {"s2s/py.typed", "s2s/serve/app.py", "s2s/_recipes/toy/date-attention.toml"} <= packed
    assert "s2s/_corpora/multi30k.toml" in packed
    assert "s2s/build/run.py" in packed
    assert packed == expected
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_wheel_works_away_from_the_checkout(environment: Path, tmp_path: Path) -> None:
    place = _run(environment / "python", "-c", "import s2s; print(s2s.__file__)", folder=tmp_path)
    assert Path(place.strip()).is_relative_to(environment.parent)
    command = environment / "s2s"
    assert "date-attention" in _run(command, "recipes", folder=tmp_path)
    assert "multi30k" in _run(command, "data", "list", folder=tmp_path)
    sizes = ("data.train_size=100", "data.valid_size=10", "data.test_size=10", "model.hidden_size=16")
    _run(command, "train", "date-attention", "-o", "run", *sizes, "training.epochs=1", folder=tmp_path)
    assert _run(command, "translate", "run", folder=tmp_path, stdin="May 1, 2001\n\n").count("\n") == 2
    _run(command, "serve", "--help", folder=tmp_path)

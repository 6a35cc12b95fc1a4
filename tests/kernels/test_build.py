"""C++ sources are compiled once, kept, found again, and never loaded broken."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from s2s.kernels.compiled import build, not_built

needs_compiler = pytest.mark.skipif(build.unavailable() is not None, reason="no C++ compiler here")

OWN = sorted(path.stem for path in build.SOURCES.glob("*.cpp"))
HEADER = "inline int number() { return 7; }\n"
SOURCE = """
#ifdef _OPENMP
#include <omp.h>
#endif
#include "tiny.hpp"
extern "C" int answer() { return number(); }
extern "C" int threads() {
  int count = 0;
#pragma omp parallel for reduction(+ : count)
  for (int i = 0; i < 1000; ++i) count += 1;
  return count;
}
"""


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of sources with `tiny.cpp`, and an empty cache."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "tiny.hpp").write_text(HEADER)
    (folder / "tiny.cpp").write_text(SOURCE)
    monkeypatch.setattr(build, "SOURCES", folder)
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def built(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log, in which each build is announced."""
    caplog.set_level(logging.INFO, "s2s")
    return caplog


def load() -> ctypes.CDLL:
    """As another process would."""
    build.library.cache_clear()
    return build.library("tiny")


def builds(log: pytest.LogCaptureFixture) -> int:
    return sum(record.message.startswith("building") for record in log.records)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere some sources have nothing to build")
@needs_compiler
@pytest.mark.parametrize("name", OWN)
def test_every_source_of_the_package_is_built(name: str) -> None:
    """Without it a mistake in a source would only be seen as tests that are skipped."""
    assert not_built(name) is None


@needs_compiler
def test_the_first_load_builds_and_the_second_finds(sources: Path, built: pytest.LogCaptureFixture) -> None:
    first = load()
    assert (first.answer(), first.threads(), builds(built)) == (7, 1000, 1)
    assert build.library("tiny") is first
    second = load()
    assert (second.answer(), builds(built)) == (7, 1)
    assert not list((sources.parent / "cache").rglob("*.part*"))


@needs_compiler
@pytest.mark.usefixtures("sources")
def test_no_openmp_runtime_joins_that_of_torch() -> None:
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("this system does not tell what a process has loaded")

    def runtimes() -> set[str]:  # packages other than torch may have brought theirs
        return {line.split()[-1] for line in maps.read_text().splitlines() if "libgomp" in line}

    before = runtimes()
    load().threads()
    assert runtimes() == before


@needs_compiler
@pytest.mark.parametrize(("file", "before", "after"), [("tiny.hpp", "7", "8"), ("tiny.cpp", "1000", "999")])
def test_other_text_is_another_library(
    sources: Path, built: pytest.LogCaptureFixture, file: str, before: str, after: str
) -> None:
    old = load()
    path = sources / file
    path.write_text(path.read_text().replace(before, after))
    new = load()
    assert (old.answer(), old.threads()) != (new.answer(), new.threads())
    assert builds(built) == 2


@pytest.fixture
def stored(sources: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library that an earlier process left in the cache: copied, since the loader knows those of this one by name."""
    load()
    old, new = sources.parent / "cache", sources.parent / "stored"
    shutil.copytree(old, new)
    monkeypatch.setenv("S2S_CACHE", str(new))
    (file,) = new.rglob("tiny.so")
    return file


@needs_compiler
@pytest.mark.parametrize("keep", [None, 0, 100, 5000, -1])
def test_a_library_that_was_cut_off_is_built_again(
    stored: Path, built: pytest.LogCaptureFixture, keep: int | None
) -> None:
    stored.write_bytes(stored.read_bytes()[:keep])
    assert (load().answer(), builds(built)) == (7, 0 if keep is None else 1)
    assert (load().answer(), builds(built)) == (7, 0 if keep is None else 1)


@needs_compiler
def test_a_library_that_does_not_load_is_built_again(stored: Path, built: pytest.LogCaptureFixture) -> None:
    stored.write_bytes(b"of another system")
    build._digest(stored).write_text(hashlib.sha256(stored.read_bytes()).hexdigest())
    assert (load().answer(), builds(built)) == (7, 1)


@needs_compiler
def test_processes_that_start_together_build_once(sources: Path) -> None:
    script = (
        "import logging, pathlib, sys; logging.basicConfig(level='INFO'); from s2s.kernels.compiled import build;"
        "build.SOURCES = pathlib.Path(sys.argv[1]); sys.stdin.readline(); print(build.library('tiny').answer())"
    )
    command = [sys.executable, "-c", script, str(sources)]
    pipe = subprocess.PIPE
    running = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(2)]
    for process in running:
        assert process.stdin is not None
        process.stdin.write("now\n")
        process.stdin.flush()
    done = [process.communicate() for process in running]
    assert [out for out, _ in done] == ["7\n", "7\n"], done
    assert sum("building the compiled scan 'tiny'" in err for _, err in done) == 1


@needs_compiler
def test_a_refusal_of_the_compiler_is_told(sources: Path) -> None:
    (sources / "tiny.cpp").write_text("int f() { return nonsense; }\n")
    with pytest.raises(build.BuildFailed, match=r"ended with 1:\n(.*\n)*.*nonsense"):
        load()
    assert not list((sources.parent / "cache").rglob("*.so"))


def test_without_a_compiler_the_reason_is_told(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(sources))
    monkeypatch.delenv("CXX", raising=False)
    assert build.unavailable() == "no C++ compiler was found (c++, g++, clang++, or $CXX)"
    with pytest.raises(build.BuildFailed, match="no C\\+\\+ compiler was found"):
        load()


@needs_compiler
def test_a_compiler_of_ones_own_with_options(
    sources: Path, monkeypatch: pytest.MonkeyPatch, built: pytest.LogCaptureFixture
) -> None:
    assert load().answer() == 7
    own = sources / "own compiler"
    own.symlink_to(build._compiler()[0])
    monkeypatch.setenv("CXX", f"'{own}' -DOWN")
    assert (load().answer(), builds(built)) == (7, 2)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert build.unavailable() is not None


@needs_compiler
def test_a_compiler_that_refuses_native_and_openmp_serves(
    sources: Path, monkeypatch: pytest.MonkeyPatch, built: pytest.LogCaptureFixture
) -> None:
    plain = sources / "plain"
    plain.write_text(
        '#!/bin/sh\nfor word; do case "$word" in -m*=native|-fopenmp) exit 1;; esac; done\n'
        f'exec {build._compiler()[0]} "$@"\n'
    )
    plain.chmod(0o755)
    monkeypatch.setenv("CXX", str(plain))
    library = load()
    assert (library.answer(), library.threads(), builds(built)) == (7, 1000, 1)


@needs_compiler
def test_where_the_cache_cannot_be_written_a_temporary_folder_serves(
    sources: Path, built: pytest.LogCaptureFixture
) -> None:
    (sources.parent / "cache").write_text("a file where the folder should be")
    library = load()
    assert (library.answer(), library.threads()) == (7, 1000)
    assert "can't be kept" in built.text
    assert not any(Path(os.environ.get("TMPDIR", "/tmp")).glob("s2s-*/tiny.so"))

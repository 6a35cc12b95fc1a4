"""C++ sources into shared libraries, compiled on first use for the processor they run on and kept for the next time."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch
from filelock import FileLock

from s2s import resources

SOURCES = Path(__file__).parent / "source"
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast")
"""Infinities and the order of sums mean what they say: what else -ffast-math would turn on stays off."""

PROBE = "int main(int n, char **) {\n#pragma omp parallel for\n  for (int i = 0; i < n; ++i) {}\n  return 0;\n}\n"

_log = logging.getLogger("s2s")


class BuildFailed(Exception):  # noqa: N818  said as a state of affairs, which it is
    """The compiler did not make the library; the message holds its last lines."""


def unavailable() -> str | None:
    """Why nothing can be compiled here; None where there is a compiler."""
    return None if _compiler() else "no C++ compiler was found (c++, g++, clang++, or $CXX)"


@functools.cache
def library(name: str) -> ctypes.CDLL:
    """The functions of `source/NAME.cpp`, from the cache, or compiled into it once (by one of several processes).

    Where the cache can't be written, it is compiled for this process alone.

    Raises:
        BuildFailed: there is no compiler, or it refused.
    """
    if reason := unavailable():
        raise BuildFailed(reason)
    folder = resources.cache() / "kernels" / _key(name)
    try:
        return _cached(name, folder)
    except OSError as error:
        _log.info("the compiled scan '%s' can't be kept in %s (%s)", name, folder, error)
    try:
        with tempfile.TemporaryDirectory(prefix="s2s-") as temporary:  # a loaded library needs its file no longer
            return _cached(name, Path(temporary))
    except OSError as error:
        raise BuildFailed(str(error)) from None


def _cached(name: str, folder: Path) -> ctypes.CDLL:
    file = folder / f"{name}.so"
    if (loaded := _load(file)) is not None:
        return loaded
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{name}.lock"):
        if (loaded := _load(file)) is not None:  # another process built it in the meantime
            return loaded
        _build(name, file)
    return ctypes.CDLL(str(file))


def _load(file: Path) -> ctypes.CDLL | None:
    """The library, if it is there and whole: to load one that was cut off can end the process."""
    try:
        whole = _digest(file).read_bytes() == hashlib.sha256(file.read_bytes()).hexdigest().encode()
        return ctypes.CDLL(str(file)) if whole else None
    except OSError:
        return None


def _digest(file: Path) -> Path:
    return file.with_suffix(".sha256")


def _build(name: str, file: Path) -> None:
    """Compiled under other names and moved at the end, so that a process killed in between leaves nothing half done."""
    _log.info("building the compiled scan '%s' (once for this machine)", name)
    start = time.perf_counter()
    made, digest = file.with_suffix(".part"), file.with_suffix(".part.sha256")
    _compile(SOURCES / f"{name}.cpp", made)
    digest.write_text(hashlib.sha256(made.read_bytes()).hexdigest())
    os.replace(made, file)
    os.replace(digest, _digest(file))
    _log.info("built the compiled scan '%s' in %.1f s", name, time.perf_counter() - start)


def _compile(source: Path, made: Path) -> None:
    """With the instructions of this processor and threads, where the compiler and torch's OpenMP runtime allow them."""
    parts = _parts_of_torch(source)
    flags = [*FLAGS, *_native(), *parts.including]
    runtime = _openmp()
    made_object = made.with_suffix(".o")
    if runtime and _links(runtime):
        # Not linked with -fopenmp, which would add the compiler's own runtime: two in one process fight over the cores.
        _run(*flags, "-fopenmp", "-c", str(source), "-o", str(made_object))
        _run("-shared", str(made_object), *parts.linking, *_linking(runtime), "-o", str(made))
        made_object.unlink()
    else:
        _run(*flags, "-shared", str(source), *parts.linking, "-o", str(made))


class _Parts(NamedTuple):
    """Words for the compiler and for the linker."""

    including: list[str]
    linking: list[str]


def _parts_of_torch(source: Path) -> _Parts:
    """Of a source that includes torch's headers; most do not, and need torch for its tensors' addresses alone."""
    if "#include <c10/" not in source.read_text(encoding="utf-8"):
        return _Parts([], [])
    root = Path(torch.__file__).parent
    new_strings = int(torch.compiled_with_cxx11_abi())
    including = ["-isystem", str(root / "include"), f"-D_GLIBCXX_USE_CXX11_ABI={new_strings}"]
    return _Parts(including, [str(root / "lib" / "libc10.so"), f"-Wl,-rpath,{root / 'lib'}"])


def _native() -> list[str]:
    """The flag by which this compiler takes the instructions of this processor; clang on ARM has another."""
    for flag in ("-march=native", "-mcpu=native"):
        with contextlib.suppress(BuildFailed):
            _run(flag, "-fsyntax-only", "-x", "c++", "-", text=PROBE)
            return [flag]
    return []


def _openmp() -> Path | None:
    """The OpenMP runtime that torch brings along and has loaded."""
    return next(iter(sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))), None)


def _linking(runtime: Path) -> list[str]:
    return [str(runtime), f"-Wl,-rpath,{runtime.parent}", "-Wl,-z,defs"]


def _links(runtime: Path) -> bool:
    """Whether what this compiler makes of `omp parallel` finds its functions in torch's runtime."""
    with tempfile.TemporaryDirectory(prefix="s2s-") as folder, contextlib.suppress(BuildFailed):
        made = f"{folder}/probe.o"
        _run("-fopenmp", "-fPIC", "-c", "-x", "c++", "-", "-o", made, text=PROBE)
        _run("-shared", made, *_linking(runtime), "-o", f"{folder}/probe.so")
        return True
    return False


def _run(*arguments: str, text: str = "") -> str:
    """What the compiler prints; BuildFailed with the last of its complaints."""
    command = [*_compiler(), *arguments]
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise BuildFailed(f"{shlex.join(command)}: {error}") from None
    if done.returncode != 0:
        last = "\n".join(done.stderr.strip().splitlines()[-12:])
        raise BuildFailed(f"{shlex.join(command)} ended with {done.returncode}:\n{last}")
    return done.stdout


def _compiler() -> list[str]:
    """The command of the C++ compiler, by its full path; empty where there is none."""
    for candidate in (own,) if (own := os.environ.get("CXX", "").strip()) else ("c++", "g++", "clang++"):
        program, *options = shlex.split(candidate)
        if found := shutil.which(program):
            return [found, *options]
    return []


def _key(name: str) -> str:
    """Names everything that the library depends on."""
    texts = [file.read_text(encoding="utf-8") for file in (SOURCES / f"{name}.cpp", *sorted(SOURCES.glob("*.hpp")))]
    version = _run("--version").partition("\n")[0]
    machine = (torch.__version__, str(_openmp()), sysconfig.get_platform(), _processor())
    everything = "\0".join([*texts, *_compiler(), version, *FLAGS, *machine])
    return hashlib.sha256(everything.encode()).hexdigest()[:16]


def _processor() -> str:
    """The instructions of this processor, as far as the system says."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        return next((line for line in file if line.startswith(("flags", "Features"))), platform.processor())
    return platform.processor()

"""The folder of a comparison or study: recognised, not taken by something else, and used by one program at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from s2s.config import Config
from s2s.config.io import check, dump, read_toml
from s2s.errors import UserError
from s2s.sweeps.axes import flat
from s2s.sweeps.supervise import Job
from s2s.training.files import write_text


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share(configs: list[Config], jobs: int | None) -> tuple[int, int]:
    """Runs at once, and the threads of one that does not say itself.

    As many runs as there are cores for their threads (one where `training.threads` says nothing), and on a GPU one;
    cores that are left over go to the runs.
    """
    asked = max((config.training.threads or 1 for config in configs), default=1)
    at_once = jobs or (1 if any(map(_on_gpu, configs)) else max(1, cores() // asked))
    at_once = min(at_once, max(1, len(configs)))
    return at_once, max(1, cores() // at_once)


def _on_gpu(config: Config) -> bool:
    device = config.training.device
    return device in ("cuda", "mps") or (device == "auto" and Path("/dev/nvidia0").exists())


@contextmanager
def opened(folder: Path, mark: str, what: str) -> Iterator[Path]:
    """Within the context the folder is this program's; yields where its runs are.

    Args:
        mark: the file that such a folder has; it is for the caller to write.
        what: what the folder holds, for messages.

    Raises:
        UserError: it holds something else, can't be written to, or another program works there.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; expected a folder for {what}. Choose one with -o")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / mark).is_file():
        raise UserError(
            f"{folder}: is not empty and holds no {what.split()[-1]} (no {mark}), so it is left alone. Choose another"
            " folder (-o)"
        )
    runs = folder / "runs"
    try:
        runs.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise UserError(f"{folder}: another program works on {what} there; wait for its end or stop it") from None
    except OSError as error:
        raise UserError(
            f"{folder}: can't be written to ({error.strerror or error}); expected a folder for {what} that this user"
            " may write to. Choose another with -o"
        ) from None
    try:
        yield runs
    finally:
        lock.release()


def write_recipe(job: Job, config: Config, comment: str) -> None:
    """The run's recipe, unless it stands there already.

    Raises:
        UserError: there is one with another configuration.
    """
    if job.recipe.exists():
        old = check(read_toml(job.recipe), str(job.recipe))
        if old == config:
            return
        before, now = (flat(one.model_dump(mode="json"), str(job.recipe)) for one in (old, config))
        differing = [f"{key} was {before[key]!r} and is {now[key]!r}" for key in now if before.get(key) != now[key]]
        raise UserError(
            f"{job.recipe}: the run began with other keys: {'; '.join(differing)}. Give the same, or choose another"
            " folder (-o)"
        )
    write_text(job.recipe, dump(config, header=[comment]))

"""The peers' virtual environments: `python benchmarks/peers/environments.py DIR` makes DIR/joey and DIR/onmt.

Both toolkits are older than the libraries of today. What they lack is installed beside them, and what the libraries no
longer take is mended in their installed files. An environment that is there and whole is left as it is.
"""

from __future__ import annotations

import subprocess
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Annotated

import typer

TORCH = "torch==2.13.0"
JOEYNMT = "joeynmt==2.3.0"
OPENNMT = "OpenNMT-py==3.5.1"
SENTENCEPIECE = "sentencepiece==0.2.0"
"""Later ones lack a method that JoeyNMT calls (`SetVocabulary`)."""


@dataclass(frozen=True)
class Mend:
    """A passage of an installed file, and what stands there instead."""

    file: str
    """In `site-packages`."""
    old: str
    new: str

    def done(self, site: Path) -> bool:
        """Whether it was applied before.

        Raises:
            SystemExit: the file has neither passage, or the old one more than once: it is of another version.
        """
        path = site / self.file
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if text.count(self.old) > 1 or (self.old not in text and self.new not in text):
            raise SystemExit(f"{path}: can't be mended; expected this once:\n{self.old}")
        return self.old not in text

    def apply(self, site: Path) -> None:
        """Write the new passage; nothing where it is there."""
        if not self.done(site):
            path = site / self.file
            path.write_text(path.read_text(encoding="utf-8").replace(self.old, self.new), encoding="utf-8")


NO_VERBOSE = Mend(
    "joeynmt/builders.py",
    old='"mode": scheduler_mode,\n            "verbose": False,\n',
    new='"mode": scheduler_mode,\n',
)
"""torch's ReduceLROnPlateau has no such argument any more."""
WHOLE_CHECKPOINTS = Mend(
    "onmt/models/model_saver.py",
    old='torch.load(ckpt_path, map_location=torch.device("cpu"))',
    new='torch.load(ckpt_path, map_location=torch.device("cpu"), weights_only=False)',
)
"""A checkpoint holds options beside its weights, which torch.load refuses unless told."""


@dataclass(frozen=True)
class Environment:
    """What is installed, and mended after that."""

    packages: tuple[str, ...]
    mends: tuple[Mend, ...]
    bare: tuple[str, ...] = ()
    """Packages without what they say they require."""

    def whole(self, site: Path) -> bool:
        """Whether all of it is in a folder of packages, in the versions that are named."""
        return all(has(site, each) for each in (*self.packages, *self.bare)) and all(
            mend.done(site) for mend in self.mends
        )


ENVIRONMENTS: Mapping[str, Environment] = {
    # importlib_metadata: JoeyNMT imports it and does not require it.
    "joey": Environment((TORCH, JOEYNMT, "importlib_metadata", SENTENCEPIECE), (NO_VERBOSE,)),
    # OpenNMT-py requires a torch below 2.3. Of what else it requires, here is what its training and its search import.
    "onmt": Environment(
        (
            *(TORCH, "numpy", "configargparse", "pyyaml", "sacrebleu", "sentencepiece"),
            *("pyonmttok", "rapidfuzz", "pyahocorasick", "fasttext-wheel", "spacy"),
        ),
        (WHOLE_CHECKPOINTS,),
        bare=(OPENNMT,),
    ),
}


def has(site: Path, package: str) -> bool:
    """Whether a package (`name` or `name==version`) is in a folder of packages; a build's tag (`+cpu`) is no matter."""
    name, _, version = package.partition("==")
    found = [each.version.partition("+")[0] for each in distributions(name=name, path=[str(site)])]
    return version in found if version else bool(found)


def site_of(folder: Path) -> Path | None:
    """An environment's folder of packages; None where there is none."""
    return next(folder.glob("lib/python3*/site-packages"), None)


def make(folder: Path, environment: Environment) -> None:
    """Make an environment, or complete one.

    Raises:
        SystemExit: pip failed, or a file can't be mended.
    """
    site = site_of(folder)
    if site and environment.whole(site):
        print(f"{folder}: whole")
        return
    print(f"{folder}: installing")
    venv.create(folder, with_pip=True, symlinks=True)
    install(folder, *environment.packages)
    if environment.bare:
        install(folder, "--no-deps", *environment.bare)
    site = site_of(folder)
    assert site, "an environment that was made has one"
    for mend in environment.mends:
        mend.apply(site)


def install(folder: Path, *words: str) -> None:
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *words]
    if code := subprocess.run(command).returncode:
        raise SystemExit(f"{' '.join(command)}: ended with {code}")


def main(
    folder: Annotated[Path, typer.Argument(help="Folder of both environments: WORK/envs of benchmarks/training.py.")],
) -> None:
    """Make the environments of JoeyNMT and OpenNMT-py: about 5 minutes and 3 GB."""
    for name, environment in ENVIRONMENTS.items():
        make(folder / name, environment)


if __name__ == "__main__":
    typer.run(main)

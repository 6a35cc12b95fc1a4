"""JoeyNMT, OpenNMT-py and this toolkit behind one face: how each is trained, what its log says, how it answers."""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from peers import settings
from peers.place import Place
from peers.settings import NEVER
from s2s.build.folder import RunFolder
from s2s.sweeps.ran import count_parameters

HERE = Path(__file__).resolve().parent
LEAST = 5
"""Updates of a window that counts: a log that also goes by the clock has shorter ones."""
S2S = [sys.executable, "-m", "s2s"]


class Window(NamedTuple):
    """What a log says of some updates."""

    first: int
    """The update that it begins after."""
    last: int
    rate: float
    """Target tokens a second, ends of sentences counted."""


class Tool(Protocol):
    """A toolkit with a model that it can train, in a folder of that model's own."""

    @property
    def name(self) -> str: ...

    def train(self, folder: Path, updates: int, *, seed: int, validate: int) -> list[str]:
        """The command that trains; `validate`: updates between validations, for who needs them to choose a model."""
        ...

    def windows(self, folder: Path) -> list[Window]:
        """Speeds, of a run whose output is in `train.log`."""
        ...

    def parameters(self, folder: Path) -> int: ...

    def answer(self, folder: Path) -> list[str]:
        """The command of a worker."""
        ...

    def start(self, folder: Path, line: Path) -> dict[str, list[str]]:
        """What a user waits for: help, and a program that translates the line of a file (also on standard input)."""
        ...


def _log(folder: Path) -> str:
    return (folder / "train.log").read_text(encoding="utf-8", errors="replace")


def _windows(rates: Sequence[tuple[str, str]]) -> list[Window]:
    steps = [0, *(int(step) for step, _ in rates)]
    return [Window(first, int(step), float(rate)) for first, (step, rate) in zip(steps, rates, strict=False)]


@dataclass(frozen=True)
class Joey:
    """JoeyNMT 2.3. It halves its rate where validations stall, so it needs some."""

    place: Place
    name: str = "joey"

    def train(self, folder: Path, updates: int, *, seed: int, validate: int) -> list[str]:
        order = settings.Order(self.place.data.resolve(), folder.resolve(), updates, seed, validate)
        config = settings.write(settings.joey(order), folder / "joey.json")
        return [self.place.program("joey"), "-m", "joeynmt", "train", config, "--skip-test"]

    def windows(self, folder: Path) -> list[Window]:
        return _windows(re.findall(r"Step: +(\d+), .*Tokens per Sec: +(\d+)", _log(folder)))

    def parameters(self, folder: Path) -> int:
        return int(re.findall(r"Total params: (\d+)", _log(folder))[0])

    def answer(self, folder: Path) -> list[str]:
        return [self.place.program("joey"), "-m", "peers.answer_joey", str(folder / "model")]

    def start(self, folder: Path, line: Path) -> dict[str, list[str]]:
        del line  # it reads standard input
        program = [self.place.program("joey"), "-m", "joeynmt"]
        return {"help": [*program, "--help"], "translate": [*program, "translate", str(folder / "model/config.yaml")]}


@dataclass(frozen=True)
class Onmt:
    """OpenNMT-py 3.5, at a constant rate; what is left at the end of a run is its model."""

    place: Place
    name: str = "onmt"

    def train(self, folder: Path, updates: int, *, seed: int, validate: int) -> list[str]:
        del validate
        order = settings.Order(self.place.data.resolve(), folder.resolve(), updates, seed)
        config = settings.write(settings.onmt(order), folder / "onmt.json")
        return [self.place.program("onmt", "onmt_train"), "-config", config]

    def windows(self, folder: Path) -> list[Window]:
        return _windows(re.findall(r"Step +(\d+)/.*; +\d+/ *(\d+) tok/s", _log(folder)))

    def parameters(self, folder: Path) -> int:
        return int(re.findall(r"number of parameters: (\d+)", _log(folder))[0])

    def answer(self, folder: Path) -> list[str]:
        return [self.place.program("onmt"), "-m", "peers.answer_onmt", self._model(folder), str(self.place.data)]

    def start(self, folder: Path, line: Path) -> dict[str, list[str]]:
        program = self.place.program("onmt", "onmt_translate")
        search = settings.onmt_search(self._model(folder), self.place.data)
        words = settings.words({**search, "src": line, "output": f"{line}.onmt"})
        return {"help": [program, "--help"], "translate": [program, *words]}

    def _model(self, folder: Path) -> str:
        models = sorted(folder.glob("m_step_*.pt"), key=lambda path: path.stat().st_mtime)
        if not models:
            raise SystemExit(f"{folder}: no model of OpenNMT-py (m_step_*.pt); train one with benchmarks/training.py")
        return str(models[-1])


@dataclass(frozen=True)
class Ours:
    """This toolkit, with `s2s.toml` and keys that differ from it."""

    place: Place
    name: str
    keys: tuple[str, ...] = ()

    def train(self, folder: Path, updates: int, *, seed: int, validate: int) -> list[str]:
        del validate
        data = {name: [str(self.place.data / f"{name}.{code}") for code in ("de", "en")] for name in ("train", "dev")}
        words = [f"data.train={json.dumps(data['train'])}", f"data.valid={json.dumps(data['dev'])}", *self.keys]
        words += [f"training.updates={updates}", f"training.validate_every={NEVER}", f"training.seed={seed}"]
        return [*S2S, "train", str(HERE / "s2s.toml"), *words, "-o", str(folder / "run"), "--overwrite"]

    def windows(self, folder: Path) -> list[Window]:
        lines = [line for line in RunFolder(folder / "run").log_lines() if line["event"] == "train"]
        return _windows([(line["step"], line["tokens_per_second"]) for line in lines])

    def parameters(self, folder: Path) -> int:
        count = count_parameters(RunFolder(folder / "run").weights)
        assert count is not None, "a run that ended has weights"
        return count

    def answer(self, folder: Path) -> list[str]:
        return [sys.executable, "-m", "peers.answer_ours", str(folder / "run")]

    def start(self, folder: Path, line: Path) -> dict[str, list[str]]:
        del line
        return {"help": [*S2S, "--help"], "translate": [*S2S, "translate", str(folder / "run"), "--beam", "5"]}

    def precision(self, folder: Path) -> str:
        """Of the products of a run."""
        return str(RunFolder(folder / "run").read()[1]["identity"]["precision"])

    def tokens_per_sentence(self, folder: Path) -> float:
        """Of the English training texts in the run's own pieces, the end of sentence counted."""
        from s2s.session import load

        texts = self.place.lines("train.en")
        return 1 + sum(map(len, load(folder / "run").target.encode_batch(texts))) / len(texts)


SIZES = {"s2s-256": "joey", "s2s-joey": "joey", "s2s-512": "onmt"}
"""Our models, and the peer of the same size; `s2s-joey` is the very model of JoeyNMT."""
_KEYS = {
    "s2s-256": (),
    "s2s-joey": ("model.attention=joey", "model.tie=none", "training.precision=bfloat16"),
    "s2s-512": ("model.decoder.hidden_size=512",),
}


def tools(place: Place, names: Sequence[str], keys: Sequence[str] = ()) -> dict[str, Tool]:
    """Tools by name; `keys` are of all our models."""
    known: dict[str, Tool] = {"joey": Joey(place), "onmt": Onmt(place)}
    known |= {name: Ours(place, name, (*own, *keys)) for name, own in _KEYS.items()}
    if unknown := set(names) - set(known):
        raise SystemExit(f"{', '.join(sorted(unknown))}: no such model; expected {', '.join(known)}")
    return {name: known[name] for name in names}


def speed(windows: Sequence[Window], skip: int) -> float:
    """The median of windows that begin after `skip` updates, of a few updates at least.

    Raises:
        SystemExit: there is none.
    """
    rates = [window.rate for window in windows if window.first >= skip and window.last - window.first >= LEAST]
    if not rates:
        raise SystemExit(f"no window after update {skip}; raise --updates. There are: {windows}")
    return statistics.median(rates)

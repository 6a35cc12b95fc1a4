"""`s2s average`: one model from several of a run, or of several runs that began alike."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from s2s.build.best import best_models, weights_of
from s2s.build.folder import RunFolder
from s2s.build.load import load_translator
from s2s.build.report import model_card
from s2s.build.say import say
from s2s.errors import UserError
from s2s.training.checkpoint import Checkpoints
from s2s.training.files import write_text


@dataclass(frozen=True)
class Wanted:
    """Which models of each run: one of these, or none for its `model.safetensors`."""

    last: int | None = None
    best: int | None = None
    checkpoints: Sequence[int] = field(default_factory=list)


def average(runs: Sequence[Path], out: Path, wanted: Wanted, *, overwrite: bool, console: Console) -> None:
    """Write a run whose weights are the mean of others' and whose rest is the first run's.

    Raises:
        UserError: the choice is none, a model is missing, the models differ in shape or vocabulary, or `out` is taken.
    """
    options = sum(map(bool, (wanted.last, wanted.best, wanted.checkpoints)))
    if options > 1 or (len(runs) == 1 and not options):
        raise UserError(
            f"{' '.join(map(str, runs))}: got {options} choices of models, expected one: --last K, --best K, or"
            " --checkpoint STEP at least twice; only several runs have an average without one, of their best models"
        )
    target = RunFolder(out)
    target.refuse_if_taken(overwrite=overwrite)
    if out.resolve() in [run.resolve() for run in runs]:
        raise UserError(f"{out}: is one of the runs that are averaged; choose another folder with -o")
    folders = [RunFolder(run) for run in runs]
    config, about = folders[0].read()
    if config.data.task:
        raise UserError(
            f"{runs[0]}: answers a sequence task; only models of texts can be averaged. training.ema averages while"
            " training, and is for all"
        )
    for folder in folders[1:]:
        if folder.read()[1]["vocabulary"] != about["vocabulary"]:
            raise UserError(f"{folder.path}: has another vocabulary than {runs[0]}; only models of one can be averaged")
    files = [file for folder in folders for file in _files(folder, wanted)]
    if len(files) < 2:
        raise UserError(f"{files[0]}: one model has no average; name at least two")
    weights = mean_weights(files)
    names = [str(file) for file in files]
    told: dict[str, Any] = {"name": out.name, "averaged": names}
    told |= {key: about[key] for key in ("languages", "directions", "vocabulary", "identity") if key in about}

    def fill(new: RunFolder) -> None:
        shutil.copytree(folders[0].path / "text", new.path / "text")
        if folders[0].stdin.is_file():
            shutil.copy(folders[0].stdin, new.stdin)
        save_file(weights, new.weights, metadata={"vocabulary": about["vocabulary"], "averaged": str(len(files))})

    header = ["the weights are the mean of", *(f"  {name}" for name in names)]
    config = config.model_copy(update={"name": out.name})
    with target.lock():
        target.create(config, told, fill, header=header)
    write_text(target.card, model_card(load_translator(out, device="cpu"), {}, {}))
    say(console, f"The mean of {len(files)} models is in {out}: {', '.join(names)}")


def _files(folder: RunFolder, wanted: Wanted) -> list[Path]:
    """The weights that are wanted of one run.

    Raises:
        UserError: it does not have them.
    """
    checkpoints = Checkpoints(folder.checkpoints)
    if wanted.last is not None:
        steps = [step for step in checkpoints.steps() if step > 0]  # the one of 0 has learned nothing
        _enough(folder, f"--last {wanted.last}", wanted.last, steps, "training.keep")
        return [checkpoints.at(step) / "model.safetensors" for step in steps[-wanted.last :]]
    if wanted.best is not None:
        steps = [row["update"] for row in best_models(folder)]
        _enough(folder, f"--best {wanted.best}", wanted.best, steps, "training.keep_best")
        return [weights_of(folder, step) for step in steps[: wanted.best]]
    if wanted.checkpoints:
        return [checkpoints.at(step) / "model.safetensors" for step in wanted.checkpoints]
    return [folder.weights]


def _enough(folder: RunFolder, option: str, count: int, steps: Sequence[int], key: str) -> None:
    if len(steps) < count:
        there = f"of updates {', '.join(map(str, steps))}" if steps else "none"
        raise UserError(
            f"{folder.path}: {option} asks for {count} models, there are {len(steps)} ({there}); ask for fewer, or"
            f" train with a higher {key}"
        )


def mean_weights(files: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of each tensor, taken in float64 and cast back; what is no floating point is the first file's.

    Raises:
        UserError: a file is missing or damaged, or differs from the first in names or shapes.
    """
    with ExitStack() as stack:
        opened = []
        for file in files:
            if not file.is_file():
                raise UserError(f"{file}: no such file; was it moved away?")
            try:
                opened.append(stack.enter_context(safe_open(file, "pt")))
            except SafetensorError as error:
                raise UserError(f"{file}: not a whole safetensors file ({error}); leave it out") from None
        shapes = [{name: tuple(one.get_slice(name).get_shape()) for name in one.keys()} for one in opened]  # noqa: SIM118
        for file, shape in zip(files, shapes, strict=True):
            _same_shape(files[0], shapes[0], file, shape)
        return {name: _mean([one.get_tensor(name) for one in opened]) for name in shapes[0]}


def _same_shape(
    first: Path, expected: dict[str, tuple[int, ...]], file: Path, found: dict[str, tuple[int, ...]]
) -> None:
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise UserError(
                f"{file}: {name} is {found.get(name, 'missing')}, but {expected.get(name, 'missing')} in {first};"
                " only models of one shape can be averaged"
            )


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    if not tensors[0].is_floating_point():
        return tensors[0]
    total = torch.zeros_like(tensors[0], dtype=torch.float64)
    for tensor in tensors:
        total += tensor
    return (total / len(tensors)).to(tensors[0].dtype)

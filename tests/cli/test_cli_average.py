"""`s2s average`, and the models and checkpoints that it is made from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_tools import DATES, PHRASES, SMALL, refused, s2s, snapshot, train, weights
from safetensors.torch import load_file

WORDS = (*DATES, "training.epochs=5", "training.keep=3", "training.keep_best=2", "training.ema=0.5")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five epochs of seven updates, with three checkpoints and the two best models; only to be read."""
    run = tmp_path_factory.mktemp("average") / "run"
    train(*WORDS, "-o", run)
    return run


def rows(run: Path) -> list[dict[str, Any]]:
    manifest: list[dict[str, Any]] = json.loads((run / "best/manifest.json").read_text())
    return manifest


class TestKeepBest:
    def test_the_best_few_are_kept_with_their_scores(self, trained: Path) -> None:
        valid = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
        losses = {row["step"]: row["loss"] for row in valid if row["event"] == "valid"}
        assert len(losses) == 5
        order = {row["step"]: (-row["exact_match"], row["loss"]) for row in valid if row["event"] == "valid"}
        best = sorted(losses, key=lambda step: order[step])[:2]
        assert [row["update"] for row in rows(trained)] == best
        assert [row["scores"]["loss"] for row in rows(trained)] == [losses[step] for step in best]
        files = {path.name for path in (trained / "best").iterdir()}
        assert files == {"manifest.json", *(f"step-{step}.safetensors" for step in best)}

    def test_the_first_of_them_is_the_model(self, trained: Path) -> None:
        first = rows(trained)[0]["update"]
        assert weights(trained / f"best/step-{first}.safetensors") == weights(trained / "model.safetensors")

    def test_a_resumed_run_keeps_the_same(self, trained: Path, here: Path) -> None:
        train(*WORDS, "-o", "run", "training.updates=10", "training.checkpoint_every=10", "training.epochs=5")
        train("--resume", "run", "training.updates=none")
        assert rows(here / "run") == rows(trained)
        for file in (f"best/step-{row['update']}.safetensors" for row in rows(trained)):
            assert weights(here / "run" / file) == weights(trained / file)

    def test_one_is_the_model_alone(self, dates: Path) -> None:
        assert not (dates / "best").exists()


class TestMovingAverage:
    def test_it_is_the_model(self, trained: Path) -> None:
        newest = trained / "checkpoints/step-35"
        assert (newest / "ema.safetensors").is_file()
        if rows(trained)[0]["update"] == 35:
            kept, average = load_file(trained / "model.safetensors"), load_file(newest / "ema.safetensors")
            assert all(torch.equal(tensor, average[name]) for name, tensor in kept.items())

    def test_it_goes_on_exactly(self, trained: Path, here: Path) -> None:
        shutil.copytree(trained, here / "run")
        train("--resume", "run", "training.epochs=6")
        train(*WORDS, "-o", "whole", "training.epochs=6")
        for name in ("model", "ema", "optimizer"):
            file = f"checkpoints/step-42/{name}.safetensors"
            assert weights(here / "run" / file) == weights(here / "whole" / file), name


def means(out: Path, files: list[Path]) -> None:
    """Each tensor of a run's model is the mean of those of the files."""
    found, parts = load_file(out / "model.safetensors"), [load_file(file) for file in files]
    assert len(files) >= 2
    assert found.keys() == parts[0].keys()
    for name, tensor in found.items():
        mean = torch.stack([part[name].double() for part in parts]).mean(0)
        assert torch.equal(tensor, mean.float()), name


class TestAverage:
    @pytest.mark.parametrize(
        ("words", "steps"),
        [
            (("--last", "2"), (28, 35)),
            (("--last", "3"), (21, 28, 35)),
            (("--checkpoint", "21", "--checkpoint", "35"), (21, 35)),
        ],
    )
    def test_of_checkpoints(self, trained: Path, here: Path, words: tuple[str, ...], steps: tuple[int, ...]) -> None:
        result = s2s("average", trained, *words, "-o", "mean")
        assert result.code == 0, result.err
        assert f"The mean of {len(steps)} models is in mean" in result.err
        means(here / "mean", [trained / f"checkpoints/step-{step}/model.safetensors" for step in steps])

    def test_of_the_best(self, trained: Path, here: Path) -> None:
        assert s2s("average", trained, "--best", "2", "-o", "mean").code == 0
        means(here / "mean", [trained / f"best/step-{row['update']}.safetensors" for row in rows(trained)])

    def test_of_runs_that_began_alike(self, trained: Path, here: Path) -> None:
        tuned = ("training.epochs=1", "training.learning_rate=0.001")
        train(*DATES, *tuned, "--init-from", trained, "-o", "a", "training.seed=2")
        train(*DATES, *tuned, "--init-from", trained, "-o", "b", "training.seed=3")
        assert s2s("average", "a", "b", "-o", "mean").code == 0
        means(here / "mean", [here / "a/model.safetensors", here / "b/model.safetensors"])

    def test_it_is_a_whole_run(self, trained: Path, here: Path) -> None:
        s2s("average", trained, "--last", "2", "-o", "mean")
        shutil.copytree(here / "mean", here / "moved")  # needs nothing of the run that it came from
        answered = s2s("translate", "moved", stdin=b"May 1, 2001\nJUNE 9, 1975\n")
        assert answered.code == 0, answered.err
        assert answered.out.count("\n") == 2
        scored = s2s("evaluate", "moved", "--json")
        assert scored.code == 0, scored.err
        assert json.loads(scored.out)["n"] == 20
        assert "# mean" in (here / "moved/README.md").read_text()
        assert "checkpoints/step-28" in (here / "moved/config.toml").read_text().partition("name =")[0]
        assert len(json.loads((here / "moved/run.json").read_text())["averaged"]) == 2
        train("date-attention", *SMALL, "data.train_size=200", "training.epochs=1", "--init-from", "moved", "-o", "on")
        refused(s2s("train", "--resume", "moved"), "nothing to resume from")

    @pytest.mark.parametrize(
        ("words", "parts"),
        [
            ((), ("got 0 choices", "--last K", "--best K", "--checkpoint STEP")),
            (("--last", "2", "--best", "2"), ("got 2 choices",)),
            (("--last", "1"), ("one model has no average",)),
            (("--last", "4"), ("asks for 4 models, there are 3", "21, 28, 35", "training.keep")),
            (("--best", "3"), ("asks for 3 models, there are 2", "training.keep_best")),
            (("--checkpoint", "21", "--checkpoint", "22"), ("no checkpoint of update 22", "21, 28, 35")),
        ],
    )
    def test_what_is_not_there(self, trained: Path, here: Path, words: tuple[str, ...], parts: tuple[str, ...]) -> None:
        refused(s2s("average", trained, *words, "-o", "mean"), *parts)
        assert list(here.iterdir()) == []

    def test_models_that_do_not_fit_together(self, trained: Path, here: Path) -> None:
        train(*DATES, "training.epochs=0", "model.hidden_size=8", "-o", "narrow")
        refused(s2s("average", trained, "narrow", "-o", "mean"), "narrow/model.safetensors", "only models of one shape")
        train(*DATES, "training.epochs=0", "model.core=gru", "-o", "gru")
        refused(s2s("average", trained, "gru", "-o", "mean"), "gru/model.safetensors", "only models of one shape")
        train(PHRASES, *SMALL, "training.epochs=0", "-o", "phrases")
        refused(s2s("average", trained, "phrases", "-o", "mean"), "phrases: has another vocabulary")
        refused(s2s("average", trained, here / "none", "-o", "mean"), "no such folder")
        assert not (here / "mean").exists()

    def test_damaged_files(self, trained: Path, here: Path) -> None:
        shutil.copytree(trained, here / "copy")
        (here / "copy/checkpoints/step-28/model.safetensors").write_bytes(b"")
        refused(s2s("average", "copy", "--last", "2", "-o", "mean"), "step-28/model.safetensors is missing or damaged")
        (here / "copy/model.safetensors").write_bytes(b"123")
        refused(s2s("average", trained, "copy", "-o", "mean"), "copy/model.safetensors", "not a whole safetensors file")
        assert not (here / "mean").exists()

    def test_a_folder_that_is_taken(self, trained: Path, here: Path) -> None:
        s2s("average", trained, "--last", "2", "-o", "mean")
        before = snapshot(here)
        refused(s2s("average", trained, "--last", "3", "-o", "mean"), "already holds a run")
        assert snapshot(here) == before
        shutil.copytree(trained, here / "copy")
        refused(s2s("average", "copy", "--last", "2", "-o", "copy", "--overwrite"), "one of the runs")
        assert s2s("average", trained, "--last", "3", "-o", "mean", "--overwrite").code == 0
        means(here / "mean", [trained / f"checkpoints/step-{step}/model.safetensors" for step in (21, 28, 35)])

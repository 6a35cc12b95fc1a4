"""Sequence tasks from the command line: train, go on, evaluate, draw, and what is refused."""

from __future__ import annotations

import gzip
import json
import struct
import sys
from pathlib import Path
from typing import get_args

import pytest
from cli_tools import DATES, refused, s2s, same_run, train

from s2s.build.words import recipes
from s2s.config import Task
from s2s.tasks import TaskName

SMALL = (
    "model.kind=predictor",
    "model.bidirectional=false",
    "model.hidden_size=8",
    "training.batch_size=20",
    "training.threads=1",
    "training.precision=float32",
    "training.plots=false",
    "data.valid_size=40",
    "data.test_size=60",
)
ADDING = ("data.task=adding", "data.length=10", *SMALL)
SEQUENCE = sorted(name for name, path in recipes().items() if path.parent.name == "sequence")


def test_the_configuration_knows_every_task() -> None:
    assert set(get_args(Task)) == set(get_args(TaskName))


def scores(*words: str | Path) -> dict[str, float]:
    result = s2s("evaluate", *words, "--json")
    assert result.code == 0, result.err
    found: dict[str, float] = json.loads(result.out)
    return found


def test_a_task_is_learned_scored_and_kept(here: Path) -> None:
    told = train(
        "data.task=length", "data.length=12", "-o", "run", *SMALL, "model.core=gru", "training.learning_rate=2e-2",
        "training.updates=300", "training.validate_every=100", "training.metric=exact_match",
    )  # fmt: skip
    assert "task length: 100,000 examples an epoch" in told.err
    assert scores("run")["exact_match"] > 0.95
    kept = json.loads((here / "run" / "scores.json").read_text())
    gradient = kept.pop("gradient")
    assert [at for at, _ in gradient["trained"]] == list(range(12))
    assert gradient["fresh"] != gradient["trained"]
    assert kept == {key: value for key, value in scores("run").items() if key != "run"}
    assert sum(row["n"] for row in kept["by_length"]) == 60
    assert "sequence task `length`" in (here / "run" / "README.md").read_text()
    assert "all right" in s2s("evaluate", "run").out


@pytest.mark.parametrize("core", ["rwa", "sru"])
def test_going_on_is_exact(here: Path, core: str) -> None:
    words = (*ADDING, f"model.core={core}", "training.validate_every=3", "training.ema=0.9")
    train(*words, "-o", "whole", "training.updates=8")
    train(*words, "-o", "half", "training.updates=5")
    train("--resume", "half", "training.updates=8")
    assert same_run(here / "whole", here / "half")


@pytest.mark.parametrize(
    ("task", "whole"), [("bit-count", 1024), ("binary-addition", 16384), ("copy", 0), ("reber", 0)]
)
def test_every_generated_task_runs(here: Path, task: str, whole: int) -> None:
    train(f"data.task={task}", *SMALL, "-o", "run", "training.updates=2", "model.input_layer=true")
    found = json.loads((here / "run" / "scores.json").read_text())
    assert found["task"] == task
    assert found["n"] == 60
    assert found.get("whole", {"n": 0})["n"] == whole


@pytest.mark.usefixtures("here")
def test_pooling_and_layers() -> None:
    for pooling in ("last", "state", "mean", "attention"):
        extra = ("model.layers=2", "model.bidirectional=true", f"model.pooling={pooling}")
        train(*ADDING, *extra, "-o", pooling, "training.updates=2")
    assert len({scores(pooling)["loss"] for pooling in ("last", "state", "mean", "attention")}) == 4


def test_without_matplotlib_a_run_ends_well_and_drawing_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for name, words in (("task", ADDING), ("dates", DATES)):
        train(*words, "-o", name, "training.updates=1", "training.plots=true")
        assert (here / name / "scores.json").exists()
        assert not (here / name / "plots").exists()
        refused(s2s("plot", name), "needs matplotlib", "s2s[plot]")


def test_a_run_without_a_final_test(here: Path) -> None:
    for name, words in (("task", ADDING), ("dates", DATES)):
        train(*words, "-o", name, "training.updates=1", "training.final_test=false")
        assert not (here / name / "scores.json").exists()
        assert s2s("evaluate", name).code == 0


def test_pictures(here: Path) -> None:
    train(*ADDING, "-o", "run", "training.updates=3", "model.core=lstm", "model.pooling=attention", "model.layers=2")
    assert s2s("plot", "run", "--row", "7", "-o", "pictures").code == 0
    assert {path.name for path in (here / "pictures").iterdir()} == {
        "learning-curve.png", "gradient.png", "states-layer-1-7.png", "states-layer-2-7.png", "attention-7.png",
    }  # fmt: skip


def test_pictures_of_a_text(here: Path) -> None:
    train(*DATES, "-o", "dates")
    assert s2s("plot", "dates", "--text", "May 1, 2001", "-o", "pictures").code == 0
    names = {path.name for path in (here / "pictures").iterdir()}
    assert names == {"learning-curve.png", "attention-text.png", "states-encoder-layer.png"}
    refused(s2s("plot", "dates", "--row", "1"), "--text", "--row is of sequence tasks")
    refused(s2s("plot", "dates", "--text", "  "), "only blanks")


def test_another_metric_begins_anew(here: Path) -> None:
    train(*ADDING, "-o", "run", "training.updates=2", "training.validate_every=1")
    told = train("--resume", "run", "training.updates=4", "training.metric=exact_match")
    assert "The best model was chosen by loss; from here on exact_match decides" in told.err
    lines = [json.loads(line) for line in (here / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["best"] for line in lines if line["event"] == "valid"][2] is True
    refused(s2s("train", "--resume", "run", "training.loss=mse"), "training.loss")


def test_weights_of_a_shorter_task_are_a_start(here: Path) -> None:
    train(*ADDING, "-o", "short", "training.updates=2")
    train("--init-from", "short", "data.length=14", "-o", "long", "training.updates=1")
    assert scores("long")["n"] == 60
    assert "length = 14" in (here / "long" / "config.toml").read_text()


def test_pictures_without_a_whole_log(here: Path) -> None:
    train(*ADDING, "-o", "run", "training.updates=1")
    log = here / "run" / "metrics.jsonl"
    log.write_text(log.read_text() + '{"step": 2, "ev')
    assert s2s("plot", "run", "-o", "half").code == 0
    log.unlink()
    assert s2s("plot", "run", "-o", "none").code == 0
    (here / "other").mkdir()
    train(*ADDING, "-o", "other/run", "training.updates=1")
    refused(s2s("plot", "run", "other/run", "-o", "both"), "would share a folder")


class TestRefused:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("data.task=adding", "data.length=1"), ("length", "2 to")),
            (("data.task=ading",), ("data.task", "adding")),
            (("data.task=adding", "training.loss=cross_entropy"), ("asks for numbers", "mse")),
            (("data.task=adding", "training.metric=bleu"), ("bleu", "exact_match")),
            (("data.task=adding", "training.batch_size=none"), ("training.batch_size",)),
            (("data.task=adding", "data.train_size=5"), ("does not read data.train_size",)),
            (("data.task=copy", "model.pooling=mean"), ("an answer at each step",)),
        ],
    )
    def test_what_the_task_cannot_be(self, here: Path, words: tuple[str, ...], said: tuple[str, ...]) -> None:
        refused(s2s("train", *SMALL, *words, "-o", "run"), *said)
        assert not (here / "run").exists()

    @pytest.mark.usefixtures("here")
    def test_a_task_without_a_predictor_and_the_other_way_round(self) -> None:
        refused(s2s("train", "data.task=adding", "-o", "run"), "model.kind = 'predictor'")
        refused(s2s("train", *DATES, "model.kind=predictor", "-o", "run"), "data.task")
        refused(s2s("train", *DATES, "model.pooling=mean", "-o", "run"), "model.pooling is of predictors")

    def test_verbs_that_need_text(self, here: Path) -> None:
        train(*ADDING, "-o", "run", "training.updates=1")
        refused(s2s("translate", "run"), "reads no text", "s2s evaluate run")
        refused(s2s("serve", "run", "--port", "0"), "reads no text")
        refused(s2s("plot", "run", "--row", "10000"), "0 to 9,999")
        refused(s2s("evaluate", "run", "--data", "x.tsv", "--output", "y"), "their own test examples", "--output")
        refused(s2s("evaluate", "run", "search.beam=2"), "do not search")
        refused(s2s("average", "run", "--last", "2", "-o", "mean"), "answers a sequence task")
        assert (here / "run").exists()

    def test_weights_of_another_task(self, here: Path) -> None:
        train(*ADDING, "-o", "run", "training.updates=1")
        config = here / "run" / "config.toml"
        config.write_text(config.read_text().replace("length = 10", "length = 11"))
        refused(s2s("evaluate", "run"), "another task", "data.length")
        refused(s2s("train", "--resume", "run", "training.updates=2"), "another task")

    def test_files_of_mnist_with_another_checksum(self, here: Path) -> None:
        refused(s2s("train", "pixel-mnist", "--from", ".", "-o", "run"), "4 of 4 files of mnist are missing")
        for name in MNIST:
            labels = "labels" in name
            head = struct.pack(">II", 0x801, 10) if labels else struct.pack(">IIII", 0x803, 10, 28, 28)
            (here / name).write_bytes(gzip.compress(head + bytes(10 if labels else 7840)))
        refused(s2s("train", "pixel-mnist", "--from", ".", "-o", "run"), "sha256 is", "Get the file again")


MNIST = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


@pytest.mark.parametrize("name", [name for name in SEQUENCE if "mnist" not in name])
def test_recipes_run(here: Path, name: str) -> None:
    quick = ("training.updates=2", "training.validate_every=none", "data.valid_size=20", "data.test_size=20")
    sizes = ("data.length=20",) if name.endswith("00") else ()
    smaller = ("model.hidden_size=8", "training.threads=1", "training.plots=false", "data.train_size=50")
    small = smaller if name == "addition" else smaller[:3]
    told = train(name, *quick, *sizes, *small, "-o", "run")
    assert "Ended: 2 updates done" in told.err
    assert (here / "run" / "README.md").exists()

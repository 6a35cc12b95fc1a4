"""Interrupt, resume, kill, fine-tune: the course of a run that was cut anywhere is that of one that was not."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_tools import DATES, PHRASES, SMALL, environment, ran, refused, s2s, same_run, started, train, weights
from safetensors.torch import load_file

LONG = (*DATES, "training.epochs=25", "training.checkpoint_every=5", "model.output_dropout=0.2", "model.hidden_size=48")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of LONG, never interrupted."""
    run = tmp_path_factory.mktemp("long") / "run"
    train(*LONG, "-o", run)
    return run


@pytest.fixture
def copy(dates: Path, here: Path) -> Path:
    shutil.copytree(dates, here / "copy")
    return Path("copy")


def _wait_for(path: Path, step: int) -> None:
    """Until the checkpoint of `step` (or a later one) is the latest."""
    for _ in range(6000):
        if path.is_file() and int(path.read_text().rpartition("-")[2] or 0) >= step:
            return
        time.sleep(0.005)
    pytest.fail(f"no checkpoint of step {step}")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
class TestCutOff:
    @pytest.mark.parametrize(
        ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
    )
    def test_a_signal_saves_and_says_how_to_go_on(
        self, here: Path, whole: Path, number: signal.Signals, code: int
    ) -> None:
        with started(["train", *LONG, "-o", "run"], here) as process:
            _wait_for(here / "run/checkpoints/latest", 20)
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
        assert process.returncode == code
        assert b"Traceback" not in said
        assert b"Saved. Go on with: s2s train --resume run" in said
        stopped = int((here / "run/checkpoints/latest").read_text().rpartition("-")[2])
        assert 20 <= stopped < 175
        again = train("--resume", "run").err
        assert f"Going on with run after update {stopped}" in again
        assert same_run(whole, here / "run")
        steps = [json.loads(line)["step"] for line in (here / "run/metrics.jsonl").read_text().splitlines()]
        assert steps == sorted(steps)

    def test_kill_at_random_moments(self, here: Path, whole: Path) -> None:
        moments = random.Random(7)
        words: list[str | Path] = ["train", *LONG, "-o", "run"]
        for step in (5, 60):
            with started(words, here) as process:
                _wait_for(here / "run/checkpoints/latest", step)
                time.sleep(moments.uniform(0.0, 0.2))
                process.kill()
                process.communicate(timeout=60)
            words = ["train", "--resume", "run"]
        assert s2s("translate", "run", stdin=b"May 1, 2001\n").code in (0, 2)
        train("--resume", "run")
        assert same_run(whole, here / "run")

    @pytest.mark.parametrize("share", [12, pytest.param(60, marks=pytest.mark.slow)])
    def test_kill_at_every_step_of_saving(self, here: Path, share: int) -> None:
        script = Path(__file__).with_name("cut_off.py")
        words = (*DATES, "training.updates=3", "training.validate_every=1", "model.output_dropout=0.2")
        words += ("training.ema=0.5", "training.keep_best=2")
        done = subprocess.run(
            [sys.executable, script, str(share), *words], cwd=here, env=environment(), capture_output=True, timeout=280
        )
        assert done.returncode == 0, done.stderr.decode()
        found = json.loads(done.stdout)
        assert found["operations"] > 40
        assert found["wrong"] == []
        assert found["resumed"] > share // 2


MACHINERY = (
    *("model.output_dropout=0.2", "training.accumulate=3", "training.ema=0.9", "training.keep_best=3"),
    *("training.schedule=noam", "training.warmup=4", "training.checkpoint_every=4", "training.batch_size=12"),
)


class TestMachinery:
    def test_it_resumes_to_the_same_bits(self, here: Path) -> None:
        """Accumulation, moving average, schedule and the best few: twice cut, in mid-epoch (6 updates each)."""
        words = (*DATES, *MACHINERY)
        train(*words, "training.epochs=4", "-o", "whole")
        train(*words, "training.updates=4", "-o", "cut")
        train("--resume", "cut", "training.updates=15")
        train("--resume", "cut", "training.updates=none", "training.epochs=4")
        assert (here / "cut/checkpoints/latest").read_text() == "step-24\n"
        assert same_run(here / "whole", here / "cut")
        average = "checkpoints/step-24/ema.safetensors"
        assert weights(here / "whole" / average) == weights(here / "cut" / average)

    def test_a_checkpoint_of_before_loads(self, copy: Path) -> None:
        """One that knows nothing of what was added since."""
        path = copy / "checkpoints/step-14/state.json"
        state = json.loads(path.read_text())
        for key in ("regular", "divergences", "splits"):
            del state["progress"][key]
        path.write_text(json.dumps(state))
        manifest = json.loads((path.parent / "manifest.json").read_text())
        manifest["state.json"] = hashlib.sha256(path.read_bytes()).hexdigest()
        (path.parent / "manifest.json").write_text(json.dumps(manifest))
        assert "after update 14" in train("--resume", copy, "training.epochs=3").err

    def test_a_run_that_diverges_goes_back_and_on(self, here: Path) -> None:
        said = s2s("train", *DATES, "-o", "run", "training.optimizer=sgd", "training.learning_rate=1e38",
                   "training.clip_norm=none")  # fmt: skip
        refused(said, "training diverged", "after going back 3 times", "checkpoint of update 0 is intact")
        assert "back to step-0 with 0.5 times the rate (1 of at most 3 times)" in said.err
        events = [json.loads(line)["event"] for line in (here / "run/metrics.jsonl").read_text().splitlines()]
        assert events.count("diverged") == 3
        train("--resume", "run", "training.learning_rate=0.1")

    def test_an_update_without_memory_is_cut(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from s2s.build import training

        whole = training.sequence_loss
        train(*DATES, "-o", "whole", "model.output_dropout=0")

        def small(model: Any, batch: Any, **options: Any) -> Any:
            if torch.is_grad_enabled() and len(batch.rows) > 20:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
            return whole(model, batch, **options)

        monkeypatch.setattr(training, "sequence_loss", small)
        said = train(*DATES, "-o", "run", "model.output_dropout=0").err
        assert "out of memory at update 1: the batch of 32 examples" in said
        left, right = (load_file(here / run / "checkpoints/step-14/model.safetensors") for run in ("run", "whole"))
        for name, tensor in left.items():
            torch.testing.assert_close(tensor, right[name], rtol=1e-3, atol=1e-3)


class TestLock:
    def test_one_run_is_trained_by_one_process(self, here: Path) -> None:
        with started(["train", *LONG, "-o", "run"], here) as process:
            _wait_for(here / "run/checkpoints/latest", 5)
            refused(s2s("train", "--resume", "run"), "run: another process is training in this run")
            refused(s2s("train", *DATES, "-o", "run", "--overwrite"), "another process is training")
            assert s2s("translate", "run", stdin=b"May 1, 2001\n").code in (0, 2)  # whoever only reads may
            process.kill()
            process.communicate(timeout=60)
        train("--resume", "run", "training.epochs=1")  # a killed process holds nothing


class TestResume:
    def test_half_and_half_is_the_whole(self, here: Path) -> None:
        words = (*DATES, "model.output_dropout=0.2", "training.schedule=constant")
        train(*words, "training.epochs=4", "-o", "whole")
        train(*words, "training.updates=11", "-o", "half")
        train("--resume", "half", "training.updates=none", "training.epochs=4")
        files = ("checkpoints/step-28/model.safetensors", "checkpoints/step-28/optimizer.safetensors")
        for file in files:
            assert weights(here / "whole" / file) == weights(here / "half" / file)

    def test_a_finished_run_goes_further(self, copy: Path) -> None:
        assert "Ended" in train("--resume", copy).err
        assert (copy / "checkpoints/latest").read_text() == "step-14\n"
        train("--resume", copy, "training.epochs=3")
        assert (copy / "checkpoints/latest").read_text() == "step-21\n"
        assert tomllib.loads((copy / "config.toml").read_text())["training"]["epochs"] == 3
        train("--resume", copy)  # as the hint after Ctrl-C says, without the override
        assert (copy / "checkpoints/latest").read_text() == "step-21\n"

    def test_comments_of_the_configuration_stay(self, here: Path) -> None:
        train(PHRASES, "-o", "run", *SMALL, "training.epochs=1")
        before = (here / "run/config.toml").read_text(encoding="utf-8")
        train("--resume", "run", "training.epochs=2")
        after = (here / "run/config.toml").read_text(encoding="utf-8")
        assert after == before.replace("epochs = 1", "epochs = 2")
        assert "#" in after

    @pytest.mark.parametrize(
        "word", ["model.hidden_size=8", "data.seed=2", "text.lowercase=true", "name=x", "training.optimizer=sgd"]
    )
    def test_only_the_course_may_change(self, copy: Path, word: str) -> None:
        before = (copy / "config.toml").read_bytes()
        named = word.partition("=")[0] if word.startswith("training") else word.partition(".")[0].partition("=")[0]
        refused(s2s("train", "--resume", copy, word), f"got {named}", "[training]", "--init-from")
        assert (copy / "config.toml").read_bytes() == before

    @pytest.mark.parametrize("words", [("date-attention",), ("-o", "new"), ("--overwrite",), ("--init-from", "copy")])
    def test_nothing_else_goes_with_it(self, copy: Path, words: tuple[str, ...]) -> None:
        refused(s2s("train", "--resume", copy, *words), "--resume", "expected only RUN")

    def test_options_of_the_optimizer_may_change(self, copy: Path) -> None:
        train("--resume", copy, "training.epochs=3", "training.weight_decay=0.25")
        state = json.loads((copy / "checkpoints/step-21/state.json").read_text())
        assert [group["weight_decay"] for group in state["optimizer"]] == [0.25]

    def test_changed_data(self, here: Path) -> None:
        shutil.copy(PHRASES, here / "pairs.tsv")
        train("pairs.tsv", "-o", "run", *SMALL, "training.epochs=1")
        with (here / "pairs.tsv").open("a") as file:
            file.write("neu\tnew\n")
        result = s2s("train", "--resume", "run", "training.epochs=2")
        refused(result, "data is not what this run began with", "hash", "--init-from")
        (here / "pairs.tsv").unlink()
        refused(s2s("train", "--resume", "run"), "pairs.tsv: no such file")

    def test_configuration_of_another_model(self, copy: Path) -> None:
        path = copy / "config.toml"
        path.write_text(path.read_text().replace("hidden_size = 16", "hidden_size = 8"))
        refused(s2s("train", "--resume", copy, "training.epochs=3"), "not of the model that config.toml describes")

    def test_damaged_checkpoint(self, copy: Path) -> None:
        (copy / "checkpoints/step-14/model.safetensors").write_bytes(b"")
        assert "after update 7" in train("--resume", copy).err
        shutil.rmtree(copy / "checkpoints")
        (copy / "checkpoints").mkdir()
        refused(s2s("train", "--resume", copy), "nothing to resume from", "no checkpoint")

    def test_other_vocabulary(self, copy: Path) -> None:
        train(*DATES, "data.seed=9", "training.epochs=0", "-o", "other")
        shutil.rmtree(copy / "text")
        shutil.copytree("other/text", copy / "text")
        refused(s2s("train", "--resume", copy), "another vocabulary")

    def test_from_another_folder(self, here: Path) -> None:
        shutil.copy(PHRASES, here / "pairs.tsv")
        train("pairs.tsv", "-o", "run", *SMALL, "training.epochs=1")
        (here / "elsewhere").mkdir()
        os.chdir(here / "elsewhere")
        train("--resume", "../run", "training.epochs=2")


class TestInitFrom:
    def test_new_data_for_old_weights(self, dates: Path, here: Path) -> None:
        words = ("date-attention", "data.seed=5", "data.train_size=64", "data.valid_size=8", "data.test_size=8")
        said = train(*words, *SMALL, "training.epochs=0", "--init-from", dates, "-o", "run").err
        assert "64 training pairs" in said
        header, content = weights(here / "run/checkpoints/step-0/model.safetensors")
        assert content == weights(dates / "model.safetensors")[1]
        assert header.keys() - {"__metadata__"} == weights(dates / "model.safetensors")[0].keys() - {"__metadata__"}

    def test_a_file_of_pairs(self, dates: Path, here: Path) -> None:
        (here / "pairs.tsv").write_text("May 1, 2001\t2001-05-01\n" * 3 + "JUNE 9, 1975\t1975-06-09\n")
        train("pairs.tsv", "--init-from", dates, "training.epochs=1", "-o", "run")
        assert (here / "run/model.safetensors").is_file()

    def test_standard_input(self, dates: Path, here: Path) -> None:
        pairs = b"May 1, 2001\t2001-05-01\nJUNE 9, 1975\t1975-06-09\n"
        train("-", "--init-from", dates, "training.epochs=1", "-o", "run", stdin=pairs)
        assert (here / "run/stdin.txt").read_bytes() == pairs

    def test_the_share_of_unknown_tokens_is_said(self, dates: Path, here: Path) -> None:
        (here / "pairs.tsv").write_text("ЖЖЖЖ\tЖЖЖЖ\nMay 1, 2001\t2001-05-01\nMay 2, 2001\t2001-05-02\n")
        said = train("pairs.tsv", "--init-from", dates, "training.epochs=0", "-o", "run").err
        assert "% of the tokens are not in the vocabulary of" in said

    @pytest.mark.parametrize("word", ["model.hidden_size=8", "model.core=gru", "text.tokenizer=words"])
    def test_another_model(self, dates: Path, here: Path, word: str) -> None:
        refused(s2s("train", PHRASES, word, "--init-from", dates, "-o", "run"), "--init-from", word.partition("=")[0])
        assert not (here / "run").exists()

    def test_a_recipe_of_another_model(self, dates: Path, here: Path) -> None:
        refused(s2s("train", "date-attention", "--init-from", dates, "-o", "run"), "model.hidden_size is 16, not 256")
        assert not (here / "run").exists()

    def test_without_data(self, dates: Path, here: Path) -> None:
        refused(s2s("train", "--init-from", dates, "-o", "run"), "no training data")
        assert not (here / "run").exists()


def test_python_m_s2s_is_the_command(here: Path) -> None:
    assert ran("--version", folder=here).out.startswith("s2s ")

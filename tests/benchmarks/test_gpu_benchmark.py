"""Training beside plain torch: the peer is the same model, or there are no figures; a run writes what they need."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SMALL = ("model.embedding_size=6", "text.vocab_size=40")
DOES_NOT_LEARN = ("training.learning_rate=1e-30", "model.embedding_dropout=0.0", "model.output_dropout=0.0")
NVIDIA_SMI = """#!/bin/sh
echo "GPU-1, 7"
echo "GPU-2, 40"
echo "GPU-3, [N/A]"
"""


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


def setting(*words: str):
    from learners import Setting

    return Setting("cpu", threads=1, tf32=False, batch=5, words=(*SMALL, *words))


def problems(*words: str) -> list[str]:
    from check_learners import problems
    from learners import NAMES, Way, generated

    one = setting(*words)
    return list(problems([Way(name, 7, "float32") for name in NAMES], one, generated(one, 40, updates=3), updates=9))


def test_the_peer_is_the_same_model() -> None:
    assert problems() == []


def test_another_peer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from peers.plain import Plain

    encode = Plain._encode
    with monkeypatch.context() as patch:
        patch.setattr(Plain, "_encode", lambda *given: (encode(*given)[0].flip(1), encode(*given)[1]))
        assert [line for line in problems() if "logits are off" in line]
    told = problems("model.attention=joey")
    assert "other weights than the peer's" in told[0]
    assert "decoder.feeding.weight" in told[0]


def test_who_does_not_learn_is_found() -> None:
    told = problems(*DOES_NOT_LEARN)
    assert len(told) == 3
    assert all("does not fall" in line for line in told)


def test_the_peer_learns_what_ours_learns() -> None:
    """From the same weights, on the same batches, without dropout: the same weights after some updates."""
    from check_learners import WEIGHTS, _take
    from learners import Ours, Way, generated, plain

    one = setting(*DOES_NOT_LEARN[1:])
    work = generated(one, 40, updates=3)
    way = Way("lstm", 7, "float32")
    ours, peer = Ours(one.config(way), work), plain(way, one, work)
    with torch.no_grad():
        assert _take(peer.model, dict(ours.model.named_parameters())) == ""
    before = peer.model.readout.weight.detach().clone()
    for batch in work.batches():
        ours.update(batch)
        peer.update(batch)
    own = dict(ours.model.named_parameters())
    assert not torch.allclose(peer.model.readout.weight, before, atol=1e-3)
    for name, weight in peer.model.named_parameters():
        torch.testing.assert_close(weight, torch.cat([own[part] for part in WEIGHTS[name]]), atol=2e-4, rtol=0)


def test_batches_are_as_long_as_those_of_multi30k() -> None:
    from learners import generated

    one = setting("text.vocab_size=8000")
    work = generated(one, 2000, updates=40)
    source, target = work.source.examples.source_lengths, work.source.examples.target_lengths
    assert (source.mean(), target.mean()) == (pytest.approx(14.8, abs=0.5), pytest.approx(14.3, abs=0.5))
    assert source.std() == pytest.approx(5.4, abs=0.5)
    batches = work.batches()
    assert {len(batch.rows) for batch in batches} == {5}
    padded = sum(batch.target_out_BT.numel() for batch in batches)
    assert sum(batch.tokens for batch in batches) > 0.9 * padded
    with pytest.raises(SystemExit, match="lower --updates"):
        generated(one, 20, updates=5).batches()


def test_a_run_at_tiny_sizes(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    sizes = ("--hidden", "7", "--batch", "5", "--pairs", "40", "--updates", "2", "--check", "9", "--rounds", "1")
    words = ("--device", "cpu", "--models", "nn.LSTM gru", "--precision", "float32", "--seconds", "0")
    given = [word for each in SMALL for word in ("--set", each)]
    command = [sys.executable, BENCHMARKS / "gpu.py", *sizes, *words, *given, "--output", out]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert {"date", "commit", "processor", "torch", "gpu", "cuda", "cudnn", "updates"} <= result.keys()
    assert (result["setting"]["device"], result["corpus"]) == ("cpu", "generated")
    rows = {row["name"]: row for row in result["rows"]}
    assert list(rows) == ["nn.LSTM", "gru"]
    for row in rows.values():
        assert row["rate"] > 0
        assert row["ratio"] > 0
        assert row["memory"] is None or row["memory"] > 0
        assert row["utilisation"] is None
    assert (rows["nn.LSTM"]["ratio"], rows["nn.LSTM"]["backend"]) == (1.0, "torch")
    assert rows["gru"]["parameters"] < rows["nn.LSTM"]["parameters"]
    assert done.stdout.count("not known |") == 2


def test_on_a_gpu_a_fresh_model_is_made_inside_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    import gpu
    from learners import Setting, generated, learner

    work = generated(setting(), 40, updates=3)
    monkeypatch.setattr(gpu, "learner", lambda way, _, work: learner(way, setting(), work))
    monkeypatch.setattr(gpu.measure, "peak_on_gpu", lambda run: 5 if run() is None else 0)
    on_gpu = Setting("cuda", threads=1, tf32=False, batch=5, words=SMALL)
    made, memory = gpu._begin(gpu.Way("nn.LSTM", 7, "float32"), on_gpu, work)
    assert memory == 5
    assert len(made.optimizer.state) == len(list(made.model.parameters()))


def test_no_figures_where_results_are_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    import gpu
    import typer
    from learners import generated

    one = setting(*DOES_NOT_LEARN)
    with pytest.raises(typer.Exit):
        gpu.measured(gpu.ways_of("nn.LSTM", "7", "float32"), one, generated(one, 40, 3), gpu.Effort(1, 0, 0), 9)
    assert "No figures" in capsys.readouterr().out
    with pytest.raises(typer.BadParameter, match=r"rnn; expected of nn\.LSTM, lstm, gru"):
        gpu.ways_of("gru rnn", "7", "float32")


def test_utilisation_is_that_of_the_own_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import utilisation

    monkeypatch.setattr(utilisation, "EVERY", 0.01)
    monkeypatch.setenv("PATH", str(tmp_path))
    run = lambda: time.sleep(0.01)  # noqa: E731
    assert utilisation.identity("cpu") is None
    assert utilisation.utilisation(run, "2", 1.0) is None
    program = tmp_path / "nvidia-smi"
    program.write_text(NVIDIA_SMI)
    program.chmod(0o755)
    assert utilisation.utilisation(run, "2", 1.0) == 40
    assert utilisation.utilisation(run, "3", 1.0) is None
    assert utilisation.utilisation(run, None, 1.0) is None

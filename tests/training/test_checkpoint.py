"""Checkpoints: whole or not there, whatever happens in between."""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from miniature import Miniature, assert_identical, saved, steps
from safetensors import safe_open
from tiny import tiny_model

from s2s.errors import UserError
from s2s.training import files
from s2s.training.checkpoint import Checkpoints, load_weights, save_weights


def trained(folder: Path, optimizer: str = "adam", updates: int = 3) -> Miniature:
    made = Miniature(folder, optimizer=optimizer)
    made.train(updates=updates, checkpoint_every=10**9)
    return made


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "momentum", "sgd"])
def test_a_round_trip_brings_back_every_bit(optimizer: str, tmp_path: Path) -> None:
    first = trained(tmp_path, optimizer)
    random.seed(4)
    random.gauss(0, 1)
    first.checkpoints.save(3, first.parts, {"progress": {"best": 0.1 + 0.2}})
    before, python = first.state(), random.getstate()
    assert before["optimizer"] or optimizer == "sgd"
    second = Miniature(tmp_path, optimizer=optimizer, seed=99)
    torch.manual_seed(1234)
    random.seed(99)
    state = second.checkpoints.restore(second.checkpoints.latest(), second.parts)
    assert_identical(second.state(), before)
    assert random.getstate() == python
    assert state["progress"] == {"best": 0.1 + 0.2}
    assert second.optimizer.param_groups[0]["lr"] == 0.1  # its own options, which the configuration may have changed


def test_before_the_first_update_there_is_no_optimiser_state(tmp_path: Path) -> None:
    made = Miniature(tmp_path)
    made.checkpoints.save(0, made.parts, {})
    made.checkpoints.restore(made.checkpoints.latest(), made.parts)
    assert made.state()["optimizer"] == {}


def test_no_pickle_and_every_file_in_the_manifest(tmp_path: Path) -> None:
    made = trained(tmp_path)
    folder = made.checkpoints.latest()
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "model.safetensors",
        "optimizer.safetensors",
        "generators.safetensors",
        "state.json",
        "manifest.json",
    }
    assert set(json.loads((folder / "manifest.json").read_text())) == names - {"manifest.json"}
    for path in folder.iterdir():
        content = path.read_bytes()
        assert not content.startswith((b"PK", b"\x80\x02", b"\x80\x04")), path.name  # torch.save is a zip of pickles
        with pytest.raises(
            (pickle.UnpicklingError, EOFError, ValueError, KeyError, IndexError, AttributeError, ImportError)
        ):
            pickle.loads(content)
        if path.suffix == ".json":
            json.loads(content)


def test_tied_tensors_are_stored_once_and_come_back_tied(tmp_path: Path) -> None:
    model = tiny_model("luong", tied=True)
    model.encoder.embedding.table = model.decoder.embedding.table
    save_weights(tmp_path / "model.safetensors", model, {"update": "7"})
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        shapes = [tuple(file.get_slice(name).get_shape()) for name in file.keys()]  # noqa: SIM118
    assert shapes.count((7, 3)) == 1
    other = tiny_model("luong", tied=True, seed=2)
    other.encoder.embedding.table = other.decoder.embedding.table
    assert load_weights(tmp_path / "model.safetensors", other)["update"] == "7"
    assert other.output.weight is other.decoder.embedding.weight
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


# ---- which one is the latest


def test_the_last_ones_are_kept(tmp_path: Path) -> None:
    _, checkpoints = saved(tmp_path, 8, 9, 10, 100)
    assert steps(checkpoints) == ["step-10", "step-100"]
    assert (checkpoints.folder / "latest").read_text() == "step-100\n"
    assert checkpoints.latest().name == "step-100"
    assert checkpoints.state(checkpoints.latest())["update"] == 100
    assert steps(saved(tmp_path / "one", 1, 2, 3, keep=1)[1]) == ["step-3"]


def test_the_pointer_decides(tmp_path: Path) -> None:
    """A folder that got its name just before the process died is not the latest until the pointer says so."""
    _, checkpoints = saved(tmp_path, 1, 2)
    files.write_text(checkpoints.folder / "latest", "step-1\n")
    assert checkpoints.latest().name == "step-1"
    (checkpoints.folder / "latest").unlink()
    assert checkpoints.latest().name == "step-2"
    (checkpoints.folder / "latest").write_text("step-77\n")
    assert checkpoints.latest().name == "step-2"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "generators.safetensors", "state.json"])
@pytest.mark.parametrize("harm", [flip, cut, Path.unlink])
def test_a_damaged_file_falls_back_to_the_previous(name: str, harm: Callable[[Path], None], tmp_path: Path) -> None:
    _, checkpoints = saved(tmp_path, 1, 2)
    harm(checkpoints.folder / "step-2" / name)
    assert checkpoints.latest().name == "step-1"
    harm(checkpoints.folder / "step-1" / name)
    with pytest.raises(UserError, match=r"nothing to resume from.*step-2.*missing or damaged.*step-1.*--overwrite"):
        checkpoints.latest()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"model.safetensors": 3}', "{}"])
def test_a_damaged_manifest_falls_back_too(text: str, tmp_path: Path) -> None:
    _, checkpoints = saved(tmp_path, 1, 2)
    (checkpoints.folder / "step-2" / "manifest.json").write_text(text)
    assert checkpoints.latest().name == "step-1"


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint was written"):
        Checkpoints(tmp_path / "none").latest()


def test_a_course_that_was_given_up_is_not_kept(tmp_path: Path) -> None:
    """Damaged at 20, resumed from 10: what counts from now on are the steps of the new course."""
    made, checkpoints = saved(tmp_path, 10, 20)
    flip(checkpoints.folder / "step-20" / "model.safetensors")
    assert checkpoints.latest().name == "step-10"
    checkpoints.save(12, made.parts, {})
    assert steps(checkpoints) == ["step-10", "step-12"]
    checkpoints.save(14, made.parts, {})
    assert steps(checkpoints) == ["step-12", "step-14"]


def test_a_step_is_written_again(tmp_path: Path) -> None:
    made, checkpoints = saved(tmp_path, 5)
    checkpoints.save(5, made.parts, {"second": True})
    assert checkpoints.state(checkpoints.latest())["second"]
    assert steps(checkpoints) == ["step-5"]


# ---- the best weights


@pytest.mark.parametrize("length", [0, 7, 100, -1])
def test_truncated_weights(length: int, tmp_path: Path) -> None:
    path, model = tmp_path / "model.safetensors", tiny_model()
    save_weights(path, model, {})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError, match=r"not a whole safetensors file.*cut off"):
        load_weights(path, model)


def test_weights_of_another_model_and_none_at_all(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(UserError, match="no weights there"):
        load_weights(path, tiny_model())
    save_weights(path, tiny_model(), {})
    for other in (tiny_model(hidden=5), tiny_model(layers=2), tiny_model("bahdanau")):
        with pytest.raises(UserError, match=r"another model than config\.toml describes"):
            load_weights(path, other)

"""Grids: every run's configuration is there and right before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from s2s.config import Config
from s2s.errors import UserError
from s2s.sweeps.compare import plan_text
from s2s.sweeps.place import share, write_recipe
from s2s.sweeps.plan import combinations, read_plan, run_names
from s2s.sweeps.supervise import Job

GRID = """
base = "date-attention"
[fixed]
training.updates = 50
model.hidden_size = 32
[grid]
model.core = ["lstm", "gru"]
"model.layers" = [1, 2]
training.seed = [1, 2, 3]
[threshold]
value = 0.1
consecutive = 5
"""


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    path = tmp_path / "grid.toml"
    path.write_text(GRID)
    return path


def test_every_combination_is_a_run(grid: Path) -> None:
    plan = read_plan([str(grid)])
    runs = combinations(plan)
    assert len({one.name for one in runs}) == len(runs) == 12
    assert runs[0].name == "core-lstm_layers-1_seed-1"
    assert runs[0].setting == {"model.core": "lstm", "model.layers": 1}
    assert [(one.config.model.core, one.config.model.layers, one.config.training.seed) for one in runs[:4]] == [
        ("lstm", 1, 1),
        ("lstm", 1, 2),
        ("lstm", 1, 3),
        ("lstm", 2, 1),
    ]
    assert all(one.config.training.updates == 50 and one.config.model.hidden_size == 32 for one in runs)
    assert plan.threshold is not None
    assert plan.threshold.consecutive == 5


SETS = """
base = "date-attention"
[sets.cell]
small.model = { core = "lstm", hidden_size = 16 }
large.model = { core = "gru", hidden_size = 32 }
"""


def test_keys_that_vary_together(tmp_path: Path) -> None:
    path = tmp_path / "sets.toml"
    path.write_text(SETS + "[grid]\ntraining.seed = [1, 2]\n")
    plan = read_plan([str(path)])
    runs = combinations(plan)
    assert [one.name for one in runs] == [f"cell-{name}_seed-{seed}" for name in ("small", "large") for seed in (1, 2)]
    assert runs[2].setting == {"cell": "large"}
    assert (runs[2].config.model.core, runs[2].config.model.hidden_size) == ("gru", 32)
    again = tmp_path / "again.toml"
    again.write_text(plan_text(plan))
    assert combinations(read_plan([str(again)])) == runs


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        ("[fixed]\nmodel.core = 'rwa'", ["model.core stands in two of"]),
        ("odd.model = { core = 'rwa' }", ["sets.cell.odd does not say model.hidden_size"]),
        ("[sets.none]", ["sets.none has no keys"]),
        ("[sets.metric]\na.training.metric = 'loss'", ["training.metric can't vary"]),
    ],
)
def test_sets_that_do_not_fit(tmp_path: Path, more: str, parts: list[str]) -> None:
    path = tmp_path / "sets.toml"
    path.write_text(SETS + more + "\n")
    with pytest.raises(UserError) as caught:
        combinations(read_plan([str(path)]))
    assert all(part in str(caught.value) for part in parts), caught.value


def test_the_command_line_wins_over_the_file(grid: Path) -> None:
    plan = read_plan([str(grid), "training.updates=7", "model.layers=3", "training.seed=4,5"])
    runs = combinations(plan)
    assert [(one.config.model.core, one.config.training.seed) for one in runs] == [
        ("lstm", 4),
        ("lstm", 5),
        ("gru", 4),
        ("gru", 5),
    ]
    assert {(one.config.training.updates, one.config.model.layers) for one in runs} == {(7, 3)}


def test_the_plan_is_a_file_that_makes_it_again(grid: Path, tmp_path: Path) -> None:
    plan = read_plan([str(grid), "model.attention=none,luong", "training.betas=[0.5,0.9]"])
    again = tmp_path / "again.toml"
    again.write_text(plan_text(plan))
    assert combinations(read_plan([str(again)])) == combinations(plan)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["date-attention"], ["nothing varies"]),
        (["model.core=lstm,gru"], ["one recipe", "got 0"]),
        (["date-atention", "model.core=lstm,gru"], ["did you mean date-attention?"]),
        (["date-attention", "training.metric=loss,bleu"], ["training.metric can't vary"]),
    ],
)
def test_plans_that_are_refused(words: list[str], parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        read_plan(words)
    assert all(part in str(caught.value) for part in parts), caught.value


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["model.cores=lstm,gru"], ["2 of 2 runs", "nothing was started", "model.cores: unknown key", "model.core?"]),
        (["model.core=lstm,gruu,rwa"], ["1 of 3 runs", "core gruu", "mean gru?"]),
        (["model.layers=0,1"], ["1 of 2 runs", "layers 0"]),
        (["training.updats=5", "model.layers=1,2"], ["training.updats: unknown key", "training.updates?"]),
    ],
)
def test_combinations_that_are_refused(words: list[str], parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        combinations(read_plan(["date-attention", *words]))
    assert all(part in str(caught.value) for part in parts), caught.value


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (("base =", "bas ="), ["base", "missing", "did you mean base?"]),
        (("value = 0.1", ""), ["threshold.value", "missing"]),
        (('["lstm", "gru"]', "[]"), ["model.core", "without values"]),
        (("[fixed]", "[fixed]\nmodel.layers = 2"), ["model.layers", "two of [fixed], [grid]"]),
    ],
)
def test_files_that_are_refused(grid: Path, change: tuple[str, str], parts: list[str]) -> None:
    assert change[0] in GRID
    grid.write_text(GRID.replace(*change, 1))
    with pytest.raises(UserError) as caught:
        read_plan([str(grid)])
    assert all(part in str(caught.value) for part in parts), caught.value


def test_names_are_folders_and_never_alike() -> None:
    settings = [{"data.train": ["a/b.tsv"]}, {"data.train": ["a-b.tsv"]}, {"data.train": ["c" * 300]}]
    names = run_names(settings)
    assert len(set(names)) == 3
    assert all(len(name) < 200 and "/" not in name for name in names)
    assert run_names([{"model.encoder.core": "gru", "model.decoder.core": "rwa"}]) == [
        "model.encoder.core-gru_model.decoder.core-rwa"
    ]


def test_a_run_that_began_otherwise_is_left_alone(tmp_path: Path) -> None:
    job = Job("x", tmp_path, 1)
    write_recipe(job, Config(), "first")
    before = job.recipe.read_bytes()
    write_recipe(job, Config(), "the same configuration again")
    other = Config.model_validate({"training": {"epochs": 3}})
    with pytest.raises(UserError, match=r"training\.epochs was 10 and is 3"):
        write_recipe(job, other, "second")
    assert job.recipe.read_bytes() == before


def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s2s.sweeps.place.cores", lambda: 8)
    monkeypatch.setattr("s2s.sweeps.place._on_gpu", lambda config: config.training.device == "cuda")
    one, two = (Config.model_validate({"training": {"threads": count}}) for count in ("none", 2))
    assert share([one] * 20, None) == (8, 1)
    assert share([two] * 20, None)[0] == 4
    assert share([one] * 3, None) == (3, 2)
    assert share([one] * 20, 2) == (2, 4)
    assert share([Config.model_validate({"training": {"device": "cuda"}})] * 5, None) == (1, 8)

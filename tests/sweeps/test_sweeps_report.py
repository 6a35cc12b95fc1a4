"""Groups, tables, pictures and files of a comparison, from made-up runs."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from s2s.build.say import make_console
from s2s.config import Config
from s2s.errors import UserError
from s2s.sweeps import figures
from s2s.sweeps.axes import Axis
from s2s.sweeps.plan import Combination
from s2s.sweeps.published import read_curves
from s2s.sweeps.ran import Ran
from s2s.sweeps.report import curves_csv, panels, pictures, runs_csv, write_report
from s2s.sweeps.spec import Published, PublishedCurve, Threshold
from s2s.sweeps.summary import Comparison, Group, by_setting, gradient_table, main_table, make_groups, scores_table

PUBLISHED = "task,model,iteration,test_cost,test_accuracy\n" + "".join(
    f"adding,lstm,{step},{1 / (1 + step)},\nlength,lstm,{step},0.5,0.75\n" for step in range(0, 500, 100)
)
SEEDS = Axis("training.seed", (1, 2, 3))


def ran(losses: list[float], **more: Any) -> Ran:
    rows = [
        {"event": "valid", "step": 100 * number, "epoch": 0, "seconds": 2.0 * number, "loss": loss}
        for number, loss in enumerate(losses, start=1)
    ]
    return Ran("done", validations=rows, parameters=1234, seconds=60.0, peak_mib=300, **more)


def member(core: str, seed: int, result: Ran, **more: Any) -> tuple[Combination, Ran]:
    values = {"training.seed": seed, "model.core": core, **more}
    return Combination(f"{core}-{seed}", values, Config.model_validate({"training": {"seed": seed}})), result


def comparison(**more: Any) -> Comparison:
    members = [
        member("lstm", 1, ran([0.5, 0.05, 0.04, 0.03])),
        member("gru", 1, ran([0.5, 0.4, 0.3, 0.2])),
        member("lstm", 2, ran([0.5, 0.4, 0.03, 0.02])),
        member("gru", 2, ran([0.5, 0.4, 0.09, 0.08])),
        member("lstm", 3, ran([0.5, 0.09, 0.2, 0.02])),
        member("gru", 3, Ran("failed", why="training diverged: loss nan")),
    ]
    axes = (SEEDS, Axis("model.core", ("lstm", "gru")))
    return Comparison("T", "loss", axes, make_groups(by_setting(members), axes), **more)


def test_seeds_are_put_together() -> None:
    found = comparison()
    assert [(group.label, len(group.members), len(group.trained)) for group in found.groups] == [
        ("lstm", 3, 3),
        ("gru", 3, 2),
    ]


def test_the_table_by_hand() -> None:
    table = main_table(comparison(threshold=Threshold(value=0.1, consecutive=2)))
    cells = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    assert cells[0]["updates to threshold"] == "300 (2 of 3 runs)"
    assert cells[1]["updates to threshold"] == "not reached (1 of 2 runs)"
    assert cells[0]["best loss"] == "0.02333 ± 0.0058"
    assert cells[1]["final loss"] == "0.14 ± 0.085"
    assert (cells[1]["runs"], cells[1]["parameters"], cells[1]["peak memory, MiB"]) == ("2 of 3", "1,234", "300")
    assert "loss < 0.1, first of 2 in a row" in table.note
    assert "updates to threshold" not in main_table(comparison()).header


def test_gradients_by_distance() -> None:
    """Medians over seeds at the first, the middle and the last distance, of settings that have any."""
    told = [0, 1, 2, 3, 4, 6, 8]
    factors = {"fresh": 0.1, "trained": 0.2}
    members = []
    for seed in (1, 2, 3):
        gradient = {name: [(at, seed * factor) for at in told] for name, factor in factors.items()}
        members.append(member("lstm", seed, ran([0.5], scores={"gradient": gradient})))
    axes = (SEEDS, Axis("model.core", ("lstm", "gru")))
    groups = make_groups(by_setting([*members, member("gru", 1, ran([0.5]))]), axes)
    table = gradient_table(Comparison("T", "loss", axes, groups))
    assert table is not None
    assert table.header[1:5] == [f"fresh, {at} steps" for at in (0, 2, 4, 8)]
    assert table.rows == [["lstm", *["0.2"] * 4, *["0.4"] * 4]]
    assert gradient_table(comparison()) is None


def test_test_scores_have_their_intervals() -> None:
    scores = {
        "n": 10,
        "bleu": 31.25,
        "seconds": 3.0,
        "intervals": {"bleu": {"mean": 31.0, "half": 1.5}},
        "signatures": {"bleu": "nrefs:1"},
    }
    axes = (Axis("model.core", ("lstm",)), Axis("training.seed", (7,)))
    groups = make_groups([member("lstm", 7, ran([0.5], scores=scores))], axes)
    table = scores_table(Comparison("T", "loss", axes, groups))
    assert table is not None
    assert list(table.header) == ["", "seed", "BLEU"]
    assert list(table.rows[0]) == ["runs", "7", "31.25 ± 1.5"]
    assert "nrefs:1" in table.note
    assert scores_table(comparison()) is None


def test_the_band_is_lowest_median_highest() -> None:
    curves = [[(1, 3.0), (2, 1.0)], [(1, 5.0), (2, 0.0)], [(1, 4.0)]]
    assert figures.middle(curves) == [(1, 4.0, 3.0, 5.0), (2, 0.5, 0.0, 1.0)]


def test_files_and_what_is_in_them(tmp_path: Path) -> None:
    write_report(tmp_path, comparison(threshold=Threshold(value=0.1)), [("Recipe", "x")], make_console())
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"report.md", "report.html", "curves.csv", "runs.csv", "curves-loss-1.png"}
    page = (tmp_path / "report.md").read_text()
    assert "training diverged: loss nan" in page
    assert "curves-loss-1.png" in page
    assert "data:image/png;base64," in (tmp_path / "report.html").read_text()
    other = pictures(comparison(threshold=Threshold(value=0.1), loss_unit="nats a token"))
    assert other[0].png != (tmp_path / "curves-loss-1.png").read_bytes()


def test_csv_has_a_line_a_validation_and_a_line_a_run() -> None:
    found = comparison(threshold=Threshold(value=0.1))
    rows = list(csv.DictReader(io.StringIO(curves_csv(found))))
    assert len(rows) == 20
    assert rows[0] | {"model.core": "lstm", "training.seed": "1", "step": "100", "loss": "0.5"} == rows[0]
    runs = list(csv.DictReader(io.StringIO(runs_csv(found))))
    assert [row["updates_to_threshold"] for row in runs] == ["200", "300", "200", "", "300", ""]
    assert runs[-1]["state"] == "failed"


def test_other_data_has_a_picture_of_its_own_and_no_picture_is_crowded() -> None:
    axes = (Axis("data.seed", (1, 2)), Axis("model.core", tuple("abc")), Axis("model.layers", (1, 2, 3, 4)))
    groups = [
        Group("", {"data.seed": data, "model.core": core, "model.layers": layers}, [])
        for data in (1, 2)
        for core in "abc"
        for layers in (1, 2, 3, 4)
    ]
    found = panels(Comparison("T", "loss", axes, groups))
    assert [heading for heading, _, _ in found][:2] == ["seed 1, core a", "seed 1, core b"]
    assert all(len(some) == 4 and varying == ["model.layers"] for _, some, varying in found)
    assert sum(len(some) for _, some, _ in found) == len(groups)
    many = [Group("", {"model.layers": number}, []) for number in range(20)]
    cut = panels(Comparison("T", "loss", (Axis("model.layers", tuple(range(20))),), many))
    assert [len(some) for _, some, _ in cut] == [8, 8, 4]


@pytest.fixture
def published(tmp_path: Path) -> Callable[..., Published]:
    (tmp_path / "curves.csv").write_text(PUBLISHED)

    def make(task: str, model: str = "lstm", text: str = PUBLISHED) -> Published:
        (tmp_path / "curves.csv").write_text(text)
        curve = PublishedCurve(task=task, model=model, where={"model": {"core": "lstm"}})
        return Published(file=str(tmp_path / "curves.csv"), curves=[curve])

    return make


def test_published_curves_are_judged_by_the_same_rule_and_drawn(published: Callable[..., Published]) -> None:
    curves = read_curves(published("adding"), "loss")
    assert curves[0].points[1] == (100, 1 / 101)
    assert curves[0].where == {"model.core": "lstm"}
    without = comparison(threshold=Threshold(value=0.1))
    found = comparison(threshold=Threshold(value=0.1), published=curves)
    row = dict(zip(main_table(found).header, main_table(found).rows[-1], strict=True))
    assert (row[""], row["updates to threshold"]) == ("lstm (published)", "100")
    assert pictures(found)[0].png != pictures(without)[0].png
    assert read_curves(published("length"), "bleu")[0].points[0] == (0, 0.75)


@pytest.mark.parametrize(
    ("task", "text", "parts"),
    [
        ("adding", "task,model\n", ["no column iteration, test_cost"]),
        ("copying", PUBLISHED, ["'copying'", "there are adding/lstm"]),
        ("adding", PUBLISHED.replace("adding,lstm,0,1.0", "adding,lstm,0,x"), ["line 2", "'x'"]),
    ],
)
def test_published_files_that_are_refused(
    published: Callable[..., Published], task: str, text: str, parts: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        read_curves(published(task, text=text), "loss")
    assert all(part in str(caught.value) for part in parts), caught.value


def test_a_published_file_that_is_not_there() -> None:
    wanted = Published(file="none.csv", curves=[PublishedCurve(task="a", model="b")])
    with pytest.raises(UserError, match=r"none\.csv: can't be read"):
        read_curves(wanted, "loss")

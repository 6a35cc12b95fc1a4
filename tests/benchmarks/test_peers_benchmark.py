"""The comparison with other toolkits: what it reads from logs, how it runs programs, and when it gives no figure."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from s2s.build.model import build_model
from s2s.config.io import check, merge, parse_overrides, read_toml

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
RECIPE = BENCHMARKS.parent / "recipes/translate/multi30k-de-en.toml"


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


@pytest.fixture
def place(tmp_path: Path):
    from peers.place import Place

    return Place(tmp_path)


def log_of(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "train.log").write_text(text)
    return folder


def test_windows_of_joeynmt(place, tmp_path: Path) -> None:
    from peers.tools import Joey

    line = "joeynmt.training - Epoch   1, Step: %8d, Batch Loss:  84.1, Batch Acc: 0.07, Tokens per Sec: %8d, Lr: 0.001"
    folder = log_of(tmp_path / "m", "\n".join(["Total params: 8049920", line % (25, 219), line % (50, 1379)]))
    assert Joey(place).windows(folder) == [(0, 25, 219.0), (25, 50, 1379.0)]
    assert Joey(place).parameters(folder) == 8_049_920


def test_windows_of_opennmt(place, tmp_path: Path) -> None:
    from peers.tools import Onmt

    line = (
        "Step %2d/  250; acc: 17.2; ppl: 534.8; xent: 6.3; lr: 0.00100; sents: 2000; bsz: 1211/1221/80; %3d/%3d tok/s;"
    )
    log = "\n".join(["[x INFO]  * number of parameters: 12008768", line % (25, 900, 88), line % (50, 1100, 1109)])
    folder = log_of(tmp_path / "m", log)
    assert Onmt(place).windows(folder) == [(0, 25, 88.0), (25, 50, 1109.0)]
    assert Onmt(place).parameters(folder) == 12_008_768


def test_windows_of_ours(place, tmp_path: Path) -> None:
    from peers.tools import Ours

    lines = [
        {"event": "train", "seconds": 1.0, "step": 50, "tokens_per_second": 1.5},
        {"event": "valid", "seconds": 1.0, "step": 50, "bleu": 3.0},
        {"event": "train", "seconds": 2.0, "step": 100, "tokens_per_second": 9000.0},
    ]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert Ours(place, "s2s-256").windows(tmp_path) == [(0, 50, 1.5), (50, 100, 9000.0)]


def test_speed_leaves_out_the_beginning_and_scraps() -> None:
    from peers.tools import Window, speed

    windows = [Window(0, 50, 1.0), Window(50, 75, 10.0), Window(75, 77, 500.0), Window(77, 102, 30.0)]
    assert speed(windows, 50) == 20.0
    with pytest.raises(SystemExit, match="raise --updates"):
        speed(windows, 102)


@pytest.fixture
def models(place):
    """The configurations of our models by name."""
    from peers.tools import HERE, SIZES, tools

    ours = tools(place, list(SIZES))
    return {
        name: check(merge(read_toml(HERE / "s2s.toml"), parse_overrides(tool.keys)), name)
        for name, tool in ours.items()
    }


def test_one_model_in_all_configurations(models) -> None:
    sizes = {"source_vocabulary": 8_000, "target_vocabulary": 8_000}
    same = build_model(models["s2s-joey"].model, **sizes)
    biases = 8_000 + 256  # of the output layer and of attention's keys, which JoeyNMT has none of
    assert sum(parameter.numel() for parameter in same.parameters()) == 8_049_920 + biases
    assert models["s2s-512"].model.side("decoder").hidden_size == 512


@pytest.fixture
def order():
    from peers.settings import Order

    return Order(Path("/d"), Path("/m"), updates=250, seed=7, validate=175)


def numbers(value: object) -> list[float]:
    """All in a configuration."""
    match value:
        case dict():
            return [number for each in value.values() for number in numbers(each)]
        case list():
            return [number for each in value for number in numbers(each)]
        case int() | float():
            return [value]
    return []


def test_joeynmt_gets_its_sizes_and_its_course(order) -> None:
    from peers import settings

    found = settings.joey(order, embedding=11, encoder=12, decoder=13)
    encoder, decoder = found["model"]["encoder"], found["model"]["decoder"]
    assert [side["embeddings"]["embedding_dim"] for side in (encoder, decoder)] == [11, 11]
    assert [side["hidden_size"] for side in (encoder, decoder)] == [12, 13]
    assert [side["type"] for side in (encoder, decoder)] == ["recurrent", "recurrent"]
    assert (found["model_dir"], found["random_seed"]) == ("/m/model", 7)
    assert (found["training"]["updates"], found["training"]["validation_freq"]) == (250, 175)
    assert found["training"]["validation_freq"] % found["training"]["logging_freq"] == 0  # it insists
    assert (found["data"]["train"], found["data"]["src"]["lang"], found["data"]["trg"]["lang"]) == (
        "/d/train",
        "de",
        "en",
    )


def test_opennmt_gets_its_sizes_and_its_course(order) -> None:
    from peers import settings

    found = settings.onmt(order, embedding=11, hidden=24)
    assert (found["word_vec_size"], found["hidden_size"]) == (11, 24)
    assert (found["train_steps"], found["seed"], found["save_model"]) == (250, 7, "/m/m")
    assert found["valid_steps"] == found["save_checkpoint_steps"] == 175
    assert {name: texts["path_tgt"] for name, texts in found["data"].items()} == {
        "multi30k": "/d/train.en",
        "valid": "/d/dev.en",
    }
    assert settings.words(settings.onmt_search("m.pt", Path("/d"), beam=3))[:4] == [
        "--model",
        "m.pt",
        "--beam_size",
        "3",
    ]


def test_the_very_model_has_the_peers_matrices_and_attention(models) -> None:
    model, other = models["s2s-joey"].model, models["s2s-256"].model
    assert (model.attention, model.tie) == ("joey", "none")
    rule = models["s2s-joey"].training.model_copy(update={"precision": "int8"})
    assert rule == models["s2s-256"].training
    same = model.model_copy(update={"attention": other.attention, "tie": other.tie})
    assert same == other


@pytest.mark.parametrize("name", ["s2s-256", "s2s-joey", "s2s-512"])
def test_our_own_models_learn_as_the_recipe_does(models, name: str) -> None:
    ours, recipe = models[name].training, check(read_toml(RECIPE), "recipe").training
    for key in ("batch_size", "optimizer", "learning_rate", "warmup", "clip_norm", "label_smoothing"):
        assert getattr(ours, key) == getattr(recipe, key), key


def test_sizes_are_those_of_the_peers(order, models) -> None:
    from peers import settings

    joey, onmt = settings.joey(order), settings.onmt(order)
    model = models["s2s-256"].model
    assert (onmt["word_vec_size"], onmt["hidden_size"]) == (model.embedding_size, 2 * model.hidden_size)
    assert joey["model"]["encoder"]["embeddings"]["embedding_dim"] == model.embedding_size
    assert joey["model"]["decoder"]["hidden_size"] == model.hidden_size


def test_yaml_reads_what_is_written(order, tmp_path: Path) -> None:
    from peers import settings

    for found in (settings.joey(order), settings.onmt(order)):
        path = settings.write(found, tmp_path / "new" / "settings.json")
        assert json.loads(Path(path).read_text()) == found
        assert all(re.fullmatch(r"-?\d+(\.\d+)?|True|False", str(number)) for number in numbers(found))


def test_what_was_trained_before_is_not_trained_again(tmp_path: Path) -> None:
    import training
    from peers.tools import Window

    log = tmp_path / "log"

    class Short:
        """A tool that notes each training; its command does not name the updates, as those of the peers do not."""

        name = "short"

        def train(self, *_: object, **__: object) -> list[str]:
            return [sys.executable, "-c", f"open({str(log)!r}, 'a').write('trained ')"]

        def windows(self, _: Path) -> list[Window]:
            return [Window(50, 75, 950.0)]

        def parameters(self, _: Path) -> int:
            return 7

    pieces = [
        training.trained(Short(), tmp_path / "short", updates, seed=1, validate=175, skip=50) for updates in (9, 9, 12)
    ]
    assert [(piece.updates, piece.rate) for piece in pieces] == [(9, 950.0), (9, 950.0), (12, 950.0)]
    assert pieces[0] == pieces[1]
    assert log.read_text() == "trained trained "


@pytest.fixture
def mend():
    from peers.environments import Mend

    return Mend("tool/code.py", old="load(path)\n", new="load(path, whole=True)\n")


def test_a_passage_is_mended_once(mend, tmp_path: Path) -> None:
    path = tmp_path / "tool" / "code.py"
    path.parent.mkdir()
    path.write_text("first\n    load(path)\nlast\n")
    assert not mend.done(tmp_path)
    for _ in range(2):
        mend.apply(tmp_path)
        assert mend.done(tmp_path)
        assert path.read_text() == "first\n    load(path, whole=True)\nlast\n"


@pytest.mark.parametrize("text", ["load(other)\n", "load(path)\nload(path)\n", None], ids=["other", "twice", "no file"])
def test_what_cannot_be_mended(mend, tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "tool" / "code.py"
    path.parent.mkdir()
    if text is not None:
        path.write_text(text)
    with pytest.raises(SystemExit, match=r"code.py: can't be mended; expected this once:\nload\(path\)"):
        mend.apply(tmp_path)
    assert text is None or path.read_text() == text


def test_mends_change_something() -> None:
    from peers.environments import ENVIRONMENTS

    for mend in (mend for environment in ENVIRONMENTS.values() for mend in environment.mends):
        assert mend.old not in mend.new


def test_a_whole_environment_is_left(mend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from peers import environments

    site = tmp_path / "lib" / "python3.11" / "site-packages"
    (site / "tool").mkdir(parents=True)
    (site / "tool" / "code.py").write_text(mend.new)
    (site / "a_tool-1.5.dist-info").mkdir()
    (site / "a_tool-1.5.dist-info" / "METADATA").write_text("Name: a-tool\nVersion: 1.5+cpu\n")
    monkeypatch.setattr(environments.venv, "create", lambda *_, **__: pytest.fail("made anew"))
    environments.make(tmp_path, environments.Environment(("a-tool==1.5", "a-tool"), (mend,)))
    assert not environments.Environment(("a-tool==1.4",), (mend,)).whole(site)
    assert not environments.Environment(("a-tool",), (mend,), bare=("another",)).whole(site)


def test_no_environment_says_how_to_make_one(place) -> None:
    with pytest.raises(SystemExit, match=r"bin.python: not there; make it with: python .*environments.py .*envs"):
        place.program("joey")


def test_unknown_model(place) -> None:
    from peers.tools import tools

    with pytest.raises(SystemExit, match="nobody: no such model; expected joey, onmt, s2s-256"):
        tools(place, ["joey", "nobody"])


def test_a_program_with_its_peak(tmp_path: Path) -> None:
    from peers.process import run

    code = "import time; held = bytearray(80_000_000); held[::4096] = b'x' * len(held[::4096]); time.sleep(0.4)"
    ran = run([sys.executable, "-c", code], tmp_path / "log")
    assert ran.seconds > 0.4
    assert ran.peak is None or 80_000_000 < ran.peak < 160_000_000


def test_a_program_that_fails(tmp_path: Path) -> None:
    from peers.process import run

    with pytest.raises(SystemExit, match=r"ended with 3; the end of .*\nno model"):
        run([sys.executable, "-c", "print('no model'); raise SystemExit(3)"], tmp_path / "log")


STUB = """
from peers.answering import serve
def answer(lines, beam, batch, words):
    print("noise")
    return [f"{line} {beam} {batch} {' '.join(words)}" for line in lines]
serve(lambda: (answer, {"load": 0.5}))
"""


def test_a_worker_answers_and_is_timed(tmp_path: Path) -> None:
    from peers.process import workers

    with workers({"stub": [sys.executable, "-c", STUB]}, tmp_path) as running:
        worker = running["stub"]
        assert worker.facts == {"load": 0.5}
        assert worker.ask(["a", "b"], beam=5, batch=2)[0] == ["a 5 2 ", "b 5 2 "]
        answers, seconds = worker.ask(["a", "b"], beam=1, batch=1, singly=True, words=["x=1"])
        assert (answers, len(seconds)) == (["a 1 1 x=1", "b 1 1 x=1"], 2)
    assert "noise" in (tmp_path / "stub.answers.log").read_text()


def test_a_worker_that_dies(tmp_path: Path) -> None:
    from peers.process import Worker

    with pytest.raises(SystemExit, match="no such model"):
        Worker([sys.executable, "-c", "raise SystemExit('no such model')"], tmp_path / "log")


def pieces(*rates: float):
    import training

    return [training.Piece(250, 1, rate, 10.0, 1_000_000_000, 8_000_000) for rate in rates]


def scored(bleu: list[float], reference: list[float] | None = None):
    import training

    return training.Quality(1200, bleu, reference or [], [])


def test_ratios_are_of_one_round() -> None:
    import training

    rows = training.rows_of({"joey": pieces(100, 50, 100), "s2s-256": pieces(800, 500, 700)}, {})
    assert [(row.rate, row.ratio) for row in rows] == [(100, None), (700, 8.0)]
    assert "| s2s-256 | 8,000,000 | 700 | 8.00x joey | not measured | 1,000 |" in training.table(rows)


@pytest.mark.parametrize(
    ("ours", "reference", "told"),
    [
        ([34.0, 34.4], [], ""),
        ([34.0, 34.0], [], "below 34.10 of joey"),
        ([34.5], [34.7], ""),
        ([34.5], [34.9], "below 34.60 in float32, less 0.3"),
    ],
    ids=["better", "worse than the peer", "near its reference", "worse than its reference"],
)
def test_no_ratio_without_quality(ours: list[float], reference: list[float], told: str) -> None:
    import training

    qualities = {"joey": scored([34.1]), "s2s-256": scored(ours, reference)}
    assert told in training.objection("s2s-256", qualities)
    assert bool(training.objection("s2s-256", qualities)) == bool(told)
    rows = training.rows_of({"joey": pieces(100), "s2s-256": pieces(900)}, qualities)
    assert rows[1].ratio == (None if told else 9.0)


def test_the_small_model_must_reach_either_peer() -> None:
    import training

    qualities = {"joey": scored([18.0]), "onmt": scored([34.0]), "s2s-256": scored([33.0]), "s2s-joey": scored([20.0])}
    assert "below 34.00 of onmt" in training.objection("s2s-256", qualities)
    assert not training.objection("s2s-joey", qualities)
    assert not training.objection("joey", qualities)


def test_ways() -> None:
    import decoding

    ways = decoding.ways_of(["joey", "s2s-256"], ["short=search.max_length=3 search.seed=2"])
    assert list(map(str, ways)) == ["joey", "s2s-256", "s2s-256 short"]
    assert ways[2].words == ("search.max_length=3", "search.seed=2")
    with pytest.raises(SystemExit, match="expected NAME=search"):
        decoding.ways_of(["joey"], ["search.max_length=3"])


def test_no_time_of_a_search_that_finds_something_else() -> None:
    import decoding

    joey, plain, other = decoding.ways_of(["joey", "s2s-256"], ["other=search.seed=2"])
    seconds = {joey: [10.0, 30.0], plain: [2.0, 2.0], other: [1.0, 1.0]}
    bleu = {joey: 30.0, plain: 34.0, other: 33.8}
    batch, alone = decoding.Task(5, 64, singly=False), decoding.Task(5, 1, singly=True)
    rows = decoding.rows_of(batch, seconds, bleu, {"s2s-256": 34.0}, 1000)
    rows += decoding.rows_of(alone, seconds, {}, {"s2s-256": 34.0}, 100)
    kept = decoding.withheld(rows)
    assert [(row.rate, row.ratio) for row in kept[:3]] == [(50.0, None), (500.0, 10.0), (None, None)]
    assert [(row.milliseconds, row.ratio) for row in kept[3:]] == [(20_000.0, None), (2_000.0, 10.0), (None, None)]
    assert decoding.table(kept).count("BLEU is off") == 2


def test_growth_table() -> None:
    import decoding

    table = decoding.growth_table({"s2s-256": {"length": {1: 0.5, 4: 2.0, 16: 9.0}}})
    assert table.splitlines()[-1] == "| s2s-256 | length | 0.50 s (1.0x) | 2.00 s (4.0x) | 9.00 s (18.0x) |"

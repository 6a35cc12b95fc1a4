"""Runs as the server asks them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from translators import SOURCE, lively, made

from s2s.build import serving
from s2s.build.serving import Interpreter, Partner, servable, share_cores
from s2s.config.io import check
from s2s.errors import UserError
from s2s.passages import Wish, align_passages, cut_texts, translate_passages
from s2s.serve.protocols import Speaker
from s2s.text.sentences import sentences
from s2s.text.turns import Turns
from s2s.translator import Translator


def partner(**search: Any) -> Partner:
    """A flat model of dialogues."""
    base = lively()
    config = check({"search": {"max_length": 12, **search}}, "x")
    place: dict[str, Any] = {"name": "talks", "languages": ("a", "a"), "device": torch.device("cpu")}
    (found,) = servable(Translator(base.model, Turns(SOURCE), base.target, config=config, **place))
    assert isinstance(found, Partner)
    return found


def texts(found: Any) -> list[str]:
    return [one.text for one in found]


def test_what_the_server_tells_apart() -> None:
    assert isinstance(partner(), Speaker)
    (interpreter,) = servable(lively())
    assert not isinstance(interpreter, Speaker)
    assert (interpreter.name, interpreter.source_lang, interpreter.target_lang) == ("run", "de", "en")


def test_an_interpreter_answers_as_the_translator_does() -> None:
    translator = lively()
    lines = ["abc", "hgf e", "d"]
    found = Interpreter(translator).translate(lines, n_best=3)
    assert [texts(own) for own in found] == [texts(own) for own in translator.translate(lines, n_best=3)]


@pytest.mark.parametrize("search", [{}, {"sample": True, "temperature": 0.7}, {"beam": 4, "groups": 2}])
def test_required_words_are_in_every_answer_whatever_the_run_does_else(search: dict[str, Any]) -> None:
    interpreter = Interpreter(lively(**search))
    found = interpreter.translate(["abc", "d"], n_best=2, required=[["zzx"], []])
    assert all("zzx" in one.text for one in found[0])
    with pytest.raises(UserError, match="cannot write"):
        interpreter.translate(["abc"], required=[["q"]])


def test_temperature_and_seed() -> None:
    turns = ["abc", "vw", "hg"]
    cold = partner(sample=True, temperature=0.5, top_k=3).reply(turns, temperature=0)
    assert texts(cold) == texts(partner().reply(turns)) == texts(partner().reply(turns, temperature=1e-9))
    one, same, other = (texts(partner().reply(turns, count=4, temperature=1.5, seed=seed)) for seed in (1, 1, 2))
    assert one == same != other
    assert len(set(one)) > 1
    assert len(set(texts(partner(beam=4, groups=2).reply(turns, count=3, top_p=0.99)))) > 1


def test_the_history_is_read() -> None:
    talker = partner()
    replies = {texts(talker.reply([*before, "abc"], count=1))[0] for before in ([], ["d"], ["hg", "fe"], ["dd", "a"])}
    assert len(replies) > 1
    assert talker.tokens(["abc", "d"]) == 1 + 3 + 1 + 1 + 1  # begin mark, and an end behind each turn


def test_limits_never_go_beyond_the_runs_own() -> None:
    turns = ["abcdefgh" * 3]
    (short,) = partner(min_length=8).reply(turns, max_tokens=4)
    assert short.tokens == 4
    (own,) = partner(min_length=12).reply(turns, max_tokens=10**6)
    assert own.tokens == 12


def test_nothing_said() -> None:
    with pytest.raises(UserError, match="nothing was said"):
        partner().reply(["abc", " "])


LONG = "abc. Dd " * 20
"""160 tokens, more than a run's `data.max_source`."""


def test_an_interpreter_cuts_what_the_command_line_cuts() -> None:
    translator = lively()
    lines = [" ab. Cd. ", LONG]
    offline = [passage.joined() for passage in translate_passages(translator, lines, Wish(n_best=2))]
    assert [texts(own) for own in Interpreter(translator).translate(lines, n_best=2)] == list(map(texts, offline))
    assert len(cut_texts(translator, lines, "auto")[0]) == 1 < len(cut_texts(translator, lines, "auto")[1])


def test_links_are_those_of_the_command_line() -> None:
    translator = lively()
    lines = ["abc de", LONG]
    passages = translate_passages(translator, lines, Wish(n_best=2))
    found = Interpreter(translator).translate(lines, n_best=2, linked=True)
    assert [own[0].links for own in found] == align_passages(translator, passages, every_source=True)
    assert [len(own) for own in found] == [2, 2]
    assert all(one.links is None for own in Interpreter(translator).translate(lines) for one in own)
    blind = Interpreter(made(None))
    assert blind.translate(lines[:1], linked=True)[0][0].links is None


def test_attention_by_lines_and_of_long_ones_by_sentences() -> None:
    interpreter = Interpreter(lively())
    (whole,) = interpreter.attention("abc. Dd", "xy. zv")
    assert "".join(whole.source) == "abc. Dd"
    count = len(sentences(LONG))
    assert [len(interpreter.attention(LONG, "Xy. " * times)) for times in (count, count + 1)] == [count, 1]
    assert Interpreter(made(None)).attention("ab", "xz") == []


@pytest.mark.parametrize(
    ("cores", "wanted", "workers", "threads"),
    [(1, None, 1, 1), (2, None, 2, 1), (6, None, 4, 1), (8, None, 4, 2), (8, 1, 1, 8), (8, 3, 3, 2), (2, 5, 5, 1)],
)
def test_workers_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, wanted: int | None, workers: int, threads: int
) -> None:
    monkeypatch.setattr(serving, "set_threads", lambda _: cores)
    settings, each = share_cores(check({"serve": {"workers": wanted}}, "x").serve, "cpu")
    assert (settings.workers, each) == (workers, threads)


def test_a_gpu_has_one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "pick_device", lambda _: torch.device("cuda"))
    assert share_cores(check({}, "x").serve, "auto")[0].workers == 1

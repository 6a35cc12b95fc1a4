"""`s2s serve` with a trained run: the same answers as on the command line."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from cli_tools import refused, s2s, started

pytest.importorskip("fastapi")


def _ask(url: str, **body: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_serve(dates: Path, here: Path) -> None:
    expected = s2s("translate", dates, stdin=b"May 1, 2001\nJUNE 9, 1975\n").out.splitlines()
    with started(["serve", dates, "--port", "0"], here) as process:
        assert process.stderr is not None
        said = process.stderr.readline().decode()
        found = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert found is not None, said
        one = _ask(f"{found[0]}/translate", q="May 1, 2001", source="src", target="tgt")
        both = _ask(f"{found[0]}/translate", q=["May 1, 2001", "JUNE 9, 1975"], source="src", target="tgt")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert b"Traceback" not in process.stderr.read()
    assert one["translatedText"] == expected[0]
    assert both["translatedText"] == expected


def test_two_runs_of_one_direction(dates: Path) -> None:
    result = s2s("serve", dates, dates)
    assert result.code == 2
    assert "Traceback" not in result.err


@pytest.mark.usefixtures("here")
def test_keys() -> None:
    made = s2s("keys", "make", "the shop")
    key = made.out.strip()
    assert (made.code, key.startswith("s2s_")) == (0, True)
    (line,) = s2s("keys", "list").out.splitlines()
    identity = line.split()[0]
    assert line.endswith("-                          the shop")
    assert key not in line
    assert s2s("keys", "revoke", identity).out.startswith(f"{identity} (the shop) revoked 2")
    assert s2s("keys", "list").out.split()[2].startswith("2")
    refused(s2s("keys", "list", "--db", "other"), "other: there is no such file of keys")
    refused(s2s("keys", "revoke", "zz"), "no key with the id 'zz'")


def test_words_that_serve_does_not_know(dates: Path) -> None:
    refused(s2s("serve", "serve.port=0"), "no run to serve")
    refused(s2s("serve", dates, "serve.prot=0"), "serve.prot", "serve.port")
    refused(s2s("serve", dates, "search.beam=3"), "only serve.key=value")
    refused(s2s("serve", dates, "--keys", "none"), "none: there is no such file of keys")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_run_replaced_while_it_is_served(dates: Path, here: Path) -> None:
    """SIGHUP takes the new files; damaged ones leave the old model in its place. All the while a key is asked for."""
    run = here / "run"
    shutil.copytree(dates, run)
    key = s2s("keys", "make", "shop").out.strip()
    with started(["serve", run, "--port", "0", "--keys", "keys.sqlite", "serve.log=requests"], here) as process:
        assert process.stderr is not None
        url = process.stderr.readline().decode().split()[2]
        asked = {"q": "May 1, 2001", "source": "src", "target": "tgt"}
        before = _ask(f"{url}/translate", **asked, api_key=key)
        with pytest.raises(urllib.error.HTTPError) as caught:
            _ask(f"{url}/translate", **asked, api_key="wrong")
        assert caught.value.code == 403
        caught.value.close()
        process.send_signal(signal.SIGHUP)
        said = _until(process.stderr, b"Loaded the runs anew")
        (run / "model.safetensors").write_bytes(b"damaged")
        process.send_signal(signal.SIGHUP)
        fault = json.loads(_until(process.stderr, b"could not be loaded anew")[-1])
        assert _ask(f"{url}/translate", **asked, api_key=key) == before
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    first = json.loads(said[0])
    assert (first["route"], first["status"], first["caller"][:4]) == ("/translate", 200, "key ")
    assert "traceback" not in fault
    assert str(run) in fault["event"]


def _until(stream: Any, part: bytes) -> list[bytes]:
    """The lines of a stream up to the one that holds a part."""
    lines = [stream.readline()]
    while part not in lines[-1]:
        assert lines[-1], lines
        lines.append(stream.readline())
    return lines


@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
def test_precision(dates: Path, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of `[serve]`, of the option, which wins, and the same for translate and evaluate."""
    served: list[Any] = []
    monkeypatch.setattr("s2s.serve.app.run", lambda runs, **options: served.extend([*runs, *options["again"]()]))
    for words in ([f"serve.precision={precision}"], ["serve.precision=float32", "--precision", precision]):
        assert s2s("serve", dates, *words).code == 0
    translated = s2s("translate", dates, "--precision", precision, stdin=b"May 1, 2001\n").out
    assert [one.translate(["May 1, 2001"])[0][0].text for one in served] == [translated.strip()] * 4
    layers = {type(one._translator.model.output).__name__ for one in served}
    assert layers == {"Int8Linear" if precision == "int8" else "HalfLinear"}
    scores = json.loads(s2s("evaluate", dates, "--precision", precision, "--json", "--bootstrap", "0").out)
    assert "bleu" in json.dumps(scores).lower()
    refused(s2s("serve", dates, "serve.precision=int4"), "serve.precision", "int8")

"""`s2s serve` with a trained run: the same answers as on the command line."""

from __future__ import annotations

import json
import re
import signal
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from cli_tools import s2s, started

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

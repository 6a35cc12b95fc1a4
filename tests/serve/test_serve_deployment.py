"""Dockerfile, compose file and systemd unit: they can be read, and say what the command line understands."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from serve_stub import Reversing

from s2s.build.words import split_serve
from s2s.config.io import check
from s2s.serve.app import create_app
from s2s.serve.listen import GRACE_SECONDS, SENDING_SECONDS

FOLDER = Path(__file__).parents[2] / "serve"
OPTIONS = {"--host", "--port", "--keys"}


def understood(words: list[str]) -> None:
    """Options that exist with their values, and keys of [serve]."""
    left = [word for before, word in zip(["", *words], words, strict=False) if not OPTIONS & {before, word}]
    runs, keys = split_serve(left)
    assert len(runs) == 1
    check({"serve": keys}, "serve")


def line(text: str, start: str) -> str:
    (found,) = re.findall(rf"(?m)^{start}\s*(.*)$", text)
    return str(found)


def test_dockerfile() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    entry, words = json.loads(line(text, "ENTRYPOINT")), json.loads(line(text, "CMD"))
    assert entry[:2] == ["s2s", "serve"]
    understood([*entry[2:], *words])
    assert line(text, "USER") == "s2s"
    (path,) = re.findall(r"127\.0\.0\.1:5000(/\w+)", text)
    assert TestClient(create_app([Reversing()])).get(path).status_code == 200


def test_compose() -> None:
    yaml = pytest.importorskip("yaml")
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    understood(services["s2s"]["command"])
    assert int(services["s2s"]["stop_grace_period"].rstrip("s")) > GRACE_SECONDS + SENDING_SECONDS
    assert all(port.startswith("127.0.0.1:") for service in services.values() for port in service["ports"])
    (job,) = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["s2s:5000"]}]


def test_unit() -> None:
    text = (FOLDER / "s2s.service").read_text()
    words = shlex.split(line(text, "ExecStart="))
    assert words[0].endswith("/s2s")
    assert words[1] == "serve"
    understood(words[2:])
    assert "-HUP" in line(text, "ExecReload=")
    assert int(line(text, "TimeoutStopSec=")) > GRACE_SECONDS + SENDING_SECONDS

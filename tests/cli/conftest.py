from __future__ import annotations

from pathlib import Path

import pytest
from cli_tools import DATES, train


@pytest.fixture(scope="session")
def dates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on generated dates, only to be read."""
    run = tmp_path_factory.mktemp("dates") / "run"
    train(*DATES, "-o", run)
    return run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path

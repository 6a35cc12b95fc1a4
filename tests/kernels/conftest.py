from __future__ import annotations

import pytest

from s2s.kernels import dense


@pytest.fixture
def every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of any size are made by `dense`, small ones too."""
    monkeypatch.setattr(dense, "LEAST", 1)

"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, settings

# A shared machine may pause any example: time is measured in benchmarks, never in tests.
settings.register_profile("s2s", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.load_profile("s2s")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from threads, and lose much where the machine is shared.

    Before each test, since a run in this process sets the number that its configuration asks for.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

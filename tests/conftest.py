"""What all tests share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A shared machine may pause any example: time is measured in benchmarks, never in tests.
settings.register_profile("s2s", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.load_profile("s2s")

"""What a server counts, for Prometheus: requests, waiting and translated lines, batches, and the process itself."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
LINES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The figures of one application, in a registry of its own."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._requests = Counter("s2s_requests", "Requests answered.", ["route", "status"], registry=registry)
        self._seconds = Histogram(
            "s2s_request_seconds", "Time from a request to the end of its answer.", ["route"], buckets=SECONDS,
            registry=registry,
        )  # fmt: skip
        self._batches = Histogram("s2s_batch_lines", "Lines of a batch.", buckets=LINES, registry=registry)
        self._lines = Counter("s2s_lines", "Lines given to the models.", registry=registry)
        self._characters = Counter("s2s_characters", "Characters of these lines.", registry=registry)
        self._reloads = Counter("s2s_reloads", "Times that the runs were loaded anew.", ["result"], registry=registry)
        self.in_progress = Gauge("s2s_requests_in_progress", "Requests not answered yet.", registry=registry)
        ProcessCollector(registry=registry)

    def measure(self, waiting: Callable[[], int]) -> None:
        """Ask how many lines wait whenever somebody looks."""
        Gauge("s2s_queue_lines", "Lines that wait for a worker.", registry=self._registry).set_function(waiting)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """A request is done with."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batched(self, items: int, size: int) -> None:
        """A batch begins, of so many lines and characters."""
        self._batches.observe(items)
        self._lines.inc(items)
        self._characters.inc(size)

    def reloaded(self, result: str) -> None:
        """The runs were loaded anew, or were not: `done` or `failed`."""
        self._reloads.labels(result).inc()

    def page(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)

"""The section `[serve]`: the REST endpoint."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from s2s.config.base import NonNegative, Positive, Section


def _no_zero(limit: int) -> int:
    if limit == 0:
        raise ValueError("it must be -1 (no limit) or at least 1")
    return limit


Limit = Annotated[int, Field(ge=-1), AfterValidator(_no_zero)]


class Serve(Section):
    """The REST endpoint. A limit of -1 means none."""

    host: str = Field("127.0.0.1", description="Address; the loopback by default.")
    port: int = Field(5000, ge=0, le=65535, description="Port; 0: any free one.")
    char_limit: Limit = Field(-1, description="Longest request in characters, all its texts together; -1: none.")
    batch_limit: Limit = Field(-1, description="Most texts a request; -1: none.")
    max_body: Positive = Field(4 * 2**20, description="Largest body of a request in bytes.")
    alternatives_limit: NonNegative = Field(
        10, description="Most further answers that a request may ask for; each widens the beam."
    )
    requests_per_minute: Limit = Field(-1, description="Requests a minute of one key, or address without one; -1: any.")
    characters_per_minute: Limit = Field(-1, description="Characters a minute of one key or address; -1: any number.")
    precision: Literal["auto", "float32", "bfloat16", "int8"] = Field(
        "float32",
        description="Of the products; int8: of the output layer's, beside bfloat16; auto: that where it pays.",
    )
    workers: Positive | None = Field(
        None, description="Batches at a time, which share the cores; none: one a core, four at most, and one on a GPU."
    )
    batch_lines: Positive = Field(64, description="Most lines of a batch; they may be of several requests.")
    batch_characters: Positive = Field(
        20_000, description="Most characters of a batch, in which each line counts as long as its longest."
    )
    batch_wait: float = Field(
        0.003,
        ge=0.0,
        le=1.0,
        description="Between two batches a busy server waits for so many seconds without a request, or a tenth of what"
        " the last batch took; 0: not at all.",
    )
    queue_limit: Positive = Field(1000, description="Lines that wait, from which on requests are refused (503).")
    timeout: float = Field(60.0, gt=0.0, description="Seconds after which a request is given up (503).")
    allow_origin: str = Field(
        "*", pattern=r"^[!-~]*$", description="Web origin whose pages may read the answers; *: any; empty: none."
    )
    log: Literal["faults", "requests", "texts"] = Field(
        "faults", description="What standard error hears of, as JSON lines: faults; every request too; its texts too."
    )

"""The section `[serve]`: the REST endpoint."""

from __future__ import annotations

from pydantic import Field

from s2s.config.base import Section


class Serve(Section):
    """The REST endpoint."""

    host: str = Field("127.0.0.1", description="Address; the loopback by default.")
    port: int = Field(5000, ge=0, le=65535, description="Port; 0: any free one.")
    char_limit: int = Field(-1, ge=-1, description="Longest request in characters; -1: none.")
    batch_limit: int = Field(-1, ge=-1, description="Most texts a request; -1: none.")

"""What a server accepts: the section [serve] of a run's configuration, where every key has its default and meaning."""

from __future__ import annotations

from s2s.config.serve import Serve as Settings

__all__ = ["Settings"]

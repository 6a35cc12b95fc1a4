"""s2s: recurrent sequence-to-sequence models, from a file of pairs to a REST answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from s2s.session import Chat, Translator, load

__version__ = "0.1.0"
__all__ = ["Chat", "Translator", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Load torch only for those who ask for a model, so that `s2s --help` answers at once."""
    if name in ("Chat", "Translator", "load"):
        from s2s import session

        return getattr(session, name)
    raise AttributeError(f"module 's2s' has no attribute {name!r}")

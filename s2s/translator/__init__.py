"""A trained model, or several, with its tokenizers: text in, text out."""

from __future__ import annotations

from s2s.translator.answers import Alignment, Constraints, Translation
from s2s.translator.chat import Chat
from s2s.translator.translator import Translator

__all__ = ["Alignment", "Chat", "Constraints", "Translation", "Translator"]

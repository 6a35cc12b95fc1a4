"""Pictures that are readable in print: attention maps, learning curves, states and gates over time, word vectors."""

from __future__ import annotations

from s2s.plots.attention import attention_map
from s2s.plots.curves import learning_curve
from s2s.plots.reach import gradient_reach
from s2s.plots.states import Panel, state_map
from s2s.plots.vectors import word_map

__all__ = ["Panel", "attention_map", "gradient_reach", "learning_curve", "state_map", "word_map"]

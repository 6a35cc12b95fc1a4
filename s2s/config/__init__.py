"""The whole configuration of a run: one schema, checked before anything starts.

Every key has its default, its bounds and its one-line meaning in the file of its section, and nowhere else. `config.io`
reads TOML files and command-line overrides into it and words the errors.
"""

from s2s.config.base import Section
from s2s.config.data import Data, Mixed, Task
from s2s.config.model import Core, Model, ResolvedSide, Side
from s2s.config.search import Search, beam_keys
from s2s.config.serve import Serve
from s2s.config.text import Text
from s2s.config.training import Metric, Training
from s2s.config.whole import Config

__all__ = [
    "Config",
    "Core",
    "Data",
    "Metric",
    "Mixed",
    "Model",
    "ResolvedSide",
    "Search",
    "Section",
    "Serve",
    "Side",
    "Task",
    "Text",
    "Training",
    "beam_keys",
]

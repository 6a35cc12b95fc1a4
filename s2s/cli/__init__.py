"""The command line: one function a verb, no logic. Heavy imports are inside the verbs: `s2s --help` answers at once."""

from s2s.cli.app import main
from s2s.cli.leave import program

__all__ = ["main", "program"]

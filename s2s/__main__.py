"""`python -m s2s`."""

from s2s.cli import program

program()

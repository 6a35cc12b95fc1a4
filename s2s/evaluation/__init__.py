"""What an evaluation found, as tables, and the tables as text, Markdown and HTML."""

from s2s.evaluation.result import Evaluation, Picture, System, Table
from s2s.evaluation.tables import summary, tables

__all__ = ["Evaluation", "Picture", "System", "Table", "summary", "tables"]

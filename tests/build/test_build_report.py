"""What a run leaves behind for its reader."""

from __future__ import annotations

from s2s.build.report import one_line


def test_an_answer_is_one_line_and_a_reply_one_turn() -> None:
    assert one_line("a\r\nb\tc") == "a  b\tc"  # a translation may have tabs of its own
    assert one_line("a\r\nb\tc", tabs=False) == "a  b c"

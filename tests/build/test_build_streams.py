"""Lines as they arrive: the same lines however the bytes come in pieces."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.build.streams import arriving, writing
from s2s.errors import UserError


class Drops:
    """A stream that hands out one piece a read."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = [piece for piece in pieces if piece]

    def read1(self, size: int = -1, /) -> bytes:  # noqa: ARG002
        return self.pieces.pop(0) if self.pieces else b""


@given(st.lists(st.text(st.sampled_from("aé中\n\r\u2028 "), max_size=6)), st.integers(1, 3))
def test_pieces_do_not_matter(texts: list[str], most: int) -> None:
    whole = "".join(texts).encode()
    wanted = whole.decode().split("\n")
    wanted = [line.removesuffix("\r") for line in (wanted[:-1] if wanted[-1] == "" else wanted)]
    for cut in ([text.encode() for text in texts], [whole], [bytes([byte]) for byte in whole]):
        batches = list(arriving(Drops(cut), "x", most=most))
        assert [line for batch in batches for line in batch] == wanted
        assert all(0 < len(batch) <= most for batch in batches)


def test_what_has_arrived_is_not_held_back() -> None:
    stream = Drops([b"a\nb\nc", b"d\n", b"e"])
    lines = arriving(stream, "x")
    assert next(lines) == ["a", "b"]
    assert stream.pieces == [b"d\n", b"e"]
    assert list(lines) == [["cd"], ["e"]]


def test_the_number_of_a_bad_line_counts_from_the_start() -> None:
    with pytest.raises(UserError, match="x, line 4: not UTF-8"):
        list(arriving(Drops([b"a\nb\n", b"c\n\xff\n"]), "x", most=1))


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "out"

    def fail() -> None:
        with writing(path, "-o") as file:
            file.write("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []
    with writing(path, "-o") as file:
        file.write("first\n")
        assert not path.exists()
    assert path.read_text() == "first\n"
    assert list(tmp_path.iterdir()) == [path]

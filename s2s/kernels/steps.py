"""One step of a decoder as one call: a program over registers of floats, run in C++.

A step is some forty small operations, and to begin each from Python takes longer than to do it for one sentence. Here
they are written down once a search, as instructions with the addresses of the weights, and C++ carries them out. Where
all matrices are packed, so it does for many rows.

Shapes: R rows, B sentences, S positions of the source, W width of a state, V vocabulary.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from enum import IntEnum, auto
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from s2s.kernels.compiled import not_built
from s2s.kernels.compiled.build import library
from s2s.kernels.compiled.call import call
from s2s.kernels.eight import Rounded
from s2s.kernels.few import FEW

Matrix = Tensor | Rounded
"""(out, in) in float32, in bfloat16, or in 8 bits."""


class Do(IntEnum):
    """In the order of `source/steps.hpp`."""

    EMBED = 0
    CONTEXT = auto()
    PRODUCT = auto()
    EMIT = auto()
    COPY = auto()
    ADD = auto()
    MULTIPLY = auto()
    TANH = auto()
    RELU = auto()
    SIGMOID = auto()
    GRU = auto()
    FINISH = auto()
    LSTM = auto()
    RWA = auto()
    AVERAGE = auto()
    ATTEND = auto()


class Unfit(Exception):  # noqa: N818  said as a state of affairs, which it is
    """These weights or sizes have no program."""


class Register(NamedTuple):
    """So many floats of each row."""

    at: int
    width: int

    def part(self, start: int, width: int) -> Register:
        """Some of them."""
        assert start + width <= self.width
        return Register(self.at + start, width)


class Read(NamedTuple):
    """What a step reads of the source, in float32."""

    keys: Tensor
    """(B, S, A)"""
    values: Tensor
    """(B, S, E)"""
    mask: Tensor
    """(B, S), true at what may be looked at."""
    context: Tensor
    """(B, C)"""
    place: Tensor | None = None
    """(sentences that are left,) which of the B each is; None: all are left."""


def unavailable(like: Tensor) -> str | None:
    """Why steps with states like this are no programs; None where they are."""
    if like.device.type != "cpu" or like.dtype != torch.float32:
        return "they are for float32 on the CPU"
    if torch.is_autocast_enabled("cpu"):
        return "autocast chooses the types of its own"
    return not_built("steps")


class Way(NamedTuple):
    """What a greedy search may write."""

    bos: int
    eos: int
    room: Sequence[int]
    """Tokens that each sentence may have before its end."""
    forbidden: Tensor | None = None
    """Tokens that are never written; they do count in the softmax."""
    meaning: Tensor | None = None
    """What the embedding reads of each token that is written, where that is not itself."""


class Program:
    """Instructions in the order in which they are run. The first registers are the state.

    Args:
        state: widths of the parts of a state.
        rows: of a step at most; more than a few take packed matrices.
    """

    def __init__(self, state: list[int], rows: int = FEW) -> None:
        self.width = 0
        self.state = [self.room(width) for width in state]
        self.state_size = self.width
        self.vocabulary = 0
        self._rows = rows
        self._lines: list[tuple[int, ...]] = []
        self._kept: list[Tensor] = []
        self._made: Tensor | None = None

    def room(self, width: int) -> Register:
        """Registers for something new."""
        found = Register(self.width, width)
        self.width += width
        return found

    def embed(self, table: Tensor, to: Register) -> None:
        """to <- the token's row."""
        if table.dtype not in (torch.float32, torch.bfloat16):
            raise Unfit(f"embeddings in {table.dtype}")
        self._add(Do.EMBED, to=to, a=table.contiguous(), more=_KEPT[table.dtype])

    def context(self, to: Register) -> None:
        """to <- the sentence's context."""
        self._add(Do.CONTEXT, to=to)

    def product(
        self, x: Register, matrix: Matrix, bias: Tensor | None, to: Register | None = None, *, add: bool = False
    ) -> Register:
        """to <- W x + b, or += with `add`."""
        rows = _rows(matrix, x)
        to = self.room(rows) if to is None else to
        assert to.width == rows, (to, rows)
        numbers, scale, kind = self._parts(matrix)
        self._add(Do.PRODUCT, x, to, extra=add, more=kind, a=numbers, b=scale, c=_vector(bias))
        return to

    def emit(self, x: Register, matrix: Matrix, bias: Tensor | None) -> None:
        """The logits: W x + b."""
        self.vocabulary = _rows(matrix, x)
        numbers, scale, kind = self._parts(matrix)
        self._add(Do.EMIT, x, Register(0, self.vocabulary), more=kind, a=numbers, b=scale, c=_vector(bias))

    def copy(self, x: Register, to: Register) -> None:
        """to <- x"""
        self._add(Do.COPY, x, to)

    def add(self, x: Register, to: Register) -> None:
        """to += x"""
        self._add(Do.ADD, x, to)

    def apply(self, function: Do, to: Register) -> None:
        """to <- f(to), f one of tanh, relu, sigmoid."""
        self._add(function, to=to)

    def join(self, parts: list[Register]) -> Register:
        """The parts one behind the other."""
        if len(parts) == 1:
            return parts[0]
        joined, start = self.room(sum(part.width for part in parts)), 0
        for part in parts:
            self.copy(part, joined.part(start, part.width))
            start += part.width
        return joined

    def gru(self, gates: Register, products: Register, h: Register) -> None:
        """GRU with the reset after the product."""
        self._add(Do.GRU, gates, h, extra=products.at)

    def sum(self, x: Register, y: Register) -> Register:
        """x + y, apart from both."""
        found = self.room(x.width)
        self.copy(x, found)
        self.add(y, found)
        return found

    def multiply(self, x: Register, to: Register) -> None:
        """to *= x"""
        self._add(Do.MULTIPLY, x, to)

    def finish(self, z: Register, n: Register, h: Register) -> None:
        """h <- tanh(n) + z * (h - tanh(n))"""
        self._add(Do.FINISH, z, h, extra=n.at)

    def lstm(self, gates: Register, h: Register, c: Register, peephole: Tensor | None, *, forget_gate: bool) -> None:
        """h, c <- those of an LSTM."""
        self._add(Do.LSTM, gates, h, extra=c.at, more=forget_gate, a=_vector(peephole))

    def rwa(self, gates: Register, h: Register, v: Register, l: Register) -> None:  # noqa: E741
        """h, v, l <- those of an RWA; they lie one behind the other."""
        assert (v.at, l.at) == (h.at + h.width, v.at + v.width)
        self._add(Do.RWA, gates, h)

    def average(self, phi: Register, mu: Register, decays: Tensor) -> None:
        """mu <- alpha mu + (1 - alpha) phi for each decay alpha."""
        assert mu.width == phi.width * len(decays)
        self._add(Do.AVERAGE, phi, Register(mu.at, phi.width), extra=len(decays), a=_vector(decays))

    def attend(self, query: Register, to: Register, energy: Tensor | None) -> None:
        """to <- the average of the values by softmax of q . k, or of v . tanh(q + k) where there is an energy v."""
        self._add(Do.ATTEND, query, to, a=_vector(energy))

    def run(self, token_R: Tensor, state_RW: Tensor, source: Read) -> tuple[Tensor, Tensor]:
        """Logits (R, V) and the next state (R, W); the rows of a sentence stand together."""
        rows, sentences = len(token_R), len(source.mask if source.place is None else source.place)
        after_RW, logits_RV = torch.empty_like(state_RW), state_RW.new_empty(rows, self.vocabulary)
        sizes = (
            *(rows, rows // sentences, source.mask.shape[1], self.state_size, self.width),
            *(len(self._lines), self.vocabulary, source.context.shape[1]),
        )
        token_R, state_RW = token_R.contiguous(), state_RW.contiguous()
        call("steps", "decode_step", sizes, None, state_RW, token_R, self._instructions(), *source, after_RW, logits_RV)
        return logits_RV, after_RW

    def greedily(self, first_BW: Tensor, source: Read, way: Way) -> tuple[Tensor, Tensor]:
        """All steps of a greedy search: tokens and their log-probabilities, (B, longest room + 1) each.

        A sentence goes on until it writes its end, or the first token beyond its room; behind that stand zeros.
        """
        assert source.place is None
        longest = max(way.room) + 1
        token_BT = torch.zeros(len(way.room), longest, dtype=torch.int64)
        gain_BT = torch.zeros(token_BT.shape)
        forbidden = 0 if way.forbidden is None else len(way.forbidden)
        sizes = (
            *(len(way.room), source.mask.shape[1], self.state_size, self.width, len(self._lines), self.vocabulary),
            *(source.context.shape[1], way.bos, way.eos, longest, forbidden),
        )
        room_B = torch.tensor(way.room, dtype=torch.int64)
        given = (first_BW.contiguous(), self._instructions(), *source[:4], room_B, way.forbidden, way.meaning)
        call("steps", "decode_greedily", sizes, None, *given, token_BT, gain_BT)
        return token_BT, gain_BT

    def _instructions(self) -> Tensor:
        if self._made is None:
            self._made = torch.tensor(self._lines, dtype=torch.int64)
        return self._made

    def _parts(self, matrix: Matrix) -> tuple[Tensor, Tensor | None, int]:
        """Its numbers, their scales, and how they are kept."""
        numbers, scale = (matrix.numbers_RF, matrix.scale_R) if isinstance(matrix, Rounded) else (matrix, None)
        if numbers.dtype not in _KEPT:
            raise Unfit(f"a matrix in {numbers.dtype}")
        if (packed := _packed(numbers)) is not None:
            return packed, _vector(scale), _PACKED[numbers.dtype]
        if self._rows > FEW:
            raise Unfit(f"{self._rows} rows and a matrix that is not packed")
        return numbers.detach().contiguous(), _vector(scale), _KEPT[numbers.dtype]

    def _add(
        self,
        do: Do,
        x: Register = Register(0, 0),  # noqa: B008  a value
        to: Register = Register(0, 0),  # noqa: B008
        *,
        extra: int = 0,
        more: int = 0,
        a: Tensor | None = None,
        b: Tensor | None = None,
        c: Tensor | None = None,
    ) -> None:
        addresses = [0 if tensor is None else tensor.data_ptr() for tensor in (a, b, c)]
        self._kept += [tensor for tensor in (a, b, c) if tensor is not None]
        self._lines.append((int(do), x.at, x.width, to.at, to.width, int(extra), int(more), *addresses))


_KEPT = {torch.float32: 0, torch.bfloat16: 1, torch.int8: 2}
_PACKED = {torch.bfloat16: 3, torch.int8: 4, torch.float32: 5}
"""As in `source/steps.hpp`."""
_TOGETHER = {torch.float32: 1, torch.bfloat16: 2, torch.int8: 4}
_SIDE_BY_SIDE = 32


class _Pack(NamedTuple):
    """A matrix packed, and of what numbers."""

    at: int
    version: int
    numbers: Tensor


_packs: MutableMapping[Tensor, _Pack] = WeakIdKeyDictionary()


def _packed(numbers_NK: Tensor) -> Tensor | None:
    """Of a parameter that is not trained any more: packed once, for as long as it lives and until its numbers change.

    One that is trained changes unseen: torch's fused optimisers do not count its versions.
    """
    if not isinstance(numbers_NK, nn.Parameter) or numbers_NK.requires_grad or not library("steps").steps_packs():
        return None
    at, version = numbers_NK.data_ptr(), 0 if numbers_NK.is_inference() else numbers_NK._version
    found = _packs.get(numbers_NK)
    if found is None or (found.at, found.version) != (at, version):
        found = _packs[numbers_NK] = _Pack(at, version, _pack(numbers_NK.detach().contiguous()))
    return found.numbers


def _pack(numbers_NK: Tensor) -> Tensor:
    rows, width = numbers_NK.shape
    together = _TOGETHER[numbers_NK.dtype]
    panels, groups = -(-rows // _SIDE_BY_SIDE), -(-width // together)
    packed = torch.zeros(panels, groups, _SIDE_BY_SIDE, together, dtype=numbers_NK.dtype)
    call("steps", "pack", (rows, width), None, numbers_NK, packed)
    return packed


def _vector(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().float().contiguous()


def _rows(matrix: Matrix, x: Register) -> int:
    rows, width = (matrix.numbers_RF if isinstance(matrix, Rounded) else matrix).shape
    assert width == x.width, (width, x)
    return rows

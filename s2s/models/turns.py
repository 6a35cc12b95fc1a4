"""Turns as rows, and the same turns as a table of dialogues x turns, or their words as one row a dialogue."""

# B dialogues, R rows (the turns of all dialogues, one dialogue after the other), N turns of a dialogue, T words of a
# turn, W words of a dialogue, F features

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Table(NamedTuple):
    """Where each turn stands among dialogues x turns."""

    dialogues: int
    turns: int
    """N, of the longest."""
    place_R: Tensor
    """number of the dialogue * N + number of the turn."""

    @classmethod
    def of(cls, counts_B: Tensor, rows: int) -> Table:
        """The table of dialogues with so many turns, of which there are `rows` together."""
        dialogues = len(counts_B)
        turns = max(1, int(counts_B.max())) if dialogues else 1
        owner_R = torch.arange(dialogues, device=counts_B.device).repeat_interleave(counts_B, output_size=rows)
        first_B = counts_B.cumsum(0) - counts_B
        turn_R = torch.arange(rows, device=counts_B.device) - first_B[owner_R]
        return cls(dialogues, turns, owner_R * turns + turn_R)

    @property
    def turn_R(self) -> Tensor:
        """Number of each turn in its dialogue, from 0."""
        return self.place_R % self.turns

    def spread(self, rows: Tensor) -> Tensor:
        """(R, ...) to (B * N, ...), zeros where a dialogue has no turn."""
        return rows.new_zeros(self.dialogues * self.turns, *rows.shape[1:]).index_copy(0, self.place_R, rows)

    def gather(self, spread: Tensor) -> Tensor:
        """(B * N, ...) back to (R, ...)."""
        return spread.index_select(0, self.place_R)


class Words(NamedTuple):
    """The words of each dialogue side by side, behind an empty one that is looked at where there is nothing else."""

    values: Tensor
    """(B, W, F) zeros at the empty word and where a dialogue has no more."""
    turn: Tensor
    """(B, W) the number of each word's turn; N where there is no word."""

    @classmethod
    def of(cls, values_RTF: Tensor, lengths_R: Tensor, table: Table) -> Words:
        """From what was made of each turn's words."""
        rows, positions, width = values_RTF.shape
        position_T = torch.arange(positions, device=values_RTF.device)
        real_RT = position_T < lengths_R.unsqueeze(1)
        words_BN = table.spread(lengths_R).view(table.dialogues, table.turns)
        before_BN = words_BN.cumsum(1) - words_BN
        longest = 1 + (int(words_BN.sum(1).max()) if rows else 0)
        owner_R = table.place_R // table.turns
        start_R = owner_R * longest + 1 + before_BN.flatten()[table.place_R]
        place = (start_R.unsqueeze(1) + position_T)[real_RT]
        values = values_RTF.new_zeros(table.dialogues * longest, width).index_copy(0, place, values_RTF[real_RT])
        turn = torch.full((table.dialogues * longest,), table.turns, device=values_RTF.device)
        turn = turn.index_copy(0, place, table.turn_R.unsqueeze(1).expand(real_RT.shape)[real_RT])
        return cls(values.view(table.dialogues, longest, width), turn.view(table.dialogues, longest))

    def before(self, turns: Tensor) -> Tensor:
        """(B, N, W) what the turns (B, N) may look at: the words of turns before them, the first at the empty word."""
        mask_BNW = self.turn.unsqueeze(1) < turns.unsqueeze(2)
        mask_BNW[:, :, 0] = turns == 0
        return mask_BNW

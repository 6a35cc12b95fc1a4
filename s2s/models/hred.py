"""HRED, a hierarchical recurrent encoder-decoder of dialogues, and VHRED, the same with a latent variable a turn."""

# B dialogues, R rows (the turns of all dialogues, one dialogue after the other), N turns of a dialogue, T tokens of a
# turn, W words of a dialogue, E width of a turn's code, C width of the context, Z width of the latent variable,
# D = C, or C + Z where there is one

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from s2s.cores import Stack, State
from s2s.models.bridge import Bridge
from s2s.models.decoder import Decoded, Decoder, Memory
from s2s.models.encoder import Encoder
from s2s.models.latent import Latent, LatentVariable
from s2s.models.turns import Table, Words
from s2s.models.writer import Writer, output_layer


class Heard(NamedTuple):
    """What was read of whole dialogues."""

    codes: Tensor
    """(R, E) each turn's own code."""
    context: Tensor
    """(R, C) what the turns before each turn made of the context."""
    table: Table
    words: Words | None
    """Where there is attention."""


class Spoken(NamedTuple):
    """What teacher forcing gives: every turn a row."""

    decoded: Decoded
    """features (R, T, F)."""
    given: Tensor
    """(R, D) what each turn was written from: [c], or [c; z]."""
    latent: Latent | None


class History(NamedTuple):
    """Conversations so far, one row each; `models.nested.rows` picks and repeats them."""

    states: tuple[State, ...]
    """Of the context core."""
    context: Tensor
    """(B, C) what is known before the next turn."""
    values: Tensor
    """(B, W, E) all words said, where there is attention; (B, 0, 0) otherwise."""
    mask: Tensor
    """(B, W) true at words."""


class HRED(Writer):
    """p(turn_n | turns before) = prod_t softmax(W f_t + b)[y_t] (Sordoni et al. 2015; Serban et al., AAAI 2016).

        code_n = encoder(turn_n);  c_n = context core over code_1 .. code_n-1;  decoder starts from tanh(D c_n + b)

    and, where it is peeky, sees c_n at every step. The first turn is written from the context core's first state. With
    a latent variable (VHRED, Serban et al., AAAI 2017) [c_n; z_n] stands in the place of c_n, z_n one value a turn: of
    the posterior in teacher forcing, of the prior otherwise. The decoder's attention, if it has one, looks at the words
    of all turns before.

    Args:
        encoder: reads a turn; its top layer's last output is the code.
        context: reads codes, E wide.
        bridge: from D numbers to the decoder's first state.
        decoder: writes a turn; its `context_size` is D, or 0 where it sees c_n at the start only.
        vocabulary: V, number of tokens.
        tied: share the output layer's weight with the decoder's embedding.
        latent: of VHRED.
        bag: with a layer that guesses a turn's words from [c; z] (`dialogue_loss`).

    Raises:
        ValueError: tied, but the features are not as wide as the embedding; a bridge that copies.
    """

    def __init__(
        self,
        encoder: Encoder,
        context: Stack,
        bridge: Bridge,
        decoder: Decoder,
        *,
        vocabulary: int,
        tied: bool = False,
        latent: LatentVariable | None = None,
        bag: bool = False,
    ) -> None:
        super().__init__()
        if bridge.kind == "copy":
            raise ValueError("the context is no state of the decoder's core, so there is nothing to copy")
        self.encoder, self.context, self.latent = encoder, context, latent
        self.bridge, self.decoder = bridge, decoder
        self.output = output_layer(decoder, vocabulary, tied=tied)
        given_size = context.output_size + (latent.size if latent else 0)
        self.bag = nn.Linear(given_size, vocabulary) if bag else None

    def forward(
        self,
        words_RT: Tensor,
        lengths_R: Tensor,
        counts_B: Tensor,
        inputs_RT: Tensor,
        *,
        noise_RZ: Tensor | None = None,
        sampling: float = 0.0,
    ) -> Spoken:
        """Teacher forcing of all turns at once.

        Args:
            words_RT: each turn with its end mark, padded.
            lengths_R: of the turns, end marks included.
            counts_B: turns of each dialogue.
            inputs_RT: what the decoder reads: the begin mark, then each turn but its last token.
            noise_RZ: standard normal, for the posterior's z; None: drawn from torch's generator.
            sampling: share of inputs that are the model's own words (`Writer.own_words`).
        """
        heard = self.read(words_RT, lengths_R, counts_B)
        latent = None if self.latent is None else self.latent(heard.context, heard.codes, noise_RZ)
        given_RD = joined(heard.context, None if latent is None else latent.z)
        return Spoken(self.write(inputs_RT, given_RD, heard, sampling=sampling), given_RD, latent)

    def read(self, words_RT: Tensor, lengths_R: Tensor, counts_B: Tensor) -> Heard:
        """Codes of all turns, and the context before each."""
        values_RTE, codes_RE = self._codes(words_RT, lengths_R)
        table = Table.of(counts_B, len(words_RT))
        contexts_BNC, _ = self._contexts(codes_RE, table, counts_B)
        context_RC = table.gather(contexts_BNC[:, :-1].flatten(0, 1))
        attends = self.decoder.attention is not None
        return Heard(codes_RE, context_RC, table, Words.of(values_RTE, lengths_R, table) if attends else None)

    def write(self, inputs_RT: Tensor, given_RD: Tensor, heard: Heard, *, sampling: float = 0.0) -> Decoded:
        """Teacher forcing of all turns from what they are given: D numbers each, and the words before them."""
        if heard.words is None:
            return self._forced(inputs_RT, self._memory(given_RD, *_no_words(given_RD)), sampling)
        # Rows of one dialogue share its words, as beams share a source: so each dialogue gets the same number of rows.
        table = heard.table
        turns_BN = torch.arange(table.turns, device=inputs_RT.device).expand(table.dialogues, -1)
        mask_QW = heard.words.before(turns_BN).flatten(0, 1)
        memory = self._memory(table.spread(given_RD), heard.words.values, mask_QW)
        decoded = self._forced(table.spread(inputs_RT), memory, sampling)
        return Decoded(table.gather(decoded.features), None, None)

    def history(self, words_RT: Tensor, lengths_R: Tensor, counts_B: Tensor) -> History:
        """Conversations after all of their turns; a count may be 0."""
        table = Table.of(counts_B, len(words_RT))
        values_RTE, codes_RE = self._codes(words_RT, lengths_R)
        contexts_BNC, states = self._contexts(codes_RE, table, counts_B)
        context_BC = contexts_BNC[torch.arange(table.dialogues, device=counts_B.device), counts_B]
        if self.decoder.attention is None:
            return History(states, context_BC, *_no_words(context_BC))
        words = Words.of(values_RTE, lengths_R, table)
        return History(states, context_BC, words.values, words.before(counts_B.unsqueeze(1)).squeeze(1))

    def hear(self, history: History, words_BT: Tensor, lengths_B: Tensor) -> History:
        """The conversations with one more turn each, its end mark included."""
        values_BTE, codes_BE = self._codes(words_BT, lengths_B)
        out_B1C, states = self.context(codes_BE.unsqueeze(1), None, history.states)
        values, mask = history.values, history.mask
        if self.decoder.attention is not None:
            values = torch.cat([values.to(values_BTE.dtype), values_BTE], 1)
            position_T = torch.arange(words_BT.shape[1], device=words_BT.device)
            mask = torch.cat([mask, position_T < lengths_B.to(words_BT.device).unsqueeze(1)], 1)
            mask[:, 0] = False
        return History(states, out_B1C.squeeze(1), values, mask)

    def memory(self, history: History, noise_BZ: Tensor | None = None) -> Memory:
        """What the next turn is written from, one row a conversation: for `begin` and `step`, and so for every search.

        noise_BZ: standard normal, for the prior's z; None: drawn from torch's generator. All hypotheses of a row share
        one z; for several, repeat the row of the history.
        """
        z_BZ = None if self.latent is None else self.latent.guess(history.context, noise_BZ)
        return self._memory(joined(history.context, z_BZ), history.values, history.mask)

    def encode(
        self, words_RT: Tensor, lengths_R: Tensor, counts_B: Tensor, *, noise_BZ: Tensor | None = None
    ) -> Memory:
        """`memory` of the `history` of these turns."""
        return self.memory(self.history(words_RT, lengths_R, counts_B), noise_BZ)

    def _codes(self, words_RT: Tensor, lengths_R: Tensor) -> tuple[Tensor, Tensor]:
        """What the encoder says at each word (R, T, E), and of each turn (R, E)."""
        if not len(words_RT):  # nobody has said anything yet
            none_0TE = next(self.encoder.parameters()).new_zeros(0, 1, self.encoder.output_size)
            return none_0TE, none_0TE[:, 0]
        values_RTE, finals = self.encoder(words_RT, lengths_R)
        return values_RTE, self.encoder.stack.summaries(finals)[-1]

    def _contexts(self, codes_RE: Tensor, table: Table, counts_B: Tensor) -> tuple[Tensor, tuple[State, ...]]:
        """(B, N + 1, C) before the first turn and after each, and the state after the last of each dialogue."""
        codes_BNE = table.spread(codes_RE).view(table.dialogues, table.turns, -1)
        start, first_BC = self._start(table.dialogues)
        out_BNC, states = self.context(codes_BNE, counts_B, start)
        return torch.cat([first_BC.unsqueeze(1).to(out_BNC.dtype), out_BNC], 1), states

    def _start(self, dialogues: int) -> tuple[tuple[State, ...], Tensor]:
        """The context core's first state, and what it says there."""
        start = self.context.begin(dialogues)
        return start, self.context.summaries(start)[-1]

    def _memory(self, given_QD: Tensor, values_BWE: Tensor, mask_QW: Tensor) -> Memory:
        """Of Q rows; those of one dialogue share its values."""
        attention = self.decoder.attention
        keys = values_BWE if attention is None else attention.keys(values_BWE)
        context = given_QD if self.decoder.peeky else given_QD[:, :0]
        source = mask_QW.new_zeros(len(given_QD), 0, dtype=torch.int64)
        return Memory(values_BWE, keys, mask_QW, context, self.bridge.seeds([given_QD]), source)

    def _forced(self, inputs_QT: Tensor, memory: Memory, sampling: float) -> Decoded:
        if sampling:
            inputs_QT = self.own_words(inputs_QT, memory, share=sampling)
        return self.decode(inputs_QT, memory, weights=False)


def joined(context_RC: Tensor, z_RZ: Tensor | None) -> Tensor:
    """(R, D) [c], or [c; z]."""
    return context_RC if z_RZ is None else torch.cat([context_RC, z_RZ.to(context_RC.dtype)], 1)


def _no_words(like_RX: Tensor) -> tuple[Tensor, Tensor]:
    """Values and mask where there is no attention."""
    return like_RX.new_zeros(len(like_RX), 0, 0), like_RX.new_zeros(len(like_RX), 0, dtype=torch.bool)

"""Encoder, bridge and decoder as one model, with the Stepper protocol that every search uses."""

# B sentences, R rows (sentences x beams), S source positions, T target positions, V vocabulary, F features,
# X = V, or V + S where words outside the vocabulary may be copied

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2s.models.bridge import Bridge
from s2s.models.copying import known, mixture
from s2s.models.decoder import Decoded, Decoder, DecoderState, Memory
from s2s.models.encoder import Encoder
from s2s.models.nested import rows


class Seq2Seq(nn.Module):
    """p(y | x) = prod_t softmax(W f_t + b)[y_t], f_t the decoder's features (Sutskever et al. 2014; Cho et al. 2014).

    If the decoder says when to copy, that is mixed with what the attention points at (`models.copying`). Then sources
    and targets share their ids, and the k-th word of a source that is not in the vocabulary has the id V + k there.

    Args:
        encoder: reads the source.
        bridge: seeds the decoder from the encoder's end.
        decoder: writes the target.
        vocabulary: V, number of target tokens.
        tied: share the output layer's weight with the decoder's embedding.

    Raises:
        ValueError: tied, but the features are not as wide as the embedding.
    """

    def __init__(
        self, encoder: Encoder, bridge: Bridge, decoder: Decoder, *, vocabulary: int, tied: bool = False
    ) -> None:
        super().__init__()
        self.encoder, self.bridge, self.decoder = encoder, bridge, decoder
        self.output = nn.Linear(decoder.output_size, vocabulary)
        if tied:
            if decoder.output_size != decoder.embedding.size:
                raise ValueError(f"tying needs features of width {decoder.embedding.size}, got {decoder.output_size}")
            self.output.weight = decoder.embedding.table.weight

    @property
    def copies(self) -> bool:
        """Whether words of the source are copied."""
        return self.decoder.generate is not None

    def encode(self, source_BS: Tensor, lengths_B: Tensor, *, extended: bool = False) -> Memory:
        """Everything the decoder needs of a padded batch of sources.

        `extended`: beside others that copy, a model that does not reads ids from V on as <unk>, and gives them no
        probability.
        """
        extended = extended or self.copies
        values_BSE, finals = self.encoder(self._known(source_BS) if extended else source_BS, lengths_B)
        attention = self.decoder.attention
        positions = torch.arange(source_BS.shape[1], device=source_BS.device)
        mask_BS = positions.unsqueeze(0) < lengths_B.to(source_BS.device).unsqueeze(1)
        keys = values_BSE if attention is None else attention.keys(values_BSE)
        last_BC = self.encoder.stack.summaries(finals)[-1]
        context = last_BC if self.decoder.peeky else last_BC[:, :0]
        source = source_BS if extended else source_BS[:, :0]
        return Memory(values_BSE, keys, mask_BS, context, self.bridge(self.encoder.stack, finals), source)

    def forward(self, source_BS: Tensor, lengths_B: Tensor, target_BT: Tensor, *, sampling: float = 0.0) -> Decoded:
        """Teacher forcing: what the output layer reads, such as features (B, T, F).

        `sampling`: the share of inputs that are the model's own words (`own_words`).
        """
        memory = self.encode(source_BS, lengths_B)
        if sampling:
            target_BT = self.own_words(target_BT, memory, share=sampling)
        return self.decode(target_BT, memory)

    def decode(self, target_BT: Tensor, memory: Memory, *, weights: bool = True) -> Decoded:
        """Teacher forcing from a memory, with the inputs y_0..y_T-1; `weights` as in `Decoder.forward`."""
        readable_BT = self._readable(target_BT, memory)
        return self.decoder(readable_BT, memory, weights=weights)  # type: ignore[no-any-return]

    def logits(self, decoded: Decoded, source_RS: Tensor) -> Tensor:
        """(R, X) logits of the next token of each row; they are log-probabilities where words may be copied.

        source_RS: the `Memory.source` of each row.
        """
        logits_RV: Tensor = self.output(decoded.features)
        if not source_RS.shape[1]:
            return logits_RV
        if decoded.generate is None or decoded.weights is None:
            return F.pad(logits_RV, (0, source_RS.shape[1]), value=-torch.inf)
        return mixture(logits_RV, decoded.generate, decoded.weights, source_RS)

    def _readable(self, token_RT: Tensor, memory: Memory) -> Tensor:
        return self._known(token_RT) if memory.source.shape[1] else token_RT

    def _known(self, token_RT: Tensor) -> Tensor:
        return known(token_RT, self.output.out_features)

    @torch.no_grad()
    def own_words(self, target_BT: Tensor, memory: Memory, *, share: float) -> Tensor:
        """The inputs, each but the first replaced with this probability by what the model draws after those before.

        That is scheduled sampling (Bengio et al. 2015): no gradient flows through what is drawn, so the words can be
        drawn first, step by step, and learned from afterwards as any other inputs are.
        """
        state, tokens = self.begin(memory), [target_BT[:, 0]]
        for target_B in target_BT.unbind(1)[1:]:
            logits_BV, state = self.step(tokens[-1], state, memory)
            own_B = logits_BV.float().softmax(-1).multinomial(1).squeeze(1)
            tokens.append(torch.where(torch.rand(target_B.shape, device=target_B.device) < share, own_B, target_B))
        return torch.stack(tokens, 1)

    def begin(self, memory: Memory) -> DecoderState:
        """Stepper: the state before the first token, one row a sentence."""
        return self.decoder.begin(memory)

    def step(self, token_R: Tensor, state: DecoderState, memory: Memory) -> tuple[Tensor, DecoderState]:
        """Stepper: logits (R, X) of the next token, and the next state."""
        decoded, state = self.decoder.step(self._readable(token_R, memory), state, memory)
        beams = token_R.shape[0] // max(memory.source.shape[0], 1)
        source_RS = memory.source.repeat_interleave(beams, 0) if beams > 1 else memory.source
        return self.logits(decoded, source_RS), state

    def reorder(self, state: DecoderState, index_R: Tensor) -> DecoderState:
        """Stepper: the given rows of a state, in the given order."""
        return rows(state, index_R)

    def select(self, memory: Memory, sentences_B: Tensor) -> Memory:
        """Stepper: the memory of the given sentences."""
        return rows(memory, sentences_B)

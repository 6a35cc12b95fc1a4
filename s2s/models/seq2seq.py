"""Encoder, bridge and decoder as one model, with the Stepper protocol that every search uses."""

# B sentences, R rows (sentences x beams), S source positions, T target positions, V vocabulary, F features

from __future__ import annotations

import torch
from torch import Tensor, nn

from s2s.models.bridge import Bridge
from s2s.models.decoder import Decoder, DecoderState, Memory
from s2s.models.encoder import Encoder
from s2s.models.nested import rows


class Seq2Seq(nn.Module):
    """p(y | x) = prod_t softmax(W f_t + b)[y_t], f_t the decoder's features (Sutskever et al. 2014; Cho et al. 2014).

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

    def encode(self, source_BS: Tensor, lengths_B: Tensor) -> Memory:
        """Everything the decoder needs of a padded batch of sources."""
        values_BSE, finals = self.encoder(source_BS, lengths_B)
        attention = self.decoder.attention
        positions = torch.arange(source_BS.shape[1], device=source_BS.device)
        mask_BS = positions.unsqueeze(0) < lengths_B.to(source_BS.device).unsqueeze(1)
        keys = values_BSE if attention is None else attention.keys(values_BSE)
        last_BC = self.encoder.stack.summaries(finals)[-1]
        context = last_BC if self.decoder.peeky else last_BC[:, :0]
        return Memory(values_BSE, keys, mask_BS, context, self.bridge(self.encoder.stack, finals))

    def forward(
        self, source_BS: Tensor, lengths_B: Tensor, target_BT: Tensor, *, sampling: float = 0.0
    ) -> tuple[Tensor, Tensor | None]:
        """Teacher forcing: features (B, T, F) before the output layer; attention weights (B, T, S) if there are any.

        `sampling`: the share of inputs that are the model's own words (`own_words`).
        """
        memory = self.encode(source_BS, lengths_B)
        if sampling:
            target_BT = self.own_words(target_BT, memory, share=sampling)
        return self.decoder(target_BT, memory)  # type: ignore[no-any-return]

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
        """Stepper: logits (R, V) of the next token, and the next state."""
        features_RF, state = self.decoder.step(token_R, state, memory)
        return self.output(features_RF), state

    def reorder(self, state: DecoderState, index_R: Tensor) -> DecoderState:
        """Stepper: the given rows of a state, in the given order."""
        return rows(state, index_R)

    def select(self, memory: Memory, sentences_B: Tensor) -> Memory:
        """Stepper: the memory of the given sentences."""
        return rows(memory, sentences_B)

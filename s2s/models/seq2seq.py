"""Encoder, bridge and decoder as one model."""

# B sentences, S source positions, T target positions, V vocabulary

from __future__ import annotations

import torch
from torch import Tensor

from s2s.models.bridge import Bridge
from s2s.models.decoder import Decoded, Decoder, Memory
from s2s.models.encoder import Encoder
from s2s.models.writer import Writer, output_layer


class Seq2Seq(Writer):
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
        self.output = output_layer(decoder, vocabulary, tied=tied)

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

"""What writes: a decoder and its output layer, with the Stepper protocol that every search uses."""

# B sentences, R rows (sentences x beams), S source positions, T target positions, V vocabulary,
# X = V, or V + S where words outside the vocabulary may be copied

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2s.models.copying import known, mixture
from s2s.models.decoder import Decoded, Decoder, DecoderState, Memory
from s2s.models.nested import rows


def output_layer(decoder: Decoder, vocabulary: int, *, tied: bool = False) -> nn.Linear:
    """The layer from a decoder's features to V logits; `tied`: it shares its weight with the decoder's embedding.

    Raises:
        ValueError: tied, but the features are not as wide as the embedding.
    """
    layer = nn.Linear(decoder.output_size, vocabulary)
    if tied:
        if decoder.output_size != decoder.embedding.size:
            raise ValueError(f"tying needs features of width {decoder.embedding.size}, got {decoder.output_size}")
        layer.weight = decoder.embedding.table.weight
    return layer


class Writer(nn.Module):
    """p(y | memory) = prod_t softmax(W f_t + b)[y_t], f_t the decoder's features. A subclass makes the memory."""

    decoder: Decoder
    output: nn.Linear

    @property
    def copies(self) -> bool:
        """Whether words of the source are copied."""
        return self.decoder.generate is not None

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

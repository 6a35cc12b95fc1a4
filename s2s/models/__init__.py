"""Models: they receive numbers and built parts, never the configuration."""

from s2s.models.attention import PRESETS, Attention, AttentionChoice
from s2s.models.bridge import Bridge
from s2s.models.decoder import Decoded, Decoder, DecoderState, Memory
from s2s.models.embedding import Embedding
from s2s.models.encoder import Encoder
from s2s.models.loss import Loss, sequence_loss
from s2s.models.predictor import OneHot, Predictor, predictor_loss
from s2s.models.seq2seq import Seq2Seq

__all__ = [
    "PRESETS",
    "Attention",
    "AttentionChoice",
    "Bridge",
    "Decoded",
    "Decoder",
    "DecoderState",
    "Embedding",
    "Encoder",
    "Loss",
    "Memory",
    "OneHot",
    "Predictor",
    "Seq2Seq",
    "predictor_loss",
    "sequence_loss",
]

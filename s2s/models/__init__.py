"""Models: they receive numbers and built parts, never the configuration."""

from s2s.models.attention import PRESETS, Attention, AttentionChoice
from s2s.models.bridge import Bridge
from s2s.models.decoder import Decoded, Decoder, DecoderState, Memory
from s2s.models.dialogue_loss import DialogueLoss, dialogue_loss
from s2s.models.dialogue_scores import LatentSums, TurnScores, latent_sums, turn_scores
from s2s.models.embedding import Embedding
from s2s.models.encoder import Encoder
from s2s.models.hred import HRED, History
from s2s.models.inherit import Inherited, inherit
from s2s.models.latent import Latent, LatentVariable
from s2s.models.loss import Loss, sequence_loss
from s2s.models.predictor import OneHot, Predictor, predictor_loss
from s2s.models.seq2seq import Seq2Seq

__all__ = [
    "HRED",
    "PRESETS",
    "Attention",
    "AttentionChoice",
    "Bridge",
    "Decoded",
    "Decoder",
    "DecoderState",
    "DialogueLoss",
    "Embedding",
    "Encoder",
    "History",
    "Inherited",
    "Latent",
    "LatentSums",
    "LatentVariable",
    "Loss",
    "Memory",
    "OneHot",
    "Predictor",
    "Seq2Seq",
    "TurnScores",
    "dialogue_loss",
    "inherit",
    "latent_sums",
    "predictor_loss",
    "sequence_loss",
    "turn_scores",
]

"""Recurrent cores: cells (one step each), layers that scan them, and stacks of layers."""

from __future__ import annotations

from s2s.cores.bidirectional import Bidirectional
from s2s.cores.cell import Block, Cell, Prepared, State
from s2s.cores.elman import Activation, Elman
from s2s.cores.gru import GRU, Reset
from s2s.cores.initialise import Scheme, fill, initialise
from s2s.cores.lstm import LSTM
from s2s.cores.normalised import NormalisedGRU, NormalisedLSTM
from s2s.cores.recurrent import Keep, Recurrent
from s2s.cores.rwa import RWA
from s2s.cores.scan import scan
from s2s.cores.stack import Layer, PreparedStack, Stack, States
from s2s.cores.statistical import Statistical, Variant
from s2s.kernels import Backend, BackendUnavailable

__all__ = [
    "GRU",
    "LSTM",
    "RWA",
    "Activation",
    "Backend",
    "BackendUnavailable",
    "Bidirectional",
    "Block",
    "Cell",
    "Elman",
    "Keep",
    "Layer",
    "NormalisedGRU",
    "NormalisedLSTM",
    "Prepared",
    "PreparedStack",
    "Recurrent",
    "Reset",
    "Scheme",
    "Stack",
    "State",
    "States",
    "Statistical",
    "Variant",
    "fill",
    "initialise",
    "scan",
]

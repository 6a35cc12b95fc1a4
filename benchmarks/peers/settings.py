"""The peers' configurations: what differs from their defaults; sizes and batch are those of `s2s.toml`.

Needs the standard library only, since `answer_onmt.py` reads it in OpenNMT-py's environment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Settings = dict[str, object]

EMBEDDING = 256
ENCODER = 256
"""Of one of two directions."""
DROPOUT = 0.3

BATCH = 80
RATE = 1e-3
CLIP = 5.0
EMBEDDING_STD = 0.1
SMOOTHING = 0.1

LONGEST_PAIR = 100
"""Pieces of a side, in training."""
LONGEST_ANSWER = 60
BEAM = 5
REPORT = 25
"""Updates of a line of the log."""
NEVER = 1_000_000


@dataclass(frozen=True)
class Order:
    """One run of a peer."""

    data: Path
    """The folder that `place.prepare` fills."""
    folder: Path
    """For what the peer writes."""
    updates: int
    seed: int
    validate: int = NEVER
    """Updates between validations."""


def joey(order: Order, *, embedding: int = EMBEDDING, encoder: int = ENCODER, decoder: int = ENCODER) -> Settings:
    """JoeyNMT's."""
    return {
        "name": "multi30k-de-en",
        "model_dir": str(order.folder / "model"),
        "use_cuda": False,
        "random_seed": order.seed,
        "data": {
            "train": str(order.data / "train"),
            "dev": str(order.data / "dev"),
            "src": _joey_side("de", order.data),
            "trg": _joey_side("en", order.data),
        },
        "model": {
            "embed_initializer": "normal",
            "embed_init_weight": EMBEDDING_STD,
            "init_rnn_orthogonal": True,
            "encoder": _joey_layer(embedding, encoder),
            "decoder": {**_joey_layer(embedding, decoder), "hidden_dropout": DROPOUT},
        },
        "training": {**_joey_learning(), **_joey_course(order)},
        "testing": {
            "eval_metrics": ["bleu"],
            "beam_size": BEAM,
            "beam_alpha": 1.0,
            "max_output_length": LONGEST_ANSWER,
        },
    }


def _joey_side(language: str, data: Path) -> Settings:
    return {
        "lang": language,
        "level": "bpe",
        "max_length": LONGEST_PAIR,
        "voc_file": str(data / "joey_vocab.txt"),
        "tokenizer_cfg": {"model_file": str(data / "spm.model")},
    }


def _joey_layer(embedding: int, hidden: int) -> Settings:
    """A GRU of one layer; its dropout is that of the embeddings too."""
    return {
        "type": "recurrent",
        "embeddings": {"embedding_dim": embedding},
        "hidden_size": hidden,
        "dropout": DROPOUT,
    }


def _joey_learning() -> Settings:
    """The rate is halved where BLEU of greedy search has not risen for two validations."""
    return {
        "batch_size": BATCH,
        "learning_rate": RATE,
        "clip_grad_norm": CLIP,
        "label_smoothing": SMOOTHING,
        "scheduling": "plateau",
        "early_stopping_metric": "bleu",
        "patience": 1,
    }


def _joey_course(order: Order) -> Settings:
    """Only the number of updates ends a run: no epoch has less than one, and no rate is too small."""
    return {
        "updates": order.updates,
        "epochs": order.updates,
        "learning_rate_min": 0,
        "validation_freq": order.validate,
        "logging_freq": REPORT,
        "print_valid_sents": [0],
        "keep_best_ckpts": -1,  # all
        "overwrite": True,
    }


def onmt(order: Order, *, embedding: int = EMBEDDING, hidden: int = 2 * ENCODER) -> Settings:
    """OpenNMT-py's; `hidden` is the size of the decoder and of both directions of the encoder together."""
    model = {
        "encoder_type": "brnn",
        "rnn_type": "GRU",
        "enc_layers": 1,
        "dec_layers": 1,
        "word_vec_size": embedding,
        "hidden_size": hidden,
        "global_attention": "mlp",
        "dropout": [DROPOUT],
        "attention_dropout": [DROPOUT],
    }
    learning = {
        "batch_size": BATCH,
        "optim": "adam",
        "learning_rate": RATE,
        "start_decay_steps": NEVER,  # or the rate is halved from update 50,000
        "max_grad_norm": CLIP,
        "label_smoothing": SMOOTHING,
    }
    course = {
        "seed": order.seed,
        "train_steps": order.updates,
        "valid_steps": order.validate,
        "valid_batch_size": 64,
        "save_model": str(order.folder / "m"),
        "save_checkpoint_steps": order.validate,
        "report_every": REPORT,
    }
    return {**_onmt_data(order.data), **model, **learning, **course}


def _onmt_data(data: Path) -> Settings:
    """Read in the training process, where all of Multi30k is one bucket that is sorted by length."""
    return {
        "data": {
            "multi30k": _onmt_texts(data / "train", ["sentencepiece", "filtertoolong"]),
            "valid": _onmt_texts(data / "dev", ["sentencepiece"]),
        },
        "src_vocab": str(data / "onmt.vocab.de"),
        "tgt_vocab": str(data / "onmt.vocab.en"),
        **_onmt_pieces(data),
        "src_seq_length": LONGEST_PAIR,
        "tgt_seq_length": LONGEST_PAIR,
        "bucket_size": 29_000,
        "num_workers": 0,
    }


def _onmt_texts(stem: Path, transforms: list[str]) -> Settings:
    return {"path_src": f"{stem}.de", "path_tgt": f"{stem}.en", "transforms": transforms}


def _onmt_pieces(data: Path) -> Settings:
    return {f"{side}_subword_model": str(data / "spm.model") for side in ("src", "tgt")}


def onmt_search(model: str, data: Path, *, beam: int = BEAM) -> Settings:
    """Of OpenNMT-py's search, which reads the sizes from the model's file."""
    return {
        "model": model,
        "beam_size": beam,
        "max_length": LONGEST_ANSWER,
        "transforms": "sentencepiece",
        **_onmt_pieces(data),
    }


def words(settings: Mapping[str, object]) -> list[str]:
    """As words of a command line."""
    return [word for key, value in settings.items() for word in (f"--{key}", str(value))]


def write(settings: Settings, path: Path) -> str:
    """JSON, which both peers' readers of YAML take if no number has an exponent; the path, for a command line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return str(path)

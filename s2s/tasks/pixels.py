"""Handwritten digits pixel by pixel: 784 steps of one grey value, row after row or in an order drawn once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from s2s.corpus.fetch import Card, Split, card
from s2s.corpus.order import random_order
from s2s.errors import UserError
from s2s.tasks.idx import read_idx
from s2s.tasks.task import Classes, Ints, Numbers, Series, Splits, numbered

Bytes = npt.NDArray[np.uint8]

SIDE = 28
STEPS = SIDE * SIDE


@dataclass(frozen=True, eq=False)
class Pixels:
    """y = the digit that 784 grey values, byte / 255, show (Le, Jaitly and Hinton 2015, arXiv 1504.00941).

    The images are those of the card `mnist`: 10,000 for the test; of the 60,000 others a twelfth, 5,000 drawn by the
    seed, is held out for validation. `permuted`: all steps in one order, drawn by the seed.
    Published: inputs, test set and, in most papers, 5,000 held-out images. Not published: which permutation; Ostmeyer
    and Cowell (arXiv 1703.01253) hold out the first 5,000 images, others do not say.
    """

    train_images: Bytes = field(repr=False)
    train_labels: Bytes = field(repr=False)
    test_images: Bytes = field(repr=False)
    test_labels: Bytes = field(repr=False)
    seed: int
    permuted: bool = False
    inputs = Numbers(1)
    target = Classes(10)
    each_step = False
    note = (
        "Published: one pixel a step as byte / 255, the 10,000 test images. Chosen here: the 5,000 images held out for"
        " validation and, if permuted, the order of the steps are drawn by data.seed."
    )

    @property
    def name(self) -> str:
        return "permuted-mnist" if self.permuted else "pixel-mnist"

    @cached_property
    def splits(self) -> Splits:
        count = len(self.train_labels)
        return numbered(train=count - count // 12, valid=count // 12, test=len(self.test_labels))

    def draw(self, rows: Sequence[int], epoch: int) -> Series:  # noqa: ARG002  # all examples there are, each epoch
        count = len(self._order)
        images, labels = np.empty((len(rows), STEPS), np.float32), np.empty(len(rows), np.int64)
        for i, row in enumerate(rows):
            place = int(self._order[row]) if row < count else row - count
            source = (self.train_images, self.train_labels) if row < count else (self.test_images, self.test_labels)
            images[i], labels[i] = source[0][place].reshape(-1), source[1][place]
        steps = images[:, self.steps] if self.permuted else images
        return Series((steps / np.float32(255.0))[:, :, None], np.full(len(rows), STEPS), labels)

    @cached_property
    def steps(self) -> Ints:
        """The pixel that each step reads, rows of the image one after the other where nothing is permuted."""
        return random_order(STEPS, self.seed, 1) if self.permuted else np.arange(STEPS)

    @cached_property
    def _order(self) -> Ints:
        return random_order(len(self.train_labels), self.seed, 0)


def read_pixels(folder: Path, *, seed: int, permuted: bool) -> Pixels:
    """The task from a folder with the four files of the card `mnist`, each packed or not.

    UserError for a file that is missing, damaged or of another kind, and for files that don't belong to each other.
    """
    mnist = card("mnist")
    return Pixels(*_read(mnist, folder, "train"), *_read(mnist, folder, "test"), seed=seed, permuted=permuted)


def _read(mnist: Card, folder: Path, split: Split) -> tuple[Bytes, Bytes]:
    path, label_path = mnist.paths(folder, split, "images-idx3", "labels-idx1")
    images, labels = read_idx(path, 3), read_idx(label_path, 1)
    if images.shape[1:] != (SIDE, SIDE):
        got = " x ".join(map(str, images.shape[1:]))
        raise UserError(f"{path}: expected images of {SIDE} x {SIDE} pixels, got {got}. Give the files of MNIST")
    if len(images) != len(labels):
        raise UserError(
            f"{path} has {len(images):,} images, {label_path.name} has {len(labels):,} labels: expected as many of"
            " both. Give two files of one set"
        )
    if labels.max(initial=0) > 9:
        raise UserError(
            f"{label_path}: expected the digits 0 to 9, got a label of {labels.max()}. Give the files of MNIST"
        )
    return images, labels

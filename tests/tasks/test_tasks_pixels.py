"""MNIST pixel by pixel: the idx files and what can be wrong with them, the parts, the order of the steps, the card."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from idx_files import NAMES, arrays, idx, write

from s2s.corpus.fetch import card
from s2s.errors import UserError
from s2s.tasks import make_task, read_idx, read_pixels

IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = NAMES


# ---- the parts ----


@pytest.mark.parametrize("packed", [True, False])
def test_every_image_is_in_one_part_with_its_label(tmp_path: Path, packed: bool) -> None:
    made = arrays(train=36, test=8)
    task = make_task("pixel-mnist", seed=5, folder=write(tmp_path, made, packed=packed))
    train, valid, test, whole = task.splits
    assert [len(rows) for rows in (train, valid, test)] == [33, 3, 8]
    assert whole is None
    series = task.draw(range(44), epoch=4)
    assert (series.inputs.shape, series.inputs.dtype, series.targets.dtype) == ((44, 784, 1), np.float32, np.int64)
    assert (series.lengths == 784).all()
    pixels = np.round(series.inputs[:, :, 0] * 255).astype(int)
    found = {tuple(image): int(label) for image, label in zip(pixels.tolist(), series.targets, strict=True)}
    for rows, images, labels in ((slice(0, 36), IMAGES, LABELS), (slice(36, 44), TEST_IMAGES, TEST_LABELS)):
        expected = {tuple(map(int, image.ravel())): int(y) for image, y in zip(made[images], made[labels], strict=True)}
        assert {tuple(image): found[tuple(image)] for image in pixels[rows].tolist()} == expected
    assert series.inputs.min() == 0.0
    assert series.inputs.max() == 1.0


def test_the_held_out_images_are_drawn_by_the_seed(tmp_path: Path) -> None:
    write(tmp_path, arrays(train=60, test=2))
    held = []
    for seed in (1, 1, 2):
        task = read_pixels(tmp_path, seed=seed, permuted=False)
        held.append(task.draw(task.splits.valid, 0).inputs.tolist())
    assert held[0] == held[1] != held[2]


def test_the_steps_are_permuted_alike_in_every_image(tmp_path: Path) -> None:
    write(tmp_path, arrays(train=24, test=4))
    plain = make_task("pixel-mnist", seed=5, folder=tmp_path).draw(range(28), 0)
    permuted = read_pixels(tmp_path, seed=5, permuted=True)
    assert permuted.name == "permuted-mnist"
    assert sorted(permuted.steps) == list(range(784))
    series = permuted.draw(range(28), 0)
    assert (series.inputs == plain.inputs[:, permuted.steps]).all()
    assert (series.targets == plain.targets).all()
    assert (permuted.steps != read_pixels(tmp_path, seed=6, permuted=True).steps).any()
    assert (permuted.steps == np.arange(784)).sum() < 10


def test_the_published_sizes() -> None:
    """Of 60,000 images 5,000 are held out."""
    from s2s.tasks import Pixels

    empty = np.zeros((60_000, 0), np.uint8), np.zeros(60_000, np.uint8)
    task = Pixels(*empty, empty[0][:10_000], empty[1][:10_000], seed=1)
    assert [len(rows) for rows in task.splits[:3]] == [55_000, 5_000, 10_000]


def test_the_card_names_the_four_files() -> None:
    mnist = card("mnist")
    assert sorted(mnist.files) == sorted(f"{name}.gz" for name in NAMES)
    assert sorted(mnist.names()) == sorted(f"{name}.gz" for name in NAMES)
    assert {name: file.bytes for name, file in mnist.files.items()}["train-images-idx3-ubyte.gz"] == 9_912_422


# ---- files that are not right ----


def test_an_idx_file_of_every_shape(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for shape in ((5,), (0,), (3, 4), (2, 3, 4)):
        array = rng.integers(0, 256, shape, dtype=np.uint8)
        for content in (idx(array), gzip.compress(idx(array))):
            (tmp_path / "a").write_bytes(content)
            assert (read_idx(tmp_path / "a", len(shape)) == array).all()
            assert read_idx(tmp_path / "a", len(shape)).shape == shape


WHOLE = idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda whole: whole[:-1], r"the header says 2 x 3 x 4 = 24 bytes, the file has 23"),
        (lambda whole: whole + b"\0", r"= 24 bytes, the file has 25"),
        (lambda whole: whole[:9], r"ends after 9 bytes, within its header of 16"),
        (lambda whole: whole[:4], r"ends after 4 bytes, within its header of 16"),
        (lambda _: b"", r"expected it to begin with 00 00 08 03, got nothing"),
        (lambda _: b"de\ten\n", r"expected it to begin with 00 00 08 03, got 64 65 09 65"),
        (lambda whole: b"\0\0\x0d" + whole[3:], r"with 00 00 08 03, got 00 00 0d 03"),
        (lambda whole: b"\0\0\x08\x01" + whole[4:], r"bytes with 3 dimensions: .* got 00 00 08 01"),
        (lambda whole: gzip.compress(whole)[:-9], r"cannot be unpacked, it is cut short or damaged"),
        (lambda whole: gzip.compress(whole)[:20] + b"x" * 30, r"cannot be unpacked"),
        (lambda whole: gzip.compress(whole)[:-2] + b"xx", r"cannot be unpacked"),
        (lambda whole: gzip.compress(whole)[:-6] + b"xxxxxx", r"cannot be unpacked"),
    ],
)
def test_a_damaged_idx_file_is_refused(change: Callable[[bytes], bytes], message: str, tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(change(WHOLE))
    with pytest.raises(UserError, match=message) as raised:
        read_idx(path, 3)
    assert str(raised.value).startswith(f"{path}: ")
    assert "Get the file again" in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, arrays(train=12, test=2))
    (tmp_path / f"{TEST_LABELS}.gz").unlink()
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte.gz: the file cannot be read: No such file"):
        read_pixels(tmp_path, seed=1, permuted=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({LABELS: np.zeros(11, np.uint8)}, r"has 12 images, train-labels-idx1-ubyte.gz has 11 labels"),
        ({TEST_IMAGES: np.zeros((2, 28, 27), np.uint8)}, r"expected images of 28 x 28 pixels, got 28 x 27"),
        ({TEST_LABELS: np.array([3, 10], np.uint8)}, r"expected the digits 0 to 9, got a label of 10"),
        ({IMAGES: np.zeros((12, 784), np.uint8)}, r"expected it to begin with 00 00 08 03, got 00 00 08 02"),
    ],
)
def test_files_that_do_not_belong_together(changes: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    write(tmp_path, {**arrays(train=12, test=2), **changes})
    with pytest.raises(UserError, match=message):
        read_pixels(tmp_path, seed=1, permuted=False)

"""IDX files and NumPy archives: reading them, and damaged copies of them."""

from __future__ import annotations

import gzip
import hashlib
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from spinode.datasets import read_idx, read_npz
from spinode.datasets.images.idx import idx_sha256
from spinode.errors import FileFormatError

image_files = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("image_files.py"))))
CODES, arrays, idx_bytes, save_npz = image_files.CODES, image_files.arrays, image_files.idx_bytes, image_files.save_npz


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("shape", [(5,), (3, 2, 4), (0, 2), ()])
def test_idx_of_every_type_is_read_unchanged(tmp_path, kind, shape, compressed):
    values = np.asarray(np.random.default_rng(0).normal(size=shape) * 50, dtype=kind)
    path = tmp_path / "values.idx"
    path.write_bytes(gzip.compress(idx_bytes(values)) if compressed else idx_bytes(values))
    array = read_idx(path)
    assert array.dtype == np.dtype(kind)
    assert array.shape == shape
    np.testing.assert_array_equal(array, values)


@given(cut=st.integers(0, 31), compressed=st.booleans())
def test_truncated_idx_is_refused(tmp_path_factory, cut, compressed):
    complete = idx_bytes(np.arange(24, dtype=np.uint8).reshape(4, 6)[:, :5].copy())
    assert len(complete) == 32
    path = tmp_path_factory.getbasetemp() / "cut.idx"
    path.write_bytes(gzip.compress(complete[:cut]) if compressed else complete[:cut])
    with pytest.raises(FileFormatError, match=r"expected an IDX file|ends within its header|truncated or damaged"):
        read_idx(path)


def test_idx_with_extra_bytes_is_refused(tmp_path):
    path = tmp_path / "long.idx"
    path.write_bytes(idx_bytes(np.zeros((2, 3), np.uint8)) + b"\0")
    with pytest.raises(FileFormatError, match=r"contains 7 bytes of values; expected 6, for the shape \(2, 3\) in its header"):
        read_idx(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04 something else", "begins with 50 4b 03 04; expected an IDX file"),
        (bytes([0, 0, 7, 1, 0, 0, 0, 0]), "begins with 00 00 07 01"),
        (b"", "begins with nothing"),
        (bytes([0, 0, 8, 255]) + b"\xff" * 100, "ends within its header, after 104 of 1024 bytes"),
        (
            bytes([0, 0, 8, 4]) + b"\xff" * 16,
            "contains 0 bytes of values",
        ),  # 3e38 values: no array of that size may be allocated
        (gzip.compress(idx_bytes(np.zeros(1000, np.uint8)), mtime=0)[:-9], "truncated or damaged"),
        (b"\x1f\x8b\x08\x00 no gzip", "truncated or damaged"),
    ],
)
def test_file_of_another_format_is_refused(tmp_path, content, message):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=message):
        read_idx(path)


def test_missing_or_unreadable_file_is_refused(tmp_path):
    for read in (read_idx, read_npz):
        with pytest.raises(FileFormatError, match=r"there is no file .*nothing"):
            read(tmp_path / "nothing")
        with pytest.raises(FileFormatError, match=str(tmp_path)):
            read(tmp_path)


def test_checksum_is_that_of_the_idx_file():
    for array in arrays():
        assert idx_sha256(array) == hashlib.sha256(idx_bytes(array)).hexdigest()
        assert idx_sha256(np.asfortranarray(array)) == idx_sha256(array)


def test_npz_is_read_unchanged(tmp_path):
    values = arrays()
    images = read_npz(save_npz(tmp_path / "digits.npz", values))
    assert images.name == "digits"
    assert images.classes == 3
    parts = (images.train_images, images.train_labels, images.test_images, images.test_labels)
    for part, expected in zip(parts, values, strict=True):
        np.testing.assert_array_equal(part.numpy(), expected)


def test_damaged_npz_and_other_archives_are_refused(tmp_path):
    good = save_npz(tmp_path / "good.npz", arrays())
    lacking = save_npz(tmp_path / "lacking.npz", arrays(), y_test=None, other=np.zeros(2))
    with pytest.raises(FileFormatError, match="lacks y_test and contains x_train, y_train, x_test, other"):
        read_npz(lacking)
    pickled = save_npz(tmp_path / "pickled.npz", arrays(), y_test=np.array([{}], dtype=object))
    with pytest.raises(FileFormatError, match="pickled"):
        read_npz(pickled)
    single = tmp_path / "single.npz"
    with single.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(FileFormatError, match="not an archive with the members"):
        read_npz(single)
    content = good.read_bytes()
    for name, damaged in (("cut", content[: len(content) // 2]), ("flipped", content[:150] + b"\xff\0\xff" + content[153:])):
        path = tmp_path / f"{name}.npz"
        path.write_bytes(damaged)
        with pytest.raises(FileFormatError, match=str(path)):
            read_npz(path)

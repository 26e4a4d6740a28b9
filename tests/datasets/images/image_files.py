"""Images and their files for tests."""

from __future__ import annotations

import gzip
import struct

import numpy as np

from spinode.datasets.images.find import IDX_FILES

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def idx_bytes(array):
    """Write the IDX format according to its definition: zeros, type, dimensions, lengths, values; big-endian."""
    kind = array.dtype.str[1:]
    head = bytes([0, 0, CODES[kind], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(f">{kind}").tobytes()


def arrays(seed=0, classes=3, train=12, test=6, side=4):
    """Return random training images, training labels, test images and test labels."""
    draw = np.random.default_rng(seed)
    return (
        draw.integers(0, 256, (train, side, side), dtype=np.uint8),
        (np.arange(train) % classes).astype(np.uint8),
        draw.integers(0, 256, (test, side, side), dtype=np.uint8),
        (np.arange(test) % classes).astype(np.uint8),
    )


def save_npz(path, values, **changes):
    """Write the four arrays to an archive, with members replaced, added or (None) omitted."""
    members = dict(zip(("x_train", "y_train", "x_test", "y_test"), values, strict=True)) | changes
    np.savez(path, **{name: value for name, value in members.items() if value is not None})
    return path


def save_idx(folder, values, prefix="", ending=".gz"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip(IDX_FILES, values, strict=True):
        content = idx_bytes(value)
        (folder / f"{prefix}{name}{ending}").write_bytes(gzip.compress(content) if ending else content)
    return folder

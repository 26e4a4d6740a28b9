"""IDX, the format of MNIST: two zero bytes, a type, the number of dimensions, their lengths, the values; all big-endian."""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import FileFormatError

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | Path) -> NDArray[Any]:
    """The array in an IDX file, plain or compressed by gzip, which is seen by its content.

    Returns:
        An array of the file's own type and shape, in native byte order.

    Raises:
        FileFormatError: no file, no IDX, or more or fewer bytes than its header says.
    """
    content = _content(Path(path))
    magic = content[:4]
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES:
        raise FileFormatError(
            f"{path} begins with {magic.hex(' ') or 'nothing'}; expected an IDX file: 00 00, a type in 08 .. 0e, a number of "
            "dimensions."
        )
    kind, dimensions = np.dtype(TYPES[magic[2]]), magic[3]
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise FileFormatError(f"{path} ends within its header, after {len(content)} of {start} bytes; fetch it again.")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    expected = kind.itemsize
    for length in shape:
        expected *= length
    if len(content) - start != expected:
        raise FileFormatError(
            f"{path} holds {len(content) - start} bytes of values; its header says {shape} of {kind.itemsize} bytes each, "
            f"{expected} in all. It is cut off or damaged: fetch it again."
        )
    array = np.frombuffer(content, kind, offset=start).reshape(shape)
    return array.astype(kind.newbyteorder("="))


def idx_sha256(array: NDArray[Any]) -> str:
    """SHA-256 of the IDX file, not compressed, that holds an array of bytes: the same whatever file the array came from."""
    digest = hashlib.sha256(struct.pack(f">BBBB{array.ndim}I", 0, 0, 0x08, array.ndim, *array.shape))
    digest.update(np.ascontiguousarray(array, dtype=np.uint8).data)
    return digest.hexdigest()


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except FileNotFoundError:
        raise FileFormatError(
            f"there is no file {path}; pass the path of an IDX file, such as train-images-idx3-ubyte.gz."
        ) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileFormatError(f"{path} is cut off or damaged ({error}); fetch it again.") from None
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}.") from None

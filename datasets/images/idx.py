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

#: NumPy types by the type code of the header.
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | Path) -> NDArray[Any]:
    """Read the array of an IDX file, plain or compressed by gzip.

    Args:
        path: Path of the file; compression is recognised by its content.

    Returns:
        An array of the type and shape in the header, in native byte order.

    Raises:
        FileFormatError: the file does not exist, is not an IDX file, or has more or fewer bytes than its header states.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile(suffix=".idx") as file:
        ...     _ = file.write(bytes([0, 0, 8, 1, 0, 0, 0, 3, 10, 20, 30]))
        ...     file.flush()
        ...     read_idx(file.name).tolist()
        [10, 20, 30]
    """
    content = _content(Path(path))
    magic = content[:4]
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES:
        raise FileFormatError(
            f"{path} begins with {magic.hex(' ') or 'nothing'}; expected an IDX file, which begins with 00 00, a "
            "type from 08 to 0e and the number of dimensions."
        )
    kind, dimensions = np.dtype(TYPES[magic[2]]), magic[3]
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise FileFormatError(f"{path} ends within its header, after {len(content)} of {start} bytes; download it again.")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    expected = kind.itemsize
    for length in shape:
        expected *= length
    if len(content) - start != expected:
        raise FileFormatError(
            f"{path} contains {len(content) - start} bytes of values; expected {expected}, for the shape {shape} in its header "
            f"and {kind.itemsize} bytes per value. It is truncated or damaged: download it again."
        )
    array = np.frombuffer(content, kind, offset=start).reshape(shape)
    return array.astype(kind.newbyteorder("="))


def idx_sha256(array: NDArray[Any]) -> str:
    """Return the SHA-256 of the uncompressed IDX file of an array of bytes, whatever file it was read from."""
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
        raise FileFormatError(f"{path} is truncated or damaged ({error}); download it again.") from None
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}.") from None

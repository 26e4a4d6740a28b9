"""CIFAR-10 in its binary version: records of a label and 3072 pixels, from the archive or a folder of its files."""

from __future__ import annotations

import hashlib
import os
import tarfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import FileFormatError
from .fetch import fetch
from .find import ENVIRONMENT, cache_folder, search_places
from .images import Images, images_from_arrays

ARCHIVE = "cifar-10-binary.tar.gz"
FOLDER = "cifar-10-batches-bin"
#: SHA-1 of the six files in the archive, as in the loader of MXNet Gluon (`gluon.data.vision.CIFAR10`). The MD5 of the archive
#: itself is c32a1d4ab5d03f1284b67883e8d87530 on the page of its author.
SHA1 = {
    "data_batch_1.bin": "aadd24acce27caa71bf4b10992e9e7b2d74c2540",
    "data_batch_2.bin": "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795",
    "data_batch_3.bin": "1dd00a74ab1d17a6e7d73e185b69dbf31242f295",
    "data_batch_4.bin": "aab85764eb3584312d3c7f65fd2fd016e36a258e",
    "data_batch_5.bin": "26e2849e66a845b7f1e4614ae70f4889ae604628",
    "test_batch.bin": "67eb016db431130d61cd03c7ad570b013799c88c",
}
ADDRESS = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32


def cifar10(folder: str | Path | None = None) -> Images:
    """Return CIFAR-10: 50 000 training and 10 000 test images, 32×32 pixels, 3 colours, 10 classes.

    Searches `folder`, $SPINODE_DATA and the cache for cifar-10-binary.tar.gz or the folder cifar-10-batches-bin, the binary
    version; the Python version consists of pickles, which could run code, and is not read. Every file is compared with its
    checksum. If nothing is found, the archive is downloaded into the cache (162 MB; `pip install 'spinode[data]'`).

    Args:
        folder: Folder that is searched first.

    Raises:
        FileFormatError: a file that is damaged or modified.
        ConfigError: no file was found and none could be downloaded; or `folder` is not a folder.

    Source: Krizhevsky, Learning multiple layers of features from tiny images, University of Toronto (2009).
    """
    places = list(search_places(folder))
    for place in places:
        for path in (place / FOLDER, place / "cifar-10" / FOLDER, place / ARCHIVE, place / "cifar-10" / ARCHIVE):
            if path.exists():
                return read_cifar10(path)
    target = cache_folder() / "cifar-10"
    python_version = [place for place in places if (place / "cifar-10-batches-py").is_dir()]
    found = f"{python_version[0]} has the Python version, pickles that are not read for safety. " if python_version else ""
    fetch(
        "CIFAR-10",
        target,
        [(ADDRESS,)],
        accept=lambda paths: read_cifar10(paths[0]),
        advice=f"{found}It is not in {', '.join(map(str, places))} either. Put {ARCHIVE} into {target}, or set "
        f"{ENVIRONMENT} to its folder.",
    )
    return read_cifar10(target / ARCHIVE)


def read_cifar10(path: str | Path, *, verify: bool = True) -> Images:
    """Read files in the binary format of CIFAR-10.

    A record is one byte, the class 0 .. 9, and 3 x 1024 bytes, the red, green and blue pixels of 32 rows.

    Args:
        path: The archive cifar-10-binary.tar.gz, or a folder with the six files of which it consists.
        verify: Compare every file with its checksum; False for files of your own in this format.

    Raises:
        FileFormatError: files that are missing, damaged, not of whole records, or not those of CIFAR-10.
    """
    path = Path(path)
    contents = _archive_files(path) if path.is_file() else _folder_files(path)
    missing = [name for name in SHA1 if name not in contents]
    if missing:
        raise FileFormatError(f"{path} lacks {', '.join(missing)}; expected {ARCHIVE} or the folder {FOLDER}.")
    records = {name: _records(path, name, contents[name], verify) for name in SHA1}
    train = np.concatenate([records[name] for name in SHA1 if name != "test_batch.bin"])
    arrays = [array for part in (train, records["test_batch.bin"]) for array in _images_and_labels(part)]
    return images_from_arrays(*arrays, name="CIFAR-10", classes=10)


def _records(path: Path, name: str, content: bytes, verify: bool) -> NDArray[np.uint8]:
    actual = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    if verify and actual != SHA1[name]:
        raise FileFormatError(
            f"{name} of {path} is not that of CIFAR-10: its SHA-1 is {actual}, expected {SHA1[name]}. It is damaged or "
            "modified: delete it, so that it is downloaded again."
        )
    if not content or len(content) % RECORD:
        raise FileFormatError(f"{name} of {path} has {len(content)} bytes; expected whole records of {RECORD} bytes.")
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    if records[:, 0].max() > 9:
        raise FileFormatError(f"{name} of {path} has a record of class {records[:, 0].max()}; expected 0 .. 9.")
    return records


def _images_and_labels(records: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return np.ascontiguousarray(records[:, 1:].reshape(-1, *SHAPE).transpose(0, 2, 3, 1)), records[:, 0]


def _folder_files(path: Path) -> dict[str, bytes]:
    try:
        return {name: (path / name).read_bytes() for name in SHA1 if (path / name).is_file()}
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror}.") from None


def _archive_files(path: Path) -> dict[str, bytes]:
    """Return the six files of an archive, by name; nothing is written, and other members are ignored."""
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                name = os.path.basename(member.name)
                # Whole batches are 31 MB: a larger member is no such batch, and need not be unpacked into memory.
                if name in SHA1 and member.isfile() and member.size <= 10_000 * RECORD:
                    file = archive.extractfile(member)
                    contents[name] = b"" if file is None else file.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise FileFormatError(
            f"{path} is not a tar archive, or is truncated or damaged ({error}); download it again."
        ) from None
    return contents

"""Search for a public data set on this machine, check of its contents, and download."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigError, FileFormatError
from .archive import MEMBERS, npz_members
from .fetch import fetch
from .idx import idx_sha256, read_idx
from .images import Images, images_from_arrays

ENVIRONMENT = "SPINODE_DATA"
IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True)
class PublicSet:
    """A public data set: names, checksums and addresses of its files.

    Attributes:
        name: Name of the data set, such as "MNIST".
        folder: Folder of its files in the cache.
        prefixes: Accepted prefixes of the names `IDX_FILES`, a folder or the beginning of a file name.
        archives: Names of .npz files.
        shapes: Shapes of training images, training labels, test images and test labels.
        sha256: SHA-256 of the same four as uncompressed IDX files.
        mirrors: Addresses of folders with the compressed IDX files; since contents are checked, http is safe enough.
        archive_mirrors: Addresses of .npz files.
    """

    name: str
    folder: str
    prefixes: tuple[str, ...]
    archives: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    sha256: tuple[str, ...]
    mirrors: tuple[str, ...] = ()
    archive_mirrors: tuple[str, ...] = ()


def find_images(public_set: PublicSet, folder: str | Path | None, others: Sequence[PublicSet] = ()) -> Images:
    """Return a data set from `folder`, $SPINODE_DATA, the cache, or the network.

    Args:
        public_set: The data set.
        folder: Folder that is searched first.
        others: Data sets whose files have the same names; the search continues if it finds them.

    Raises:
        FileFormatError: a file that is damaged or belongs to another data set.
        ConfigError: the data set was not found and could not be downloaded.
    """
    places = list(search_places(folder))
    for place in places:
        images = _search(public_set, place, others)
        if images is not None:
            return images
    target = cache_folder() / public_set.folder
    fetch(
        public_set.name,
        target,
        ([tuple(f"{mirror}{name}.gz" for name in IDX_FILES) for mirror in public_set.mirrors])
        + [(address,) for address in public_set.archive_mirrors],
        accept=lambda paths: _check(public_set, _read(paths), paths),
        advice=f"It is not in {', '.join(map(str, places))} either. Put {IDX_FILES[0]}.gz and the other three files, or "
        f"{public_set.archives[0]}, into {target}, or set {ENVIRONMENT} to their folder.",
    )
    images = _search(public_set, cache_folder(), others)
    assert images is not None  # fetch returns only after the files were accepted
    return images


def cache_folder() -> Path:
    """Return the folder `spinode` in the cache folder of the user on this platform."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "spinode"


def search_places(folder: str | Path | None) -> Iterator[Path]:
    """Yield the folders that are searched: `folder`, $SPINODE_DATA and the cache.

    Raises:
        ConfigError: `folder` is not a folder.
    """
    if folder is not None:
        if not Path(folder).is_dir():
            raise ConfigError(f"{folder} is not a folder; pass the folder of the files, or None to search the default places.")
        yield Path(folder)
    if os.environ.get(ENVIRONMENT):
        yield Path(os.environ[ENVIRONMENT])
    yield cache_folder()


def _search(public_set: PublicSet, place: Path, others: Sequence[PublicSet]) -> Images | None:
    for prefix in public_set.prefixes:
        paths = [_existing(place, prefix + name) for name in IDX_FILES]
        if all(paths):
            existing = [path for path in paths if path]
            arrays = _read(existing)
            # Files without a prefix may belong to another data set.
            if prefix or not any(_matches(other, arrays) for other in others):
                return _check(public_set, arrays, existing)
    for name in public_set.archives:
        if (place / name).is_file():
            return _check(public_set, _read([place / name]), [place / name])
    return None


def _existing(place: Path, name: str) -> Path | None:
    """Return the path of a file, plain or compressed, if it exists."""
    for ending in ("", ".gz"):
        path = place / (name + ending)
        if path.is_file():
            return path
    return None


def _read(paths: Sequence[Path]) -> list[NDArray[Any]]:
    """Read four arrays from four IDX files or one archive, as bytes if their values allow it."""
    arrays = [read_idx(path) for path in paths] if len(paths) == len(IDX_FILES) else npz_members(paths[0])
    return [array.astype(np.uint8) if _fits_bytes(array) else array for array in arrays]


def _fits_bytes(array: NDArray[Any]) -> bool:
    return array.dtype.kind in "ui" and array.size > 0 and int(array.min()) >= 0 and int(array.max()) <= 255


def _matches(public_set: PublicSet, arrays: Sequence[NDArray[Any]]) -> bool:
    """Return True if the training labels, which are quick to read, are those of the data set."""
    return arrays[1].dtype == np.uint8 and idx_sha256(arrays[1]) == public_set.sha256[1]


def _check(public_set: PublicSet, arrays: Sequence[NDArray[Any]], paths: Sequence[Path]) -> Images:
    for i, (array, shape, sha256) in enumerate(zip(arrays, public_set.shapes, public_set.sha256, strict=True)):
        source = str(paths[i]) if len(paths) > 1 else f"{MEMBERS[i]} of {paths[0]}"
        if array.dtype != np.uint8 or array.shape != shape:
            raise FileFormatError(
                f"{source} contains {array.dtype} of shape {array.shape}; {public_set.name} has uint8 of shape {shape}. For "
                "your own data use read_idx, read_npz and images_from_arrays."
            )
        actual = idx_sha256(array)
        if actual != sha256:
            raise FileFormatError(
                f"{source} is not that of {public_set.name}: the SHA-256 of its values as an IDX file is {actual}, expected "
                f"{sha256}. It is damaged, modified or another data set: delete it, so that it is downloaded again."
            )
    return images_from_arrays(*arrays, name=public_set.name)

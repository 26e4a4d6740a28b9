"""Where a public data set lies on this machine, and whether it is the one it is called."""

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

Array = NDArray[Any]


@dataclass(frozen=True)
class Known:
    """A public data set.

    Attributes:
        name: Such as "MNIST".
        folder: Where its files go in the cache.
        prefixes: What may stand before the names `IDX_FILES` in a folder.
        archives: Names of .npz files.
        shapes: Shapes of training images, training labels, test images, test labels.
        sha256: SHA-256 of the same four as IDX files.
        mirrors: Addresses of folders with the IDX files, compressed; the contents are checked, so that http will do.
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


def found(known: Known, folder: str | Path | None, others: Sequence[Known] = ()) -> Images:
    """The data set, from `folder`, $SPINODE_DATA, the cache, or the network.

    Args:
        known: What is looked for.
        folder: Where to look first.
        others: Sets whose files bear the same names; where they lie, the search goes on.

    Raises:
        FileFormatError: a file that is damaged or holds something else.
        ConfigError: there is none.
    """
    places = list(_places(folder))
    for place in places:
        images = _look(known, place, others)
        if images is not None:
            return images
    target = cache() / known.folder
    fetch(
        known.name,
        target,
        ([tuple(f"{mirror}{name}.gz" for name in IDX_FILES) for mirror in known.mirrors])
        + [(address,) for address in known.archive_mirrors],
        accept=lambda paths: _checked(known, _read(paths), paths),
        advice=f"It is not in {', '.join(map(str, places))} either. Put {IDX_FILES[0]}.gz and the three like it, or "
        f"{known.archives[0]}, into {target}, or set {ENVIRONMENT} to the folder that holds them.",
    )
    images = _look(known, cache(), others)
    assert images is not None  # fetch returns when its files have been accepted
    return images


def cache() -> Path:
    """The user's cache folder of the platform, and `spinode` in it."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "spinode"


def _places(folder: str | Path | None) -> Iterator[Path]:
    if folder is not None:
        if not Path(folder).is_dir():
            raise ConfigError(f"{folder} is no folder; pass the one that holds the files, or None to look in the usual places.")
        yield Path(folder)
    if os.environ.get(ENVIRONMENT):
        yield Path(os.environ[ENVIRONMENT])
    yield cache()


def _look(known: Known, place: Path, others: Sequence[Known]) -> Images | None:
    for prefix in known.prefixes:
        paths = [_there(place, prefix + name) for name in IDX_FILES]
        if all(paths):
            whole = [path for path in paths if path]
            arrays = _read(whole)
            # Files without a word of their own before their names may be those of another set.
            if prefix or not any(_is(other, arrays) for other in others):
                return _checked(known, arrays, whole)
    for name in known.archives:
        if (place / name).is_file():
            return _checked(known, _read([place / name]), [place / name])
    return None


def _there(place: Path, name: str) -> Path | None:
    for ending in ("", ".gz"):
        path = place / (name + ending)
        if path.is_file():
            return path
    return None


def _read(paths: Sequence[Path]) -> list[Array]:
    """Four arrays, of four IDX files or one archive; those that may be are made bytes, as which they are compared."""
    arrays = [read_idx(path) for path in paths] if len(paths) == len(IDX_FILES) else npz_members(paths[0])
    return [array.astype(np.uint8) if _fits(array) else array for array in arrays]


def _fits(array: Array) -> bool:
    return array.dtype.kind in "ui" and array.size > 0 and int(array.min()) >= 0 and int(array.max()) <= 255


def _is(known: Known, arrays: Sequence[Array]) -> bool:
    """Told by the labels of training, the quickest to read."""
    return arrays[1].dtype == np.uint8 and idx_sha256(arrays[1]) == known.sha256[1]


def _checked(known: Known, arrays: Sequence[Array], paths: Sequence[Path]) -> Images:
    for i, (array, shape, sha256) in enumerate(zip(arrays, known.shapes, known.sha256, strict=True)):
        where = str(paths[i]) if len(paths) > 1 else f"{MEMBERS[i]} of {paths[0]}"
        if array.dtype != np.uint8 or array.shape != shape:
            raise FileFormatError(
                f"{where} holds {array.dtype} of shape {array.shape}; {known.name} has uint8 of shape {shape}. For a set of "
                "your own use read_idx, read_npz and images_from_arrays."
            )
        came = idx_sha256(array)
        if came != sha256:
            raise FileFormatError(
                f"{where} is not that of {known.name}: the SHA-256 of its values as an IDX file is {came}, expected {sha256}. "
                "It is damaged, changed or another set: delete it, so that it is fetched again."
            )
    return images_from_arrays(*arrays, name=known.name)

"""NumPy archives of images, with the member names of the Keras data sets."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import FileFormatError
from .images import Images, images_from_arrays

MEMBERS = ("x_train", "y_train", "x_test", "y_test")


def read_npz(path: str | Path, *, name: str | None = None) -> Images:
    """Read an .npz file with the members x_train, y_train, x_test, y_test, such as mnist.npz.

    Args:
        path: Path of the file.
        name: Name of the data set in messages and plots; that of the file if None.

    Raises:
        FileFormatError: the file does not exist, is not such an archive, or has members that are missing, damaged or pickled
            (which could run code).
        ConfigError: members that are not images or labels, see `Images`.

    Example:
        >>> import tempfile
        >>> images, labels = np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 0, 1])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/tiny.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
        ...     read_npz(f"{folder}/tiny.npz")
        Images('tiny', 4 for training, 4 for test, 8×8, 2 classes)
    """
    x_train, y_train, x_test, y_test = npz_members(path)
    return images_from_arrays(x_train, y_train, x_test, y_test, name=name or Path(path).stem)


def npz_members(path: str | Path) -> list[NDArray[Any]]:
    """Return the four members in the order of `MEMBERS`.

    Raises:
        FileFormatError: see `read_npz`.
    """
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            missing = [member for member in MEMBERS if member not in archive.files]
            if missing:
                raise FileFormatError(
                    f"{path} lacks {', '.join(missing)} and contains {', '.join(archive.files) or 'nothing'}; expected "
                    f"{', '.join(MEMBERS)}."
                )
            return [archive[member] for member in MEMBERS]
    except FileFormatError:
        raise
    except FileNotFoundError:
        raise FileFormatError(f"there is no file {path}; pass the path of an .npz file, such as mnist.npz.") from None
    except (ValueError, TypeError, AttributeError) as error:  # the last two: a single array instead of an archive
        if "allow_pickle" in str(error):
            raise FileFormatError(
                f"{path} contains pickled objects or is not an .npz file; save plain arrays by numpy.savez."
            ) from None
        raise FileFormatError(
            f"{path} is not an archive with the members {', '.join(MEMBERS)}, or it is damaged; save it by numpy.savez."
        ) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise FileFormatError(f"{path} is truncated or damaged ({error}); download it again.") from None

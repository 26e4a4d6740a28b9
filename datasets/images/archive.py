"""NumPy archives of images, with the members that Keras gave them."""

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
    """Images of an .npz file with the members x_train, y_train, x_test, y_test, such as mnist.npz.

    Args:
        path: The file.
        name: What messages and plots call the set; the file's name if None.

    Raises:
        FileFormatError: no file, no such archive, members that are missing, damaged or pickled (which could run code).
        ConfigError: members that are no images or labels, see `Images`.
    """
    x_train, y_train, x_test, y_test = npz_members(path)
    return images_from_arrays(x_train, y_train, x_test, y_test, name=name or Path(path).stem)


def npz_members(path: str | Path) -> list[NDArray[Any]]:
    """The four members, in the order of `MEMBERS`.

    Raises:
        FileFormatError: see `read_npz`.
    """
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            missing = [member for member in MEMBERS if member not in archive.files]
            if missing:
                raise FileFormatError(
                    f"{path} lacks {', '.join(missing)} and holds {', '.join(archive.files) or 'nothing'}; expected "
                    f"{', '.join(MEMBERS)}."
                )
            return [archive[member] for member in MEMBERS]
    except FileFormatError:
        raise
    except FileNotFoundError:
        raise FileFormatError(f"there is no file {path}; pass the path of an .npz file, such as mnist.npz.") from None
    except (ValueError, TypeError, AttributeError) as error:  # the last two: a single array, which is no archive
        if "allow_pickle" in str(error):
            raise FileFormatError(
                f"{path} holds pickled objects or is no .npz file; save plain arrays by numpy.savez."
            ) from None
        raise FileFormatError(
            f"{path} is no archive with the members {', '.join(MEMBERS)}, or it is damaged; save it by numpy.savez."
        ) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise FileFormatError(f"{path} is cut off or damaged ({error}); fetch it again.") from None

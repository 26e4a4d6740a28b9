"""Sets of images by the names that the command line and recipes give them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..validation import one_of

if TYPE_CHECKING:
    from ..datasets import Images

#: Sets of images by name; "made-digits" are generated and need no files.
IMAGE_SETS = ("mnist", "fashion-mnist", "cifar-10", "made-digits")


def load_images(name: str, folder: str | None) -> Images:
    """Return a set of images by its name.

    Args:
        name: One of `IMAGE_SETS`.
        folder: Folder of the files; see `spinode.datasets.mnist`.

    Raises:
        ConfigError: there is no such set, or its files are missing.

    Example:
        >>> load_images("made-digits", None)
        Images('made digits', 2000 for training, 500 for test, 28×28, 10 classes)
    """
    from ..datasets import cifar10, fashion_mnist, made_digits, mnist

    one_of("images", name, IMAGE_SETS)
    if name == "made-digits":
        return made_digits()
    return {"mnist": mnist, "fashion-mnist": fashion_mnist, "cifar-10": cifar10}[name](folder)

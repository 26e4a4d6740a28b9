"""Public data sets by name: names, checksums and addresses of their files.

A data set is recognised by the SHA-256 of its four uncompressed IDX files, which is computed for the arrays of an .npz file as
well. The tests check the MD5 of the same bytes, as widely published (MNIST train images 6bbc9ace898e44ae57da46a324031adb).
"""

from __future__ import annotations

from pathlib import Path

from .find import PublicSet, find_images
from .images import Images

_SHAPES = ((60000, 28, 28), (60000,), (10000, 28, 28), (10000,))
_KERAS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"

MNIST = PublicSet(
    "MNIST",
    "mnist",
    prefixes=("mnist/", "mnist-", "MNIST/raw/", ""),
    archives=("mnist.npz", "mnist/mnist.npz"),
    shapes=_SHAPES,
    sha256=(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist/",),
    archive_mirrors=(_KERAS + "mnist.npz",),
)

FASHION_MNIST = PublicSet(
    "Fashion-MNIST",
    "fashion-mnist",
    prefixes=("fashion-mnist/", "fashion-", "FashionMNIST/raw/", ""),
    archives=("fashion-mnist.npz", "fashion_mnist.npz", "fashion-mnist/fashion-mnist.npz"),
    shapes=_SHAPES,
    sha256=(
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", _KERAS),
)


def mnist(folder: str | Path | None = None) -> Images:
    """Return MNIST: 60 000 training and 10 000 test images of handwritten digits, 28×28 pixels, 10 classes.

    Searches `folder`, $SPINODE_DATA and the cache (`spinode` in the cache folder of the user) for the four IDX files under
    their original names (train-images-idx3-ubyte.gz, ..., plain or compressed; also in a folder `mnist` or `MNIST/raw`) or for
    mnist.npz. The contents must be those of LeCun's files, byte for byte. If nothing is found, the data set is downloaded into
    the cache, which needs the package pooch (`pip install 'spinode[data]'`) and a network connection.

    Args:
        folder: Folder that is searched first.

    Raises:
        FileFormatError: a file that is damaged or belongs to another data set.
        ConfigError: no file was found and none could be downloaded; or `folder` is not a folder.

    Source: LeCun, Bottou, Bengio, Haffner, Proc. IEEE 86, 2278 (1998).
    """
    return find_images(MNIST, folder, others=(FASHION_MNIST,))


def fashion_mnist(folder: str | Path | None = None) -> Images:
    """Return Fashion-MNIST: 60 000 training and 10 000 test images of clothes, 28×28 pixels, 10 classes.

    Searches the same places as `mnist` for IDX files with the prefix `fashion-`, or in a folder `fashion-mnist` or
    `FashionMNIST/raw`, or for fashion-mnist.npz; downloads them otherwise.

    Args:
        folder: Folder that is searched first.

    Raises:
        FileFormatError: a file that is damaged or belongs to another data set.
        ConfigError: no file was found and none could be downloaded; or `folder` is not a folder.

    Source: Xiao, Rasul, Vollgraf, arXiv:1708.07747 (2017).
    """
    return find_images(FASHION_MNIST, folder, others=(MNIST,))

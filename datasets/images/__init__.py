"""Labelled images: public data sets by name, your own files or arrays, and generated images."""

from .archive import read_npz as read_npz
from .cifar import cifar10 as cifar10, read_cifar10 as read_cifar10
from .generated import made_digits as made_digits
from .idx import read_idx as read_idx
from .images import Images as Images, images_from_arrays as images_from_arrays
from .public_sets import fashion_mnist as fashion_mnist, mnist as mnist

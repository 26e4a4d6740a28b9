"""Labelled images: public sets by name, files of your own, arrays of your own, and a set that is made."""

from .archive import read_npz as read_npz
from .idx import read_idx as read_idx
from .images import Images as Images, images_from_arrays as images_from_arrays
from .known import fashion_mnist as fashion_mnist, mnist as mnist
from .made import made_digits as made_digits

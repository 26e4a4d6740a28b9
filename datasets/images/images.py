"""`Images`: labelled images for training and test, with their normalisations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from ...errors import ConfigError
from ...validation import one_of, whole_number

#: Normalisations, see `Images.train_set`.
SCALES = ("unit", "standard", "training")

# The normalised inputs of each set that were requested last, shared by all its streams: full MNIST takes 188 MB in float32.
# They are not stored in the set itself, so that it is pickled as bytes.
_INPUTS: WeakKeyDictionary[Images, dict[str, tuple[str, Tensor]]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """Labelled images as in their files. Use `images_from_arrays` to create them from your own arrays.

    Attributes:
        train_images: Pixels, uint8 in 0 .. 255 or float32 in 0 .. 1, shape (samples, height, width), (samples, height, width,
            channels) or (samples, features).
        train_labels: Classes, int64 in 0 .. classes - 1, shape (samples,).
        test_images: Pixels like `train_images`, shape (tests, ...).
        test_labels: Classes like `train_labels`, shape (tests,).
        name: Name of the data set, such as "MNIST".
        classes: Number of classes.

    Raises:
        ConfigError: another type or shape, pixels or labels outside their range, or no samples.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    name: str
    classes: int

    def __post_init__(self) -> None:
        for kind, images, labels in (
            ("training", self.train_images, self.train_labels),
            ("test", self.test_images, self.test_labels),
        ):
            label = f"the {kind} set of {self.name!r}"
            _check_pixels(label, images)
            _check_labels(label, labels, len(images), self.classes)
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise ConfigError(
                f"images of {self.name!r} are {_size(self.train_images)} in training and {_size(self.test_images)} in test; "
                "expected one size."
            )

    def __repr__(self) -> str:
        return (
            f"Images({self.name!r}, {len(self.train_labels)} for training, {len(self.test_labels)} for test, "
            f"{_size(self.train_images)}, {self.classes} classes)"
        )

    def shape(self, flatten: bool = True) -> tuple[int, ...]:
        """Return the shape of one input: (features,), or (channels, height, width) with `flatten=False`."""
        size = tuple(self.train_images.shape[1:])
        if flatten or len(size) == 1:
            return (int(np.prod(size)),)
        return (1, *size) if len(size) == 2 else (size[2], size[0], size[1])

    def train_set(self, scale: str = "unit", flatten: bool = True) -> tuple[Tensor, Tensor]:
        """Return the training inputs and their labels.

        The inputs are computed once and shared by all callers with the same scale: do not write into them.

        Args:
            scale: Normalisation of a pixel x in 0 .. 1, where m and s are mean and standard deviation over all pixels:
                "unit": x;
                "standard": (x - m) / s, with m and s of the training set and of the test set, respectively (as in the code of
                MESU);
                "training": (x - m) / s, with m and s of the training set for both.
            flatten: Shape (samples, features); otherwise (samples, channels, height, width).

        Returns:
            Inputs, float32, and labels, int64, shape (samples,).

        Raises:
            ConfigError: an unknown scale, or a standard deviation of zero.
        """
        return self._inputs("train", scale).view(-1, *self.shape(flatten)), self.train_labels

    def test_set(self, scale: str = "unit", flatten: bool = True) -> tuple[Tensor, Tensor]:
        """Return the test inputs and their labels; see `train_set`."""
        return self._inputs("test", scale).view(-1, *self.shape(flatten)), self.test_labels

    def first(self, train: int | None = None, test: int | None = None) -> Images:
        """Return a set of the first `train` training images and the first `test` test images, without copying them.

        Args:
            train: Number of training images; None for all.
            test: Number of test images; None for all.

        Raises:
            ConfigError: more images than there are, or fewer than one.
        """
        if train is None and test is None:
            return self
        for kind, count, available in (("train", train, len(self.train_labels)), ("test", test, len(self.test_labels))):
            if count is not None:
                whole_number(f"{kind} of {self.name!r}", count, 1, available)
        return Images(
            self.train_images[:train],
            self.train_labels[:train],
            self.test_images[:test],
            self.test_labels[:test],
            self.name,
            self.classes,
        )

    def test_alone(self, train: int) -> Images:
        """Return a set of the test images alone: the first `train` of them for training, the others for the test.

        Small studies use the 10 000 test images of MNIST in this way.

        Raises:
            ConfigError: so many images that none is left for the test, or fewer than one.
        """
        whole_number(f"train of the test images of {self.name!r}", train, 1, len(self.test_labels) - 1)
        images, labels = self.test_images, self.test_labels
        return Images(images[:train], labels[:train], images[train:], labels[train:], self.name, self.classes)

    def _inputs(self, part: str, scale: str) -> Tensor:
        """Return all inputs of a part, channels first."""
        check_scale(scale)
        cache = _INPUTS.setdefault(self, {})
        if part not in cache or cache[part][0] != scale:
            cache.pop(part, None)  # before computing the new ones, which would need twice the memory otherwise
            cache[part] = (scale, self._normalise(part, scale))
        return cache[part][1]

    def _normalise(self, part: str, scale: str) -> Tensor:
        pixels = self.train_images if part == "train" else self.test_images
        inputs = _to_unit_range(pixels.movedim(3, 1) if pixels.ndim == 4 else pixels)
        if scale != "unit":
            mean, deviation = _statistics(self.train_images if scale == "training" else pixels)
            if deviation == 0:
                raise ConfigError(
                    f"all pixels of {self.name!r} are equal; scale={scale!r} cannot divide by their standard deviation. Use "
                    "scale='unit'."
                )
            inputs.sub_(mean).div_(deviation)
        return inputs


def images_from_arrays(
    train_images: Any,
    train_labels: Any,
    test_images: Any,
    test_labels: Any,
    *,
    name: str = "images",
    classes: int | None = None,
) -> Images:
    """Create `Images` from NumPy arrays or tensors.

    Args:
        train_images: Pixels, uint8 in 0 .. 255 or floating-point in 0 .. 1, shape (samples, height, width), (samples, height,
            width, channels) or (samples, features).
        train_labels: Whole numbers from 0, shape (samples,).
        test_images: Pixels like `train_images`.
        test_labels: Labels like `train_labels`.
        name: Name of the data set in messages and plots.
        classes: Number of classes; one more than the largest label if None.

    Raises:
        ConfigError: see `Images`.

    Example:
        >>> pixels, labels = np.zeros((6, 4, 4), np.uint8), [0, 1, 2, 0, 1, 2]
        >>> images_from_arrays(pixels, labels, pixels[:3], labels[:3], name="squares")
        Images('squares', 6 for training, 3 for test, 4×4, 3 classes)
    """
    labels = [as_labels(name, values) for values in (train_labels, test_labels)]
    if classes is None:
        classes = 1 + max((int(values.max()) for values in labels if values.numel()), default=0)
    return Images(_pixels(train_images), labels[0], _pixels(test_images), labels[1], name, classes)


def check_scale(scale: str) -> None:
    """Check the name of a normalisation.

    Raises:
        ConfigError: `scale` is not one of `SCALES`.
    """
    one_of("scale", scale, SCALES)


def _to_unit_range(pixels: Tensor) -> Tensor:
    """Return pixels in 0 .. 1 as a new contiguous float32 tensor."""
    inputs = torch.empty(pixels.shape, dtype=torch.float32).copy_(pixels)
    return inputs.div_(255) if pixels.dtype == torch.uint8 else inputs


def _statistics(pixels: Tensor) -> tuple[float, float]:
    """Return mean and population standard deviation of pixels in 0 .. 1, from exact counts of their values."""
    if pixels.dtype == torch.uint8:
        pieces = np.array_split(pixels.numpy().reshape(-1), 1 + pixels.numel() // 2**20)  # bincount needs eight bytes per pixel
        counts = np.sum([np.bincount(piece, minlength=256) for piece in pieces], axis=0)
        values = np.arange(256) / 255
    else:
        values, counts = np.unique(pixels.numpy().astype(np.float64), return_counts=True)
    mean = float(np.average(values, weights=counts))
    return mean, float(np.sqrt(np.average((values - mean) ** 2, weights=counts)))


def _pixels(array: Any) -> Tensor:
    tensor = as_tensor(array, "the array of images")
    return tensor.float() if tensor.dtype.is_floating_point else tensor


def as_labels(name: str, array: Any) -> Tensor:
    """Return labels of any type as int64.

    Args:
        name: Name of the data set in messages.
        array: Array or tensor of whole numbers, shape (samples,).

    Raises:
        ConfigError: labels that are not whole numbers.
    """
    tensor = as_tensor(array, f"the array of labels of {name!r}")
    labels = tensor.to(torch.int64)
    if tensor.dtype.is_floating_point and not torch.equal(labels.to(tensor.dtype), tensor):
        raise ConfigError(f"labels of {name!r} are not whole numbers; expected classes 0, 1, 2, ...")
    return labels


def as_tensor(array: Any, what: str = "an array") -> Tensor:
    """Return an array of any type as a tensor on the CPU, in native byte order; `what` names it in messages.

    Raises:
        ConfigError: values that are not numbers.
    """
    if isinstance(array, Tensor):
        return array.detach().cpu()
    values = np.asarray(array)
    if values.dtype.kind not in "buif":
        raise ConfigError(f"{what} has type {values.dtype}; expected numbers.")
    return torch.from_numpy(np.array(values, dtype=values.dtype.newbyteorder("=")))


def _check_pixels(label: str, images: Tensor) -> None:
    if not isinstance(images, Tensor) or images.dtype not in (torch.uint8, torch.float32) or images.ndim not in (2, 3, 4):
        given = f"{images.dtype} of shape {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise ConfigError(
            f"images of {label} are {given}; expected uint8 or floating-point pixels of shape (samples, height, width), "
            "(samples, height, width, channels) or (samples, features)."
        )
    if not images.numel():
        raise ConfigError(f"images of {label} have shape {tuple(images.shape)}; expected at least one image.")
    if images.ndim == 4 and images.shape[1] <= 4 < images.shape[3]:
        raise ConfigError(
            f"images of {label} have shape {tuple(images.shape)}; expected channels last, (samples, height, width, "
            "channels): pass images.permute(0, 2, 3, 1)."
        )
    if images.dtype == torch.float32 and not (float(images.min()) >= 0 and float(images.max()) <= 1):
        raise ConfigError(
            f"pixels of {label} are in {float(images.min()):.4g} .. {float(images.max()):.4g}; expected 0 .. 1, or uint8 in "
            "0 .. 255. Pass features that are not pixels to TaskList instead."
        )


def _check_labels(label: str, labels: Tensor, count: int, classes: int) -> None:
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or tuple(labels.shape) != (count,):
        given = f"{labels.dtype} of shape {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        raise ConfigError(f"labels of {label} are {given} for {count} images; expected one class per image, int64.")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise ConfigError(f"labels of {label} are in {low} .. {high}; expected 0 .. {classes - 1}, for {classes} classes.")


def _size(images: Tensor) -> str:
    return "×".join(map(str, images.shape[1:])) + (" features" if images.ndim == 2 else "")

"""`Images`: labelled images for training and test, and their normalisations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from ...errors import ConfigError
from ..whole import check_whole

SCALES = ("unit", "standard", "training")

# The last float form of each set, which every stream on it shares: full MNIST takes 188 MB in float32. Keyed by the set
# itself and not stored in it, so that a set sent to another process travels as bytes.
_MADE: WeakKeyDictionary[Images, dict[str, tuple[str, Tensor]]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """Labelled images, as they lie in their files. `images_from_arrays` makes one of arrays of yours.

    Attributes:
        train_images: Pixels, uint8 in 0 .. 255 or float32 in 0 .. 1, shape (samples, height, width), (samples, height, width,
            channels) or (samples, features).
        train_labels: Classes, int64 in 0 .. classes - 1, shape (samples,).
        test_images: As `train_images`, shape (tests, ...).
        test_labels: As `train_labels`, shape (tests,).
        name: Such as "MNIST".
        classes: Number of classes.

    Raises:
        ConfigError: another type or shape, pixels or labels outside their range, no samples.
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
            where = f"the {kind} set of {self.name!r}"
            _check_pixels(where, images)
            _check_labels(where, labels, len(images), self.classes)
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise ConfigError(
                f"images of {self.name!r} are {_by(self.train_images)} in training and {_by(self.test_images)} in test; "
                "expected one size."
            )

    def __repr__(self) -> str:
        return (
            f"Images({self.name!r}, {len(self.train_labels)} for training, {len(self.test_labels)} for test, "
            f"{_by(self.train_images)}, {self.classes} classes)"
        )

    def shape(self, flatten: bool = True) -> tuple[int, ...]:
        """Shape of one input: (features,), or (channels, height, width)."""
        size = tuple(self.train_images.shape[1:])
        if flatten or len(size) == 1:
            return (int(np.prod(size)),)
        return (1, *size) if len(size) == 2 else (size[2], size[0], size[1])

    def train_set(self, scale: str = "unit", flatten: bool = True) -> tuple[Tensor, Tensor]:
        """Inputs to learn from, and their labels.

        The inputs are made once and shared by all who ask for them with the same scale: do not write into them.

        Args:
            scale: With x a pixel in 0 .. 1 and m, s mean and standard deviation over all pixels of all images of a set,
                "unit": x;
                "standard": (x - m) / s, training and test set each with its own (the reference code of MESU);
                "training": (x - m) / s, both sets with those of the training set.
            flatten: Shape (samples, features); otherwise (samples, channels, height, width).

        Returns:
            Inputs, float32, and labels, int64, shape (samples,).

        Raises:
            ConfigError: an unknown scale, or a standard deviation of zero.
        """
        return self._inputs("train", scale).view(-1, *self.shape(flatten)), self.train_labels

    def test_set(self, scale: str = "unit", flatten: bool = True) -> tuple[Tensor, Tensor]:
        """Inputs to test with, and their labels; see `train_set`."""
        return self._inputs("test", scale).view(-1, *self.shape(flatten)), self.test_labels

    def first(self, train: int | None = None, test: int | None = None) -> Images:
        """The set of the first `train` and the first `test` images alone; None keeps all. Nothing is copied.

        Raises:
            ConfigError: more than there are, or fewer than one.
        """
        if train is None and test is None:
            return self
        for kind, wanted, there in (("train", train, len(self.train_labels)), ("test", test, len(self.test_labels))):
            if wanted is not None:
                check_whole(f"{kind} of {self.name!r}", wanted, 1, there)
        return Images(
            self.train_images[:train],
            self.train_labels[:train],
            self.test_images[:test],
            self.test_labels[:test],
            self.name,
            self.classes,
        )

    def _inputs(self, part: str, scale: str) -> Tensor:
        """All inputs of a part, channels first."""
        check_scale(scale)
        made = _MADE.setdefault(self, {})
        if part not in made or made[part][0] != scale:
            made.pop(part, None)  # first of all: two forms at once would take twice the memory
            made[part] = (scale, self._scaled(part, scale))
        return made[part][1]

    def _scaled(self, part: str, scale: str) -> Tensor:
        pixels = self.train_images if part == "train" else self.test_images
        inputs = _unit(pixels.movedim(3, 1) if pixels.ndim == 4 else pixels)
        if scale != "unit":
            mean, deviation = _statistics(self.train_images if scale == "training" else pixels)
            if deviation == 0:
                raise ConfigError(f"all pixels of {self.name!r} are equal; scale={scale!r} cannot divide by their deviation.")
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
    """`Images` of NumPy arrays or tensors of yours.

    Args:
        train_images: Pixels, uint8 in 0 .. 255 or floating-point in 0 .. 1, shape (samples, height, width), (samples, height,
            width, channels) or (samples, features).
        train_labels: Whole numbers from 0, shape (samples,).
        test_images: As `train_images`.
        test_labels: As `train_labels`.
        name: What messages and plots call it.
        classes: Number of classes; one more than the largest label if None.

    Raises:
        ConfigError: see `Images`.
    """
    labels = [as_labels(name, each) for each in (train_labels, test_labels)]
    if classes is None:
        classes = 1 + max((int(each.max()) for each in labels if each.numel()), default=0)
    return Images(_pixels(train_images), labels[0], _pixels(test_images), labels[1], name, classes)


def check_scale(scale: str) -> None:
    """Refuse an unknown normalisation.

    Raises:
        ConfigError: it is none of `SCALES`.
    """
    if scale not in SCALES:
        raise ConfigError(f"scale is {scale!r}; expected one of {', '.join(SCALES)}.")


def _unit(pixels: Tensor) -> Tensor:
    """Pixels in 0 .. 1 as a new float32 tensor, in one block of memory."""
    inputs = torch.empty(pixels.shape, dtype=torch.float32).copy_(pixels)
    return inputs.div_(255) if pixels.dtype == torch.uint8 else inputs


def _statistics(pixels: Tensor) -> tuple[float, float]:
    """Mean and standard deviation (of the population) of the pixels in 0 .. 1: exact, since bytes are counted."""
    if pixels.dtype == torch.uint8:
        pieces = np.array_split(pixels.numpy().reshape(-1), 1 + pixels.numel() // 2**20)  # bincount takes eight bytes for one
        counts = np.sum([np.bincount(piece, minlength=256) for piece in pieces], axis=0)
        values = np.arange(256) / 255
    else:
        values, counts = np.unique(pixels.numpy().astype(np.float64), return_counts=True)
    mean = float(np.average(values, weights=counts))
    return mean, float(np.sqrt(np.average((values - mean) ** 2, weights=counts)))


def _pixels(array: Any) -> Tensor:
    tensor = as_tensor(array)
    return tensor.float() if tensor.dtype.is_floating_point else tensor


def as_labels(name: str, array: Any) -> Tensor:
    """Labels of any kind as int64.

    Raises:
        ConfigError: they are not whole.
    """
    tensor = as_tensor(array)
    whole = tensor.to(torch.int64)
    if tensor.dtype.is_floating_point and not torch.equal(whole.to(tensor.dtype), tensor):
        raise ConfigError(f"labels of {name!r} are not whole; expected classes 0, 1, 2, ...")
    return whole


def as_tensor(array: Any) -> Tensor:
    """An array of any kind as a tensor on the processor; in native byte order, since torch knows no other."""
    if isinstance(array, Tensor):
        return array.detach().cpu()
    values = np.asarray(array)
    if values.dtype.kind not in "buif":
        raise ConfigError(f"an array is of type {values.dtype}; expected numbers.")
    return torch.from_numpy(np.array(values, dtype=values.dtype.newbyteorder("=")))


def _check_pixels(where: str, images: Tensor) -> None:
    if not isinstance(images, Tensor) or images.dtype not in (torch.uint8, torch.float32) or images.ndim not in (2, 3, 4):
        came = f"{images.dtype} of shape {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise ConfigError(
            f"images of {where} are {came}; expected uint8 or floating-point pixels of shape (samples, height, width), "
            "(samples, height, width, channels) or (samples, features)."
        )
    if not images.numel():
        raise ConfigError(f"images of {where} are of shape {tuple(images.shape)}; expected one at least.")
    if images.ndim == 4 and images.shape[1] <= 4 < images.shape[3]:
        raise ConfigError(
            f"images of {where} are of shape {tuple(images.shape)}; expected channels last, (samples, height, width, "
            "channels): give images.permute(0, 2, 3, 1)."
        )
    if images.dtype == torch.float32 and not (float(images.min()) >= 0 and float(images.max()) <= 1):
        raise ConfigError(
            f"pixels of {where} are in {float(images.min()):.4g} .. {float(images.max()):.4g}; expected 0 .. 1, or uint8 in "
            "0 .. 255. Features that are no pixels go into TaskList as they are."
        )


def _check_labels(where: str, labels: Tensor, count: int, classes: int) -> None:
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or tuple(labels.shape) != (count,):
        came = f"{labels.dtype} of shape {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        raise ConfigError(f"labels of {where} are {came} for {count} images; expected one class for each, int64.")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise ConfigError(f"labels of {where} are in {low} .. {high}; expected 0 .. {classes - 1}, for {classes} classes.")


def _by(images: Tensor) -> str:
    return "×".join(map(str, images.shape[1:])) + (" features" if images.ndim == 2 else "")

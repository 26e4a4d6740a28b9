"""Generated images, on which a network can learn and forget without any data set at hand."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import ConfigError
from ...random import seeded_generator
from ...validation import array_size, whole_number
from .images import Images

SIDE = 28  # height and width [pixels]
MAX_SHIFT = 3  # largest displacement [pixels]
WARP = 0.4  # amplitude of the random field of each image, relative to that of its class
NOISE = 0.1  # standard deviation of a pixel, relative to full scale


def made_digits(seed: int = 0, *, train: int = 2000, test: int = 500, classes: int = 10) -> Images:
    """Generate random images in classes that a network can learn, of the size of MNIST.

    A class is a smooth random field c(x, y), Gaussian with a correlation length of about three pixels. An image of it is
        max(0, tanh(sqrt(1 - a²) c(x - u, y - v) + a d(x, y) - 0.6)) w(x, y) + noise,  in 0 .. 1,
    where d is another such field, drawn for each image, a = `WARP`, u and v are displacements of up to `MAX_SHIFT` pixels, and
    w is a window that darkens the edge. Classes have equal numbers of images, to within one. The constants are chosen such that
    the nearest class mean is correct for fewer than 90 % of the test images, and a network of 100 hidden units for more.

    Args:
        seed: Seed; the same seed gives the same images.
        train: Number of training images.
        test: Number of test images.
        classes: Number of classes.

    Raises:
        ConfigError: fewer images than classes, or fewer than two classes.

    Example:
        >>> images = made_digits(train=100, test=50)
        >>> images
        Images('made digits', 100 for training, 50 for test, 28×28, 10 classes)
        >>> inputs, labels = images.train_set()
        >>> inputs.shape, labels.bincount().tolist()
        (torch.Size([100, 784]), [10, 10, 10, 10, 10, 10, 10, 10, 10, 10])
    """
    classes = whole_number("classes", classes, 2)
    train, test = whole_number("train", train), whole_number("test", test)
    if min(train, test) < classes:
        raise ConfigError(
            f"{train} training and {test} test images in {classes} classes; expected at least one image of each class in both "
            "sets."
        )
    array_size("the images", images=train + test, pixels=SIDE**2)
    generator = seeded_generator(seed)
    prototypes = _draw_fields(classes, generator)
    train_labels, test_labels = (torch.randperm(count, generator=generator) % classes for count in (train, test))
    train_images, test_images = (_draw_images(prototypes[labels], generator) for labels in (train_labels, test_labels))
    return Images(train_images, train_labels, test_images, test_labels, "made digits", classes)


def _draw_images(fields: Tensor, generator: torch.Generator) -> Tensor:
    count = len(fields)
    mixed = (1 - WARP**2) ** 0.5 * _shift(fields, generator) + WARP * _draw_fields(count, generator)
    ink = torch.tanh(mixed - 0.6).clamp_(min=0) * _window()
    ink += NOISE * torch.randn(ink.shape, generator=generator)
    return ink.clamp_(0, 1).mul_(255).round_().to(torch.uint8)


def _draw_fields(count: int, generator: torch.Generator) -> Tensor:
    """Draw Gaussian fields of unit variance: low-pass filtered white noise, periodic, so that shifts leave no edge."""
    frequency = torch.fft.fftfreq(SIDE)
    low_pass = torch.exp(-((frequency[:, None] ** 2 + frequency[None, :] ** 2) / (2 * 0.08**2)))
    low_pass /= low_pass.square().mean().sqrt()
    white = torch.randn(count, SIDE, SIDE, generator=generator)
    field: Tensor = torch.fft.ifft2(torch.fft.fft2(white) * low_pass).real
    return field


def _shift(fields: Tensor, generator: torch.Generator) -> Tensor:
    down, right = torch.randint(-MAX_SHIFT, MAX_SHIFT + 1, (2, len(fields)), generator=generator)
    pixel = torch.arange(SIDE)
    rows = (pixel[None, :] - down[:, None]) % SIDE
    columns = (pixel[None, :] - right[:, None]) % SIDE
    return fields[torch.arange(len(fields))[:, None, None], rows[:, :, None], columns[:, None, :]]


def _window() -> Tensor:
    edge = torch.sin(torch.pi * (torch.arange(SIDE) + 0.5) / SIDE).sqrt()
    return edge[:, None] * edge[None, :]

"""Images that are made, not measured: enough to see a network learn and forget where no data set is at hand."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import ConfigError
from ..whole import check_whole
from .images import Images

SIDE = 28
SHIFT = 3  # largest displacement, in pixels
WARP = 0.4  # share of a field of its own in each image; the field of its class has the rest
NOISE = 0.1  # standard deviation of a pixel, in units of full scale


def made_digits(seed: int = 0, *, train: int = 2000, test: int = 500, classes: int = 10) -> Images:
    """Random images in classes that can be learned, of the size of those of MNIST.

    A class is a smooth random field c(x, y), Gaussian with a correlation length of about three pixels. An image of it is
        max(0, tanh(sqrt(1 - a²) c(x - u, y - v) + a d(x, y) - 0.6)) w(x, y) + noise,  in 0 .. 1,
    with d another such field, drawn for each image, a share `WARP` of it, whole displacements u, v of up to `SHIFT` pixels, and
    a window w that darkens the edge. Each class has as many images as any other, to within one. The constants are set so that
    the nearest class mean is right for fewer than 90 % of the test images, and a network of 100 hidden units for more.

    Args:
        seed: Seed of all of it: the same seed gives the same images.
        train: Number of training images.
        test: Number of test images, from the same classes.
        classes: Number of classes.

    Raises:
        ConfigError: fewer images than classes, or fewer than two classes.
    """
    check_whole("seed", seed, 0)
    check_whole("classes", classes, 2)
    if min(train, test) < classes:
        raise ConfigError(
            f"{train} training and {test} test images in {classes} classes were asked for; expected two classes or more, and "
            "an image of each at least in both sets."
        )
    generator = torch.Generator().manual_seed(seed)
    prototypes = _fields(classes, generator)
    train_labels, test_labels = (torch.randperm(count, generator=generator) % classes for count in (train, test))
    train_images, test_images = (_drawn(prototypes[labels], generator) for labels in (train_labels, test_labels))
    return Images(train_images, train_labels, test_images, test_labels, "made digits", classes)


def _drawn(fields: Tensor, generator: torch.Generator) -> Tensor:
    count = len(fields)
    mixed = (1 - WARP**2) ** 0.5 * _shifted(fields, generator) + WARP * _fields(count, generator)
    ink = torch.tanh(mixed - 0.6).clamp_(min=0) * _window()
    ink += NOISE * torch.randn(ink.shape, generator=generator)
    return ink.clamp_(0, 1).mul_(255).round_().to(torch.uint8)


def _fields(count: int, generator: torch.Generator) -> Tensor:
    """Gaussian fields of unit variance: white noise behind a Gaussian low pass, periodic, so that shifts leave no edge."""
    frequency = torch.fft.fftfreq(SIDE)
    low_pass = torch.exp(-((frequency[:, None] ** 2 + frequency[None, :] ** 2) / (2 * 0.08**2)))
    low_pass /= low_pass.square().mean().sqrt()
    white = torch.randn(count, SIDE, SIDE, generator=generator)
    field: Tensor = torch.fft.ifft2(torch.fft.fft2(white) * low_pass).real
    return field


def _shifted(fields: Tensor, generator: torch.Generator) -> Tensor:
    down, right = torch.randint(-SHIFT, SHIFT + 1, (2, len(fields)), generator=generator)
    pixel = torch.arange(SIDE)
    rows = (pixel[None, :] - down[:, None]) % SIDE
    columns = (pixel[None, :] - right[:, None]) % SIDE
    return fields[torch.arange(len(fields))[:, None, None], rows[:, :, None], columns[:, None, :]]


def _window() -> Tensor:
    edge = torch.sin(torch.pi * (torch.arange(SIDE) + 0.5) / SIDE).sqrt()
    return edge[:, None] * edge[None, :]

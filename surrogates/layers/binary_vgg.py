"""`binary_vgg`: the convolutional network of binary weights that is published with devices for CIFAR-10."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from ...contracts.synapse import Synapse
from ...device_weights.programming import ProportionalProgrammer
from ...errors import ConfigError
from ...validation import whole_number, whole_numbers
from .device_layers import DeviceConv2d, DeviceLayer, DeviceLinear

#: Largest number of random pulses that a device gets at first: devices that are all alike would make all weights equal.
INITIAL_PULSES = 20


def binary_vgg(
    shape: Sequence[int],
    classes: int,
    synapse: Synapse,
    *,
    widths: Sequence[int] = (384, 384, 768, 768, 1536, 512),
    hidden: Sequence[int] = (1024, 1024),
    seed: int = 0,
) -> nn.Sequential:
    """Build a network of 3x3 convolutions and linear layers whose weights are the signs of pairs of devices.

    Each convolution (padding 1), after every second one a maximum over 2x2 pixels, and each linear layer is followed by a batch
    norm and, except for the last, a hard tanh. Each weight first gets up to 20 random pulses.

    Args:
        shape: Shape of an input, (channels, height, width).
        classes: Number of outputs.
        synapse: The device model.
        widths: Channels of the convolutions, in pairs.
        hidden: Units of the linear layers before the last.
        seed: Seed of the devices.

    Raises:
        ConfigError: a shape of another length, an odd number of convolutions, or images too small for them.

    Example:
        >>> from spinode.datasets import WeakReset
        >>> network = binary_vgg((3, 8, 8), 10, WeakReset(), widths=(4, 4), hidden=(8,))
        >>> network(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 10])

    Source: Majumdar et al., IEEE Trans. Electron Devices (2021), arXiv:2107.06064, code; Courbariaux et al.,
    arXiv:1602.02830 (2016).
    """
    shape = whole_numbers("shape", shape, 1, example=(3, 32, 32))
    widths, hidden = whole_numbers("widths", widths, 1), whole_numbers("hidden", hidden, 1, empty=True, example=(1024, 1024))
    if len(shape) != 3 or len(widths) % 2 or min(shape[1:]) < 2 ** (len(widths) // 2):
        raise ConfigError(
            f"inputs of shape {tuple(shape)} and {len(widths)} convolutions: expected (channels, height, width) of at least "
            f"{2 ** (len(widths) // 2)} pixels a side, and an even number of convolutions."
        )
    generator = torch.Generator().manual_seed(whole_number("seed", seed))
    arguments: dict[str, Any] = {"kind": "sign", "bias": False, "programmer": ProportionalProgrammer(), "seed": generator}
    modules: list[nn.Module] = []
    for index, (channels, width) in enumerate(pairwise([shape[0], *widths])):
        modules += [DeviceConv2d(channels, width, 3, synapse, padding=1, **arguments)]
        modules += [nn.MaxPool2d(2)] if index % 2 else []
        modules += [nn.BatchNorm2d(width), nn.Hardtanh()]
    pixels = (shape[1] >> len(widths) // 2) * (shape[2] >> len(widths) // 2)
    modules.append(nn.Flatten())
    for inputs, units in pairwise([widths[-1] * pixels, *hidden, classes]):
        modules += [DeviceLinear(inputs, units, synapse, **arguments), nn.BatchNorm1d(units), nn.Hardtanh()]
    for module in modules:
        if isinstance(module, DeviceLayer):
            count = torch.randint(-INITIAL_PULSES, INITIAL_PULSES + 1, module.weight.shape, generator=generator)
            module.weights.pulse(count.float())
            module.sync()
    return nn.Sequential(*modules[:-1])

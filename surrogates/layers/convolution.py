"""Checks of the arguments and the inputs of `DeviceConv2d`, which torch would refuse late or with an error of its own."""

from __future__ import annotations

from typing import Any

from ...errors import ConfigError
from ...validation import one_of, whole_number, whole_numbers

_MODES = ("zeros", "reflect", "replicate", "circular")


def pair(name: str, value: Any, low: int) -> tuple[int, int]:
    """Return a size for height and width, from one whole number or two.

    Raises:
        ConfigError: another number of values, or one below `low`.

    Example:
        >>> pair("stride", 2, 1), pair("stride", (2, 3), 1)
        ((2, 2), (2, 3))
    """
    sizes = whole_numbers(name, value, low, example=(3, 3))
    if len(sizes) > 2:
        raise ConfigError(f"{name} is {value!r}; expected one whole number, or one for height and one for width.")
    return sizes[0], sizes[-1]


def check_arguments(
    in_channels: int, out_channels: int, stride: Any, padding: Any, dilation: Any, groups: Any, padding_mode: Any
) -> tuple[tuple[int, int], str | tuple[int, int], tuple[int, int], int]:
    """Return stride, padding, dilation and groups after a check.

    Raises:
        ConfigError: one that nn.Conv2d does not accept.
    """
    strides = pair("stride", stride, 1)
    if isinstance(padding, str):
        one_of("padding", padding, ("valid", "same"))
        if padding == "same" and strides != (1, 1):
            raise ConfigError(f"padding is 'same' with stride {stride}; expected stride=1, or padding as a number.")
        paddings: str | tuple[int, int] = padding
    else:
        paddings = pair("padding", padding, 0)
    whole_number("groups", groups, 1)
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % groups:
            raise ConfigError(f"groups is {groups}, which does not divide {name}={channels}; choose a divisor of both.")
    one_of("padding_mode", padding_mode, _MODES)
    return strides, paddings, pair("dilation", dilation, 1), int(groups)


def check_image(shape: tuple[int, ...], layer: Any) -> None:
    """Check the shape of an input against the kernel of a layer.

    Args:
        shape: Shape of the input.
        layer: An nn.Conv2d.

    Raises:
        ConfigError: more dimensions than a batch of images, or an image that is smaller than kernel or padding allow.
    """
    if len(shape) not in (3, 4):
        raise ConfigError(f"the input has shape {shape}; expected (channels, height, width), or a batch of such images.")
    for axis, name in enumerate(("height", "width")):
        size, extent = shape[len(shape) - 2 + axis], layer.dilation[axis] * (layer.kernel_size[axis] - 1) + 1
        if isinstance(layer.padding, str):
            total = extent - 1 if layer.padding == "same" else 0
            side = total - total // 2
        else:
            side, total = layer.padding[axis], 2 * layer.padding[axis]
        if size + total < extent:
            raise ConfigError(
                f"the input has shape {shape}: its {name} of {size} with padding {total} is less than the {extent} of the "
                "kernel; pass larger images, or set padding=."
            )
        most = {"reflect": size - 1, "circular": size}.get(layer.padding_mode, side)
        if side > most:
            raise ConfigError(
                f"the input has shape {shape}: padding_mode={layer.padding_mode!r} pads its {name} of {size} by {side}; "
                f"expected at most {most}."
            )

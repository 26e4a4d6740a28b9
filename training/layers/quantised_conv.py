"""`QuantisedConv2d`, and `to_quantised`: a network of your own with binary or quantised weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from ...validation import whole_number
from .convert import replace_layers
from .quantised import Quantised, QuantisedLinear


class QuantisedConv2d(Quantised):
    """A convolution without bias whose kernels are rounded to levels, as the weights of `QuantisedLinear`.

    Args:
        channels: Channels of the input.
        outputs: Channels of the output.
        kernel_size: Size of the square kernels.
        stride: As in nn.Conv2d, like the next three.
        padding: As in nn.Conv2d.
        dilation: As in nn.Conv2d.
        groups: As in nn.Conv2d.
        levels: Number of levels; 2 for signs.
        init_width: Width of the distribution of initial hidden weights, as in `QuantisedLinear`, like the next one.
        init_at: Transitions at which hidden weights begin, "inner" or "all".
        generator: Source of the initial weights.

    Raises:
        ConfigError: fewer than two levels, a width that is not positive, or an unknown place.

    Example:
        >>> QuantisedConv2d(1, 2, 3, levels=2)(torch.ones(5, 1, 8, 8)).shape
        torch.Size([5, 2, 6, 6])
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        kernel_size: int | tuple[int, int],
        *,
        stride: int | tuple[int, ...] = 1,
        padding: str | int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        levels: int = 4,
        init_width: float | None = None,
        init_at: str = "inner",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        kernel = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self._make_hidden((outputs, channels // groups, *kernel), levels, init_width, init_at, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output, shape (samples, outputs, height, width)."""
        arguments = (self.stride, self.padding, self.dilation, self.groups)
        return nn.functional.conv2d(x, self.effective(), None, *arguments)  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        """Return the arguments that `print` shows."""
        outputs, channels, *kernel = self.weight.shape
        return (
            f"{channels * self.groups}, {outputs}, {tuple(kernel)}, levels={2 if self.interval is None else self.interval[1]}"
        )


def to_quantised(network: nn.Module, *, levels: int = 2, skip: Sequence[str] = (), seed: int = 0) -> nn.Module:
    """Return a copy of a network whose nn.Linear and nn.Conv2d have quantised weights without bias; the network is unchanged.

    Hidden weights start close to the transitions next to zero, as published for two levels. Quantised weights are of the order
    of one whatever the size of a layer: a norm after each layer, such as nn.BatchNorm2d, sets the scale.

    Args:
        network: The network.
        levels: Number of levels; 2 for signs.
        skip: Names of modules to leave as they are, with all that they contain.
        seed: Seed of the hidden weights.

    Raises:
        ConfigError: nothing to convert, an unknown name, a layer derived from nn.Linear or nn.Conv2d, or padding other than
            zeros.

    Example:
        >>> to_quantised(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)))
        Sequential(
          (0): QuantisedConv2d(1, 4, (3, 3), levels=2)
          (1): ReLU()
          (2): Flatten(start_dim=1, end_dim=-1)
          (3): QuantisedLinear(16, 2, levels=2)
        )

    Source: Laborieux et al., Nat. Commun. 12, 2549 (2021).
    """
    levels = whole_number("levels", levels, 2)
    generator = torch.Generator().manual_seed(seed)

    def convert(name: str, layer: nn.Linear | nn.Conv2d) -> nn.Module:
        if isinstance(layer, nn.Linear):
            sizes = (layer.in_features, layer.out_features)
            return QuantisedLinear(*sizes, levels=levels, generator=generator)
        if layer.padding_mode != "zeros":
            raise ConfigError(f"{name} pads with {layer.padding_mode!r}; expected zeros. Add it to skip=.")
        return QuantisedConv2d(
            layer.in_channels,
            layer.out_channels,
            (layer.kernel_size[0], layer.kernel_size[1]),
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
            groups=layer.groups,
            levels=levels,
            generator=generator,
        )

    return replace_layers(network, convert, skip)

"""`Crossbar`: what the array around the devices does to a product: converters, tiles, line resistance, stuck cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...device_weights.encoding import latent_weight
from ...device_weights.weights import DeviceWeights
from ...errors import ConfigError
from ...validation import number, whole_number, whole_numbers
from .line_resistance import tiled

#: Largest tile whose line resistance is solved; the time grows with the fourth power of its side.
MAX_TILE = 256
LOW, HIGH = 1, 2


@dataclass(frozen=True)
class Crossbar:
    """Effects of the array on the products of a layer; all are off by default.

    The inputs are the rows, the outputs the columns. Each input passes a digital-to-analog converter, the sums of each tile an
    analog-to-digital converter, and the digital sums of all tiles are added. A converter of b bits rounds to 2^b - 1 levels,
    symmetric about zero, k * range / (2^(b-1) - 1), and clips beyond its range. Gradients pass a converter where it does not
    clip. The devices of G+ and of G- are arrays of their own.

    Attributes:
        dac_bits: Bits of the converters of the inputs; None for exact inputs.
        dac_range: Their range, in units of the input; None for the largest magnitude of each call.
        adc_bits: Bits of the converters of the sums of a tile; None for exact sums.
        adc_range: Their range, in units of the output; None for the largest magnitude of each call and tile.
        tile: Rows and columns of a tile, one number for both or a pair; None for one array of the layer's size.
        line_resistance: Resistance [ohm] of a wire segment between two cells, see `effective_conductance`. For read noise the
            difference that it makes is that of the conductances without noise.
        stuck_low: Share of the devices that are stuck at the lower end of the range, whatever their pulses.
        stuck_high: Share that is stuck at the upper end.
        refresh: Number of programmings after which the line resistance is solved again; training needs a larger one. A call in
            evaluation mode always has the exact solution.

    Raises:
        ConfigError: bits below 2, ranges, tiles or resistances that are not positive, shares outside 0 .. 1.

    Example:
        >>> from spinode.surrogates import DeviceLinear, IdealSynapse
        >>> layer = DeviceLinear(4, 2, IdealSynapse(), crossbar=Crossbar(adc_bits=2), seed=0)
        >>> layer(torch.ones(1, 4)).shape
        torch.Size([1, 2])
    """

    dac_bits: int | None = None
    dac_range: float | None = None
    adc_bits: int | None = None
    adc_range: float | None = None
    tile: int | tuple[int, int] | None = None
    line_resistance: float = 0.0
    stuck_low: float = 0.0
    stuck_high: float = 0.0
    refresh: int = 1

    def __post_init__(self) -> None:
        for name in ("dac_bits", "adc_bits"):
            if getattr(self, name) is not None:
                whole_number(name, getattr(self, name), 2, 52)
        for name in ("dac_range", "adc_range"):
            if getattr(self, name) is not None:
                number(name, getattr(self, name), 0, above=True)
        if self.tile is not None:
            sides = whole_numbers("tile", self.tile, 1, example=(128, 128))
            if len(sides) > 2:
                raise ConfigError(f"tile is {self.tile}; expected one whole number, or rows and columns, such as (128, 64).")
            object.__setattr__(self, "tile", sides[0] if len(sides) == 1 else sides)
        number("line_resistance", self.line_resistance, 0, unit="ohm")
        number("stuck_high", self.stuck_high, 0, 1 - number("stuck_low", self.stuck_low, 0, 1))
        whole_number("refresh", self.refresh, 1)

    def imperfections(self) -> dict[str, Crossbar]:
        """Return the crossbar without each of its imperfections; empty if it has none."""
        off: dict[str, dict[str, Any]] = {
            "input converters": {"dac_bits": None},
            "output converters": {"adc_bits": None},
            "line resistance": {"line_resistance": 0.0},
            "stuck cells": {"stuck_low": 0.0, "stuck_high": 0.0},
        }
        return {name: replace(self, **one) for name, one in off.items() if any(getattr(self, each) for each in one)}

    def tile_size(self, rows: int, columns: int) -> tuple[int, int]:
        """Return rows and columns of a tile of an array of this size."""
        if self.tile is None:
            return rows, columns
        height, width = (self.tile, self.tile) if isinstance(self.tile, int) else self.tile
        return min(height, rows), min(width, columns)

    def check(self, weights: DeviceWeights) -> None:
        """Check that the effects apply to a layer.

        Raises:
            ConfigError: line resistance for binary weights, which are read one by one, for conductances that are not in
                siemens, or for tiles above 256 x 256.
        """
        if not self.line_resistance:
            return
        rows, columns = self.tile_size(weights.shape[1:].numel(), weights.shape[0])
        if weights.kind == "sign":
            raise ConfigError(
                "kind='sign' compares the two devices of each weight, without currents of a whole line; use 'pair'."
            )
        if weights.synapse.unit != "S" or weights.synapse.low < 0:
            raise ConfigError(
                f"line_resistance is {self.line_resistance:g} ohm, but the conductances of {type(weights.synapse).__name__} "
                "are not in siemens; use a device with unit 'S', or line_resistance=0."
            )
        if max(rows, columns) > MAX_TILE:
            raise ConfigError(
                f"a tile has {rows} x {columns} cells; expected at most {MAX_TILE} x {MAX_TILE} with a line resistance. "
                "Set tile=128."
            )

    def stuck_cells(self, weights: DeviceWeights, generator: torch.Generator) -> Tensor | None:
        """Return which devices are stuck: 0 for none, 1 at the lower end, 2 at the upper; None if none can be."""
        if not (self.stuck_low or self.stuck_high):
            return None
        draws = torch.rand(weights.wear.shape, generator=generator, dtype=torch.float64)
        cells = torch.zeros(weights.wear.shape, dtype=torch.int8)
        cells[draws < self.stuck_low] = LOW
        cells[draws >= 1 - self.stuck_high] = HIGH
        return cells

    def drop(self, weights: DeviceWeights, stuck: Tensor | None) -> Tensor | None:
        """Return the change of all conductances by the line resistance, without read noise; None without."""
        if not self.line_resistance:
            return None
        now = with_stuck(weights.conductance(noisy=False), weights, stuck)
        matrix = now.flatten(2).transpose(1, 2)  # (devices per weight, rows, columns)
        effective = tiled(matrix, *self.tile_size(*matrix.shape[1:]), self.line_resistance)
        return (effective - matrix).transpose(1, 2).reshape(now.shape)

    def product(self, x: Tensor, weight: Tensor, multiply: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Return the product of inputs and weights through the converters and the tiles.

        Args:
            x: Inputs of `multiply`.
            weight: Weights, shape (outputs, ...): the rows of the crossbar are those of its other dimensions.
            multiply: Product of inputs and weights, with the outputs of each tile.
        """
        if self.dac_bits is not None:
            x = convert(x, self.dac_bits, self.dac_range)
        if self.adc_bits is None:
            return multiply(x, weight)
        rows = weight[0].numel()
        height, _ = self.tile_size(rows, weight.shape[0])
        if height == rows:
            return convert(multiply(x, weight), self.adc_bits, self.adc_range)
        total: Tensor | None = None
        for top in range(0, rows, height):
            mask = torch.zeros(rows, dtype=weight.dtype, device=weight.device)
            mask[top : top + height] = 1
            part = convert(multiply(x, weight * mask.view(weight.shape[1:])), self.adc_bits, self.adc_range)
            total = part if total is None else total + part
        assert total is not None
        return total


def with_stuck(conductance: Tensor, weights: DeviceWeights, stuck: Tensor | None) -> Tensor:
    """Return conductances in which those of stuck devices are the ends of the range."""
    if stuck is None:
        return conductance
    low, high = conductance.new_tensor(weights.synapse.low), conductance.new_tensor(weights.synapse.high)
    return torch.where(stuck == LOW, low, torch.where(stuck == HIGH, high, conductance))


def seen_latent(weights: DeviceWeights, stuck: Tensor | None, drop: Tensor | None) -> Tensor:
    """Return the latent weights as the lines of the array show them, read with noise where the devices have it."""
    conductance = with_stuck(weights.conductance(), weights, stuck)
    conductance = conductance if drop is None else conductance + drop
    return latent_weight(conductance, weights.kind, weights.scale, weights.reference)


def convert(values: Tensor, bits: int, limit: float | None) -> Tensor:
    """Round values to the levels of a converter, see `Crossbar`; the gradient is 1 within its range and 0 beyond.

    Half precision is computed in single precision: its smallest number is above the level of a fine converter.

    Example:
        >>> convert(torch.tensor([0.2, 0.6, 3.0]), 2, 1.0)
        tensor([0., 1., 1.])
    """
    largest = float(values.detach().abs().max()) if limit is None and values.numel() else (limit or 0.0)
    if largest == 0:
        return values
    step = largest / (2 ** (bits - 1) - 1)
    wide = torch.float32 if step > torch.finfo(torch.float32).tiny else torch.float64
    exact = values.to(torch.promote_types(values.dtype, wide))
    clipped = exact.clamp(-largest, largest)
    rounding: Tensor = ((clipped / step).round() * step - clipped).detach()
    return (clipped + rounding).to(values.dtype)

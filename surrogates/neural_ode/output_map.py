"""`OutputMap`: a static nonlinearity between the output of a device and what was recorded, |y| or a limit of the range."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import ConfigError
from ...traces.unfold import MAX_NEGATIVE, smooth_signs
from .ports import Ports

_FORMS = "'abs', or 'clip:LOW:HIGH', e.g. 'clip:-10:10'"


@dataclass(frozen=True)
class OutputMap:
    """A static nonlinearity of one output.

    Attributes:
        kind: "abs" (the instrument records the magnitude) or "clip" (its range ends).
        low: Lower limit in SI, for "clip"; -inf if there is none.
        high: Upper limit.

    Raises:
        ConfigError: another kind, or limits that are no numbers in ascending order.

    Example:
        >>> OutputMap.parse(("clip", -10, 10)).text, OutputMap.parse("clip:-inf:3").high, OutputMap.parse("abs").kind
        ('clip:-10.0:10.0', 3.0, 'abs')
    """

    kind: str
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        finite = math.isfinite(self.low) or math.isfinite(self.high)
        if self.kind not in ("abs", "clip") or (self.kind == "clip" and not (finite and self.low < self.high)):
            raise ConfigError(f"output map is {self.text!r}; expected {_FORMS} with low < high, one of which may be infinite.")

    @classmethod
    def parse(cls, value: Any) -> OutputMap:
        """Return the map that "abs", ("clip", low, high) or "clip:low:high" describes."""
        if isinstance(value, cls):
            return value
        parts = value.split(":") if isinstance(value, str) else value
        try:
            kind, *limits = parts
            low, high = (float(each) for each in limits) if limits else (-math.inf, math.inf)
        except (TypeError, ValueError):
            raise ConfigError(f"output map is {value!r}; expected {_FORMS}.") from None
        return cls(kind, low, high)

    @property
    def text(self) -> str:
        """Return the map as text: "abs" or "clip:low:high"."""
        return self.kind if self.kind != "clip" else f"clip:{self.low!r}:{self.high!r}"

    def __call__(self, values: Tensor) -> Tensor:
        """Apply the map to values in SI."""
        return values.abs() if self.kind == "abs" else values.clamp(self.low, self.high)


def parse_output_maps(given: Any) -> tuple[str, ...]:
    """Return maps of outputs as texts "NAME=MAP"; none for "none".

    Raises:
        ConfigError: another type, a text without "=", or an invalid map.

    Example:
        >>> parse_output_maps({"speed": "abs", "V": ("clip", -10, 10)})
        ('speed=abs', 'V=clip:-10.0:10.0')
    """
    if isinstance(given, np.ndarray):
        given = given.tolist()
    if isinstance(given, Mapping):
        return tuple(f"{name}={OutputMap.parse(value).text}" for name, value in given.items())
    if given in ("none", ("none",), (None,), [None]):  # as the command line spells no map
        return ()
    if not isinstance(given, tuple | list) or not all(isinstance(each, str) and "=" in each for each in given):
        raise ConfigError(f"output_map is {given!r}; expected {{'NAME': MAP}} or NAME=MAP, with {_FORMS} as MAP.")
    return tuple(f"{name}={OutputMap.parse(text).text}" for name, _, text in (each.rpartition("=") for each in given))


def apply_output_map(ports: Ports, values: Tensor) -> Tensor:
    """Return outputs as the instrument records them.

    Args:
        ports: Ports with the maps.
        values: Outputs in SI, shape (..., outputs).
    """
    if not ports.output_map:
        return values
    columns = [
        OutputMap.parse(ports.output_map[name])(column) if name in ports.output_map else column
        for name, column in zip(ports.output, values.unbind(-1), strict=True)
    ]
    return torch.stack(columns, -1)


def apply_limits(ports: Ports, values: Tensor) -> Tensor:
    """Return outputs clipped as the instrument does; the sign of rectified ones is kept. Arguments as `apply_output_map`."""
    limits = {name: text for name, text in ports.output_map.items() if text != "abs"}
    return apply_output_map(replace(ports, output_map=limits), values)


def possible_signs(ports: Ports) -> list[dict[str, float]]:
    """Return the combinations of the first signs of rectified outputs, by name: one empty combination if there are none.

    Example:
        >>> possible_signs(Ports((), ("speed",), output_map={"speed": "abs"}))
        [{'speed': 1.0}, {'speed': -1.0}]
    """
    rectified = [name for name in ports.output if ports.output_map.get(name) == "abs"]
    return [dict(zip(rectified, signs, strict=True)) for signs in itertools.product((1.0, -1.0), repeat=len(rectified))]


def with_signs(ports: Ports, recorded: Tensor, signs: Mapping[str, float]) -> Tensor:
    """Return recorded outputs, the rectified ones with signs by which they are smooth; outputs that have signs keep them.

    Args:
        ports: Ports with the maps.
        recorded: SI units, shape (time, outputs).
        signs: First sign of each rectified output, by name.
    """
    if not signs:
        return recorded
    columns = []
    for name, column in zip(ports.output, recorded.unbind(-1), strict=True):
        values = column.numpy()
        if name in signs and values.min() >= -MAX_NEGATIVE * float(values.max() - values.min()):
            columns.append(column * signs[name] * torch.as_tensor(smooth_signs(values)))
        else:
            columns.append(column)
    return torch.stack(columns, -1)

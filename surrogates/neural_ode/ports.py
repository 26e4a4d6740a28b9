"""`Ports`: names and units at the edges of a surrogate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Ports:
    """Names and units at the edges of a surrogate.

    Attributes:
        drive: Names of the drive channels.
        output: Names of the output channels.
        parameters: Names of per-trace constants.
        units: SI unit of each name.
        interpolation: How each drive ran between samples where it was fitted.
    """

    drive: tuple[str, ...]
    output: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    interpolation: Mapping[str, str] = field(default_factory=dict)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Drives, then parameters: the order in which the vector field sees them."""
        return (*self.drive, *self.parameters)

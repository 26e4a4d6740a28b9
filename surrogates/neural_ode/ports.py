"""`Ports`: names and units of the drives, outputs and parameters of a surrogate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...errors import TraceError


@dataclass(frozen=True)
class Ports:
    """Names and units of the drives, outputs and parameters of a surrogate.

    Attributes:
        drive: Names of the drive channels.
        output: Names of the output channels.
        parameters: Names of the constants of a recording.
        units: SI unit of each name.
        interpolation: "held", "linear" or "spline": how each drive ran between samples in the fitted recordings.
        output_map: What the instrument does to an output, by name: "abs", or "clip:low:high"; the outputs of a run have passed
            it.
    """

    drive: tuple[str, ...]
    output: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    interpolation: Mapping[str, str] = field(default_factory=dict)
    output_map: Mapping[str, str] = field(default_factory=dict)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Drives, then parameters: the order in which the vector field sees them."""
        return (*self.drive, *self.parameters)


def check_unit(name: str, unit: str | None, own_name: str, own_unit: str | None) -> None:
    """Refuse a channel whose unit is not that of the port; one without a unit is assumed to be in it.

    Raises:
        TraceError: the units differ.
    """
    if unit and own_unit and unit != own_unit:
        raise TraceError(
            f"{name!r} is in {unit}, the surrogate's {own_name!r} is in {own_unit}; convert it, or read the file with "
            f"units={{{name!r}: '{own_unit}'}} if its header is wrong."
        )

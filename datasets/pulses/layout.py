"""`PulseLayout`: the information about a file of pulses that the file does not contain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...validation import number, one_of
from .registry import all_layouts

#: Roles that the column of reads can have.
READS = ("conductance", "resistance", "current")
#: What a column of a table of pulses can be.
ROLES = ("device", "cycle", "pulse", "direction", *READS, "read_voltage", "voltage", "width", "time")


@dataclass(frozen=True)
class PulseLayout:
    r"""How a file of pulses is built, where the file does not contain this information.

    Attributes:
        layout: "long", a row for each read with columns for device, cycle, pulse and direction; "up-down", two columns,
            the reads after SET and after RESET pulses; "ramps", a column for each ramp of one polarity; "auto".
        polarity: "SET" or "RESET", of all pulses of a file without directions.
        read_voltage: Voltage [V] of the reads, where the file has currents.
        conductance_unit: Unit of the column or columns of reads: "uS", "kOhm", "nA", or "" for a normalised conductance.
        columns: Column name by role, where the names are not known ones; "" leaves a role out. The roles are device, cycle,
            pulse, direction, conductance, resistance, current, read_voltage, voltage, width and time.

    Raises:
        ConfigError: an unknown layout, polarity or role, or a read voltage that is not a positive number.

    Example:
        >>> import pathlib, tempfile
        >>> from spinode.datasets import PulseLayout, read_trace
        >>> layout = PulseLayout("ramps", polarity="SET", read_voltage=0.1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "set.csv")
        ...     _ = path.write_text("ramp 1 (nA),ramp 2 (nA)\n100,110\n150,170\n200,\n")
        ...     traces = read_trace(path, pulses=layout)
        >>> [len(trace) for trace in traces], round(float(traces[0].output["conductance"][0]), 9)
        ([3, 2], 1e-06)
    """

    layout: str = "auto"
    polarity: str | None = None
    read_voltage: float | None = None
    conductance_unit: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_of("layout", self.layout, ("auto", *all_layouts()))
        one_of("polarity", self.polarity, ("SET", "RESET", None))
        if self.read_voltage is not None:
            object.__setattr__(self, "read_voltage", number("read_voltage", self.read_voltage, 0, above=True, unit="V"))
        for role in self.columns:
            one_of("a role in columns", role, ROLES)

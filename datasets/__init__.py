"""Where traces come from: readers of measurement files, reference physics, shipped samples."""

# A relative import: `import datasets` from the repository root must fail loudly instead of loading a second copy.
from ..errors import SpinodeError as _SpinodeError  # noqa: F401
from .devices import (
    STEP_PRESETS as STEP_PRESETS,
    ExponentialStep as ExponentialStep,
    LinearStep as LinearStep,
    SoftBounds as SoftBounds,
    TiO2 as TiO2,
    WeakReset as WeakReset,
)
from .macrospin import Macrospin as Macrospin
from .pulse_columns import PulseLayout as PulseLayout
from .pulse_traces import pulse_traces as pulse_traces
from .pulse_write import write_pulses as write_pulses
from .read import read_trace as read_trace
from .samples import sample_path as sample_path, samples as samples
from .write import write_csv as write_csv

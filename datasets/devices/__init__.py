"""Reference physics of memory devices: each model one file, a `spinode.Synapse` that also makes traces."""

from .steps import (
    STEP_PRESETS as STEP_PRESETS,
    ExponentialStep as ExponentialStep,
    LinearStep as LinearStep,
    SoftBounds as SoftBounds,
)
from .tio2 import TiO2 as TiO2
from .weak_reset import WeakReset as WeakReset

"""Reference physics of memory devices: each model one file, a `spinode.Synapse` that also makes traces."""

from .domain_wall import DomainWall as DomainWall
from .lookup import LookUpTable as LookUpTable
from .lookup_file import read_lookup_tables as read_lookup_tables
from .mram import STTMRAM as STTMRAM
from .stanford_pku import StanfordPKU as StanfordPKU
from .steps import (
    STEP_PRESETS as STEP_PRESETS,
    ExponentialStep as ExponentialStep,
    LinearStep as LinearStep,
    SoftBounds as SoftBounds,
)
from .tio2 import TiO2 as TiO2
from .vteam import VTEAM as VTEAM
from .weak_reset import WeakReset as WeakReset
from .write_errors import (
    flip_bits as flip_bits,
    overdrive_for as overdrive_for,
    write_energy as write_energy,
    write_error_rate as write_error_rate,
)

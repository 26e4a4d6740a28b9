"""A measurement file in, a fast differentiable device model out, and a network trained on it."""

from .config import FitConfig as FitConfig
from .embedding import Embedding as Embedding
from .errors import (
    ConfigError as ConfigError,
    DeviceWarning as DeviceWarning,
    DomainError as DomainError,
    DomainWarning as DomainWarning,
    ExportError as ExportError,
    FileFormatError as FileFormatError,
    FitError as FitError,
    KernelWarning as KernelWarning,
    SpinodeError as SpinodeError,
    TraceError as TraceError,
    TraceWarning as TraceWarning,
    UnitError as UnitError,
)
from .evaluate import Evaluation as Evaluation, evaluate as evaluate
from .field import GreyBoxField as GreyBoxField, MLPField as MLPField, SIRate as SIRate
from .fit import fit as fit
from .free_run import Run as Run
from .integrate import held as held, linear as linear
from .persist import load as load, save as save
from .resample import resample as resample
from .rollout import rollout as rollout
from .surrogate import Surrogate as Surrogate
from .synapse import Pulses as Pulses, Synapse as Synapse, SynapseModel as SynapseModel
from .trace import Trace as Trace, TraceSet as TraceSet

__version__ = "0.1.0"  # the only place: the build reads it here

"""A measurement file in, a fast differentiable device model out, and a network trained on it."""

from .contracts.synapse import Pulses as Pulses, Synapse as Synapse, SynapseModel as SynapseModel
from .dynamics.field import GreyBoxField as GreyBoxField, MLPField as MLPField, SIRate as SIRate
from .dynamics.integrate import linear_interpolation as linear_interpolation, zero_order_hold as zero_order_hold
from .dynamics.rollout import rollout as rollout
from .errors import (
    ConfigError as ConfigError,
    DeviceWarning as DeviceWarning,
    DomainError as DomainError,
    DomainWarning as DomainWarning,
    ExportError as ExportError,
    FileFormatError as FileFormatError,
    FitError as FitError,
    KernelWarning as KernelWarning,
    SettlingWarning as SettlingWarning,
    SpinodeError as SpinodeError,
    TraceError as TraceError,
    TraceWarning as TraceWarning,
    UnitError as UnitError,
)
from .surrogates.artifacts import load as load
from .surrogates.neural_ode.embedding import Embedding as Embedding
from .surrogates.neural_ode.evaluation.evaluate import Evaluation as Evaluation, evaluate as evaluate
from .surrogates.neural_ode.evaluation.memory import (
    MemoryFloor as MemoryFloor,
    measure_memory_floor as measure_memory_floor,
    memory_floor as memory_floor,
)
from .surrogates.neural_ode.fitting.config import FitConfig as FitConfig
from .surrogates.neural_ode.fitting.fit import fit as fit
from .surrogates.neural_ode.fleet.fit_many import Fleet as Fleet, fit_many as fit_many
from .surrogates.neural_ode.free_run import FreeRun as FreeRun
from .surrogates.neural_ode.report import report as report
from .surrogates.neural_ode.surrogate import Surrogate as Surrogate
from .traces.inspect import diagnose as diagnose
from .traces.resample import resample as resample
from .traces.trace import Trace as Trace, TraceSet as TraceSet
from .version import __version__ as __version__

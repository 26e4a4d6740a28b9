"""Device models built on a fitted `spinode.Surrogate`: oscillators, reservoirs, synapses."""

# A relative import: `import surrogates` from the repository root must fail loudly instead of loading a second copy.
from ..device_weights import DeviceWeights as DeviceWeights
from ..errors import SpinodeError as _SpinodeError  # noqa: F401
from ..programming import (
    Programmer as Programmer,
    ProportionalProgrammer as ProportionalProgrammer,
    SignProgrammer as SignProgrammer,
    StochasticProgrammer as StochasticProgrammer,
    WriteVerify as WriteVerify,
    Written as Written,
)
from .convert import WriteError as WriteError, to_devices as to_devices
from .fast import WithFastResponse as WithFastResponse, fast_response as fast_response
from .fit_synapse import SynapseConfig as SynapseConfig, fit_synapse as fit_synapse
from .ideal import IdealSynapse as IdealSynapse
from .layers import DeviceConv2d as DeviceConv2d, DeviceLayer as DeviceLayer, DeviceLinear as DeviceLinear
from .network import OscillatorNetwork as OscillatorNetwork
from .optimiser import DeviceOptimizer as DeviceOptimizer
from .population import Population as Population
from .predict import OneStep as OneStep, band as band, one_step as one_step
from .reservoir import (
    EchoState as EchoState,
    Feedback as Feedback,
    LinearNodes as LinearNodes,
    Readout as Readout,
    Reservoir as Reservoir,
    RidgeStatistics as RidgeStatistics,
    TanhNodes as TanhNodes,
    mask as mask,
    reservoirpy_node as reservoirpy_node,
)
from .retention import Retention as Retention, fit_retention as fit_retention
from .stochastic import (
    StochasticConfig as StochasticConfig,
    StochasticSurrogate as StochasticSurrogate,
    fit_stochastic as fit_stochastic,
)
from .synapse import SynapseSurrogate as SynapseSurrogate
from .synapse_report import synapse_report as synapse_report
from .zoo import card as card, load as load, zoo as zoo

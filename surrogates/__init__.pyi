"""Device models built on a fitted `spinode.Surrogate`: oscillators, reservoirs, synapses."""

from . import testing as testing, zoo as zoo
from .layers import (
    DeviceOptimizer as DeviceOptimizer,
    DeviceWeights as DeviceWeights,
    Programmer as Programmer,
    ProportionalProgrammer as ProportionalProgrammer,
    SignProgrammer as SignProgrammer,
    StochasticProgrammer as StochasticProgrammer,
    WriteResult as WriteResult,
    WriteVerify as WriteVerify,
)
from .layers.binary_vgg import binary_vgg as binary_vgg
from .layers.conductance_table import (
    read_conductances as read_conductances,
    write_conductances as write_conductances,
)
from .layers.convert import WriteError as WriteError, to_devices as to_devices
from .layers.crossbar import Crossbar as Crossbar
from .layers.device_layers import DeviceConv2d as DeviceConv2d, DeviceLayer as DeviceLayer, DeviceLinear as DeviceLinear
from .layers.drift import drift as drift
from .layers.ideal import IdealSynapse as IdealSynapse
from .neural_ode.fleet.fit_many import Fleet as Fleet, fit_many as fit_many
from .neural_ode.fleet.small_signal import SmallSignal as SmallSignal, small_signal as small_signal
from .neural_ode.fleet.start import FleetStart as FleetStart, find_start as find_start
from .oscillators.fast_response import WithFastResponse as WithFastResponse, fast_response as fast_response
from .oscillators.network import OscillatorNetwork as OscillatorNetwork
from .oscillators.stochastic import (
    StochasticConfig as StochasticConfig,
    StochasticSurrogate as StochasticSurrogate,
    fit_stochastic as fit_stochastic,
)
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
from .synapses.config import SynapseConfig as SynapseConfig
from .synapses.fit import fit_synapse as fit_synapse
from .synapses.model import SynapseSurrogate as SynapseSurrogate
from .synapses.population import Population as Population
from .synapses.predict import (
    OneStepPrediction as OneStepPrediction,
    predict_one_step as predict_one_step,
    prediction_interval as prediction_interval,
)
from .synapses.report import synapse_report as synapse_report
from .synapses.retention import Retention as Retention, fit_retention as fit_retention

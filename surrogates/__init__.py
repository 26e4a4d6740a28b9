"""Device models built on a fitted `spinode.Surrogate`: oscillators, reservoirs, synapses."""

# A relative import: `import surrogates` from the repository root must fail loudly instead of loading a second copy.
from ..errors import SpinodeError as _SpinodeError  # noqa: F401
from .convert import WriteError as WriteError, to_devices as to_devices
from .ideal import IdealSynapse as IdealSynapse
from .layers import DeviceConv2d as DeviceConv2d, DeviceLayer as DeviceLayer, DeviceLinear as DeviceLinear
from .optimiser import DeviceOptimizer as DeviceOptimizer
from .programming import (
    Programmer as Programmer,
    ProportionalProgrammer as ProportionalProgrammer,
    SignProgrammer as SignProgrammer,
    StochasticProgrammer as StochasticProgrammer,
    WriteVerify as WriteVerify,
    Written as Written,
)
from .weights import DeviceWeights as DeviceWeights

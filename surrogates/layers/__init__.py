"""Layers of torch with their weights in memory devices; their optimiser, programmers and conversion."""

from ...device_weights.optimizer import DeviceOptimizer as DeviceOptimizer
from ...device_weights.programming import (
    Programmer as Programmer,
    ProportionalProgrammer as ProportionalProgrammer,
    SignProgrammer as SignProgrammer,
    StochasticProgrammer as StochasticProgrammer,
)
from ...device_weights.weights import DeviceWeights as DeviceWeights
from ...device_weights.write_verify import WriteResult as WriteResult, WriteVerify as WriteVerify

"""Layers of torch whose weights live in memory devices, with their optimizer, programmers and conversion."""

from ...device_weights.programming import (
    Programmer as Programmer,
    ProportionalProgrammer as ProportionalProgrammer,
    SignProgrammer as SignProgrammer,
    StochasticProgrammer as StochasticProgrammer,
    WriteVerify as WriteVerify,
    Written as Written,
)
from ...device_weights.weights import DeviceWeights as DeviceWeights

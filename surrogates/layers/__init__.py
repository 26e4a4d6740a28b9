"""Layers of torch whose weights live in memory devices, with their optimizer, programmers and conversion."""

from ...device_weights.programming import (
    Programmer as Programmer,
    ProportionalProgrammer as ProportionalProgrammer,
    SignProgrammer as SignProgrammer,
    StochasticProgrammer as StochasticProgrammer,
)
from ...device_weights.weights import DeviceWeights as DeviceWeights
from ...device_weights.write_verify import WriteResult as WriteResult, WriteVerify as WriteVerify

"""Conformance checks of the contracts, for models of your own, and small models with known equations.

A new surrogate, synapse or task stream gets all checks from one method; pytest finds them through the subclass:

    class TestMyDevice(SynapseContract):
        def make(self):
            return MyDevice()

Nothing here needs pytest: each `test_` method asserts by itself.
"""

from .stream import StreamContract as StreamContract
from .surrogate import (
    SPLINE_LOOKAHEAD as SPLINE_LOOKAHEAD,
    SurrogateContract as SurrogateContract,
    resonator as resonator,
    small_surrogate as small_surrogate,
)
from .synapse import SynapseContract as SynapseContract

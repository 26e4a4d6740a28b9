"""Conformance tests of the contracts, for your own synapses and task streams.

Those of surrogates are in `spinode.surrogates.testing`. Subclass a suite, implement `make`, and pytest runs all its tests:

    class TestMyDevice(SynapseContract):
        def make(self):
            return MyDevice()

The suites do not need pytest: each `test_` method only uses assertions.
"""

from .synapse import SynapseContract as SynapseContract
from .task_stream import StreamContract as StreamContract

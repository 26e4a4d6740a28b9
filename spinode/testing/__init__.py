"""Conformance checks of the contracts, for models of your own; those of surrogates are in `spinode.surrogates.testing`.

A new synapse or task stream gets all checks from one method; pytest finds them through the subclass:

    class TestMyDevice(SynapseContract):
        def make(self):
            return MyDevice()

Nothing here needs pytest: each `test_` method asserts by itself.
"""

from .synapse import SynapseContract as SynapseContract
from .task_stream import StreamContract as StreamContract

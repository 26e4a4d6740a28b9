"""`SpikingLoop`: images through a spiking network with plastic synapses, compiled or in plain torch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ... import kernels
from ...kernels import spiking
from ..rules.vdsp import DeviceVariation, SwitchingLaw
from .network import SpikingNetwork, SpikingState
from .plain import PlainLoop


@dataclass(frozen=True)
class SpikingLoop:
    """A network and the law of its synapses.

    Attributes:
        network: Constants of the neurons.
        law: How synapses change when their output neuron fires; also how they are read.
        variation: Imperfections of the synapses.
        key: Key of their random numbers.

    Example:
        >>> loop = SpikingLoop(SpikingNetwork(output_gain=20.0), SwitchingLaw(), DeviceVariation())
        >>> state = SpikingState.at_rest(torch.full((2, 1), 0.5, dtype=torch.float64))
        >>> spikes, _ = loop.run(state, torch.tensor([[1.0, 0.0]]))
        >>> int(spikes) > 0, state.weights[:, 0].round(decimals=1).tolist()
        (True, [0.5, 0.5])
    """

    network: SpikingNetwork
    law: SwitchingLaw
    variation: DeviceVariation
    key: int = 0

    def run(
        self,
        state: SpikingState,
        inputs: Tensor,
        *,
        plasticity: str = "switching",
        strength: Tensor | None = None,
        testing: bool = False,
        spikes: Tensor | None = None,
        position: int = 0,
    ) -> tuple[Tensor, int]:
        """Show images one after the other.

        Args:
            state: Changed in place.
            inputs: Features, shape (images, inputs).
            plasticity: "frozen": constant weights. "switching": those of a neuron that fires follow the law. "pausing":
                constant, and the loop returns after each output spike, of the neuron `state.counts[3]`.
            strength: Factor of each device's steps, see `DeviceVariation.factors`.
            testing: True for the gain and the inhibition of tests.
            spikes: Spikes so far, of a loop that was paused; changed in place.
            position: Step at which to go on.

        Returns:
            Spikes of each output neuron during each image, int64, shape (images, outputs); and the step that comes next,
            images * steps at the end.
        """
        currents = self.network.currents(inputs)
        if spikes is None:
            spikes = torch.zeros(len(inputs), state.weights.shape[1], dtype=torch.int64)
        return spikes, self.advance(state, currents, spikes, plasticity, strength, position, testing=testing)

    def advance(
        self,
        state: SpikingState,
        currents: Tensor,
        spikes: Tensor,
        plasticity: str,
        strength: Tensor | None = None,
        position: int = 0,
        *,
        testing: bool = False,
    ) -> int:
        """Do the same for currents of the input neurons, and return the step that comes next.

        Args:
            state: Changed in place.
            currents: See `SpikingNetwork.currents`.
            spikes: Counted up, shape (images, outputs).
            plasticity: See `run`.
            strength: See `run`.
            position: See `run`.
            testing: See `run`.
        """
        if not kernels.available():
            plain = PlainLoop(self.network, self.law, self.variation, strength, self.key, testing=testing)
            return plain.run(state, currents, spikes, plasticity, position)
        law, variation = self.law, self.variation
        constants = (law.rate, *law.gamma, *law.alpha, *law.threshold, *law.scale, law.floor)
        return spiking.run(
            state.tensors(),
            currents,
            spikes,
            self.network.times(testing=testing),
            (*constants, variation.cycle_spread, float(variation.levels), law.low),
            steps=self.network.steps,
            plasticity=plasticity,
            strength=strength,
            key=self.key,
            position=position,
        )

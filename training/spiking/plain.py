"""The loop of a spiking network in plain torch; its compiled twin is kernels/spiking.cpp."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...random import philox
from ..rules.vdsp import DeviceVariation, SwitchingLaw
from .network import ADAPTATION, CURRENT, INHIBITED, POTENTIAL, WAIT, SpikingNetwork, SpikingState


class PlainLoop:
    """Run images through a network, step by step.

    Args:
        network: Constants of the neurons.
        law: How synapses change.
        variation: Imperfections of the synapses; the factors of devices are `strength`.
        strength: Factor of each device's steps, shape (inputs, outputs); None for 1.
        key: Key of the random numbers, which are found by the number of the update.
        testing: True for the gain and the inhibition of tests.
    """

    def __init__(
        self,
        network: SpikingNetwork,
        law: SwitchingLaw,
        variation: DeviceVariation,
        strength: Tensor | None,
        key: int,
        *,
        testing: bool,
    ) -> None:
        self.network, self.law, self.variation = network, law, variation
        self.strength, self.key = strength, key
        self.gain = network.output_gain * (network.test_gain if testing else 1.0)
        self.inhibition = network.test_inhibition if testing else network.inhibition
        self.kept = math.exp(-network.step / network.tau_synapse) if network.tau_synapse else 0.0

    def run(self, state: SpikingState, currents: Tensor, spikes: Tensor, plasticity: str, position: int) -> int:
        """Run until the end, or with "pausing" until an output neuron has fired; return the next step.

        Args:
            state: Changed in place.
            currents: Currents of the input neurons, shape (images, inputs).
            spikes: Spikes of each output neuron during each image, counted up, int64, shape (images, outputs).
            plasticity: "frozen", "switching" (the law) or "pausing".
            position: Step at which to begin, image * steps + step.
        """
        steps = self.network.steps
        end = len(currents) * steps
        while position < end:
            image = position // steps
            if position % steps == 0 and self.network.pause:
                self._rest(state)
            winner = self._outputs(state, self._inputs(state, currents[image]))
            position += 1
            if winner < 0:
                continue
            spikes[image, winner] += 1
            state.counts[3] = winner
            if plasticity == "pausing":
                return position
            if plasticity == "switching":
                self._learn(state, winner)
        state.counts[3] = -1
        return end

    def _inputs(self, state: SpikingState, current: Tensor) -> Tensor:
        """Advance the input neurons by a step and return which of them fire, bool, shape (inputs,)."""
        network = self.network
        v, wait = state.pre.unbind()
        wait -= network.step
        charging = network.step - wait.clamp(0, network.step)
        v += (current - v) * (1 - (-charging / network.tau_input).exp())
        fired = v > 1
        wait[fired] = network.refractory_input + self._crossing(v[fired], current[fired], network.tau_input)
        v[fired] = -1.0
        return fired

    def _outputs(self, state: SpikingState, fired: Tensor) -> int:
        """Advance the output neurons by a step and return that which fires, or -1."""
        network, post, low = self.network, state.post, self.law.low
        v, wait, inhibited, adaptation, current = post.unbind()
        arriving = low * int(fired.sum()) + (1 - low) * state.weights[fired].sum(0)
        post[CURRENT] = self.kept * current + (1 - self.kept) * arriving
        drive = self.gain * post[CURRENT] - post[ADAPTATION]
        wait -= network.step
        charging = network.step - wait.clamp(0, network.step)
        v += (drive - v) * (1 - (-charging / network.tau_output).exp())
        winner = int(v.argmax())
        fires = bool(v[winner] > 1)
        if fires:
            crossing = self._crossing(v[winner], drive[winner], network.tau_output)
            post[WAIT, winner] = network.refractory_output + crossing
            post[POTENTIAL, winner] = 0.0
            others = (inhibited <= network.step / 2).index_fill(0, torch.tensor(winner), False)
            inhibited.masked_fill_(others, self.inhibition)
        held = post[INHIBITED] > network.step / 2
        v.masked_fill_(held, 0.0).clamp_(min=-1.0)
        post[INHIBITED] -= network.step * held
        post[ADAPTATION] -= network.step / network.tau_adaptation * adaptation
        if fires:
            post[ADAPTATION, winner] += network.adaptation
        return winner if fires else -1

    def _crossing(self, v: Tensor, current: Tensor, tau: float) -> Tensor:
        """Return when v crossed 1, from the start of the step at whose end it was reached."""
        time = self.network.step + tau * torch.log1p(-(v - 1) / (current - 1))
        return time.clamp(min=0.0).where(current > v, 0.0)  # it was above 1 before

    def _rest(self, state: SpikingState) -> None:
        """Let all states decay for the pause between two images."""
        network, pause = self.network, self.network.pause
        state.pre[POTENTIAL] *= math.exp(-pause / network.tau_input)
        state.pre[WAIT] -= pause
        state.post[POTENTIAL] *= math.exp(-pause / network.tau_output)
        state.post[WAIT] -= pause
        state.post[INHIBITED] = (state.post[INHIBITED] - pause).clamp(min=0)
        state.post[ADAPTATION] *= math.exp(-pause / network.tau_adaptation)
        state.post[CURRENT] *= math.exp(-pause / network.tau_synapse) if network.tau_synapse else 0.0

    def _learn(self, state: SpikingState, winner: int) -> None:
        """Change the synapses of a neuron by the potentials of their inputs."""
        weight, potential, variation = state.weights[:, winner], state.pre[POTENTIAL], self.variation
        step = self.law.step(weight, potential)
        if self.strength is not None:
            step *= self.strength[:, winner]
        count = len(weight)
        if variation.cycle_spread or variation.levels:
            uniform = uniform_numbers(self.key, int(state.counts[0]), 2 * count)
            step *= 1 + variation.cycle_spread * (2 * uniform[:count] - 1)
        moved = (weight + step).clamp(0, 1)
        if variation.levels:
            place = moved * (variation.levels - 1)
            above = (uniform[count:] < place - place.floor()).double()
            moved = ((place.floor() + above) / (variation.levels - 1)).where(step != 0, weight)
        state.weights[:, winner] = moved
        state.counts[:3] += torch.tensor([1, *self.law.pulses(potential)])


def uniform_numbers(key: int, update: int, count: int) -> Tensor:
    """Return uniform numbers between 0 and 1 by their position, float64, shape (count,).

    Args:
        key: Key of the sequence.
        update: Number of the update.
        count: Numbers per update, on which they depend.

    Example:
        >>> bool(((uniform_numbers(1, 0, 1000).mean() - 0.5).abs() < 0.05))
        True

    Source: Philox4x32-10 of Salmon et al., SC11 (2011).
    """
    length = -(-count // 4)
    counter = torch.arange(length)
    update_low, update_high = torch.full_like(counter, update & 0xFFFFFFFF), torch.full_like(counter, update >> 32)
    words = philox((counter, update_low, update_high, torch.zeros_like(counter)), key)
    return (torch.cat(words)[:count].double() + 0.5) * 2**-32

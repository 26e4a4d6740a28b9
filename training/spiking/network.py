"""`SpikingNetwork`: constants of a layer of leaky integrate-and-fire neurons of which one wins, and `SpikingState`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ...errors import ConfigError
from ...validation import number

#: Rows of the state of the output neurons.
POTENTIAL, WAIT, INHIBITED, ADAPTATION, CURRENT = range(5)


@dataclass(frozen=True)
class SpikingNetwork:
    """Constants of a network of input neurons, one for each feature, that excite output neurons of which one wins.

    A membrane potential V follows tau dV/dt = J - V, exactly over each step; at 1 the neuron fires, at the time within the step
    at which V crosses 1, and its potential is reset and stays there for the refractory time. Input neurons have
    J = input_gain x + input_bias and are reset to -1. Output neurons have J = output_gain y - n and are reset to 0, with

        y: the weights of the inputs that fired in a step, summed, and smoothed with tau_synapse
        n: adaptation, which decays with tau_adaptation and grows by `adaptation` at each spike of the neuron.

    If several reach 1 in a step, only that of the highest potential fires. It sets the potentials of the others to 0, at the
    end of each step for the time `inhibition`. States go on from image to image; in a pause between them they only decay.

    Attributes:
        step: Length of a time step [s].
        presentation: Time for which an image is shown [s].
        pause: Time between two images [s].
        input_gain: Current of a feature of 1.
        input_bias: Current of a feature of 0; below 1 such a neuron charges but never fires.
        tau_input: Time constant of input neurons [s].
        refractory_input: Refractory time of input neurons [s], at least a step.
        output_gain: Current of output neurons by a weight of 1.
        tau_output: Time constant of output neurons [s].
        refractory_output: Refractory time of output neurons [s], at least a step.
        tau_synapse: Time constant of the synaptic current [s]; 0 for none.
        inhibition: Time for which the others are inhibited [s].
        adaptation: Growth of n at each spike.
        tau_adaptation: Time constant of n [s].
        test_gain: Factor of output_gain when neurons are labelled and tested.
        test_inhibition: Inhibition [s] in labelling and tests.

    Raises:
        ConfigError: times that are not positive, refractory times shorter than a step.

    Example:
        >>> network = SpikingNetwork()
        >>> network.steps, round(network.firing_rate(2.85))
        (70, 37)

    Source: Garg et al., Front. Neurosci. 16, 983950 (2022).
    """

    step: float = 0.005
    presentation: float = 0.35
    pause: float = 0.0
    input_gain: float = 2.0
    input_bias: float = 0.85
    tau_input: float = 0.03
    refractory_input: float = 0.005
    output_gain: float = 0.1
    tau_output: float = 0.03
    refractory_output: float = 0.005
    tau_synapse: float = 0.005
    inhibition: float = 0.01
    adaptation: float = 0.01
    tau_adaptation: float = 1.0
    test_gain: float = 200.0
    test_inhibition: float = 0.01

    def __post_init__(self) -> None:
        positive = ("step", "presentation", "tau_input", "tau_output", "tau_adaptation", "output_gain", "test_gain")
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            low = None if name in ("input_gain", "input_bias") else 0
            object.__setattr__(self, name, number(f"{name} of the network", value, low, above=name in positive))
        for name in ("refractory_input", "refractory_output", "presentation"):
            if getattr(self, name) < self.step * (1 - 1e-9):
                raise ConfigError(
                    f"{name} is {getattr(self, name):g} s, shorter than a step of {self.step:g} s; expected at least a step: "
                    "raise it, or shorten `step`."
                )

    @property
    def steps(self) -> int:
        """Steps for which an image is shown."""
        return round(self.presentation / self.step)

    def currents(self, inputs: Tensor) -> Tensor:
        """Return the currents of the input neurons, float64, shape of `inputs`.

        Args:
            inputs: Features, usually 0 .. 1.
        """
        return (inputs.double() * self.input_gain).add_(self.input_bias).contiguous()

    def firing_rate(self, current: float) -> float:
        """Return the rate [Hz] at which an input neuron fires under a constant current.

        It is 1 / (refractory + tau ln((J + 1) / (J - 1))) above J = 1, and 0 up to there.

        Args:
            current: J.
        """
        if current <= 1:
            return 0.0
        ratio = torch.tensor((current + 1) / (current - 1), dtype=torch.float64)
        return 1 / (self.refractory_input + self.tau_input * float(ratio.log()))

    def times(self, *, testing: bool = False) -> tuple[float, ...]:
        """Return the constants in the order of kernels/spiking.cpp."""
        gain = self.output_gain * (self.test_gain if testing else 1.0)
        inhibition = self.test_inhibition if testing else self.inhibition
        inputs = (self.tau_input, self.refractory_input)
        outputs = (self.tau_output, self.refractory_output, gain, self.tau_synapse)
        return (self.step, *inputs, *outputs, inhibition, self.adaptation, self.tau_adaptation, self.pause)


#: Network for devices, which do not switch below a threshold: dark pixels charge to just below 1, input neurons stay at -1 for
#: longer, and images are shorter, since a device learns faster than the ideal law. Chosen on a validation set, see
#: benchmarks/vdsp.py.
DEVICE_NETWORK = SpikingNetwork(presentation=0.15, input_bias=0.97, refractory_input=0.015, output_gain=0.12)


@dataclass(frozen=True, eq=False)
class SpikingState:
    """What a network changes while it runs; all tensors are changed in place.

    Attributes:
        pre: Potential of the input neurons and the time until they are released [s], float64, shape (2, inputs).
        post: Potential, time until released [s], time inhibited [s], adaptation and current of the output neurons, float64,
            shape (5, outputs).
        weights: W, float64, shape (inputs, outputs).
        counts: Updates, SET pulses, RESET pulses, and the neuron that fired last or -1, int64, shape (4,).

    Example:
        >>> SpikingState.at_rest(torch.rand(784, 10, dtype=torch.float64)).post.shape
        torch.Size([5, 10])
    """

    pre: Tensor
    post: Tensor
    weights: Tensor
    counts: Tensor

    @classmethod
    def at_rest(cls, weights: Tensor) -> SpikingState:
        """Return the state of a network that has had no input; it shares the weights."""
        inputs, outputs = weights.shape
        zeros = weights.new_zeros
        return cls(zeros(2, inputs), zeros(5, outputs), weights, torch.zeros(4, dtype=torch.int64))

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the tensors by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

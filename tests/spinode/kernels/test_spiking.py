"""The compiled loop of a spiking network and its plain-torch twin take the same steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from spinode import kernels
from spinode.errors import ConfigError
from spinode.kernels import native, spiking
from spinode.training import DeviceVariation, SpikingNetwork, SwitchingLaw
from spinode.training.rules.vdsp import LAWS
from spinode.training.spiking.loop import SpikingLoop
from spinode.training.spiking.network import SpikingState

pytestmark = pytest.mark.skipif(not native.built, reason=f"this installation has no compiled kernels: {native.reason}")
NETWORK = SpikingNetwork(output_gain=0.8)
PAUSED = replace(NETWORK, pause=0.02, tau_synapse=0.0, refractory_input=0.0123, inhibition=0.0)
SPREAD = DeviceVariation(cycle_spread=0.5, device_spread=0.5, stuck_low=0.1, stuck_high=0.1)


def example(images=6, inputs=45, outputs=7):
    generator = torch.Generator().manual_seed(4)
    shown = torch.rand(images, inputs, generator=generator) * (torch.rand(images, inputs, generator=generator) < 0.5)
    return shown, torch.rand(inputs, outputs, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    ("network", "law", "variation", "testing"),
    [
        (NETWORK, "ideal", DeviceVariation(), False),
        (NETWORK, "ideal", DeviceVariation(), True),
        (PAUSED, "tio2", SPREAD, False),
        (PAUSED, "hzo", DeviceVariation(levels=9), False),
        (NETWORK, "hfo2", replace(SPREAD, levels=5), False),
    ],
)
def test_compiled_steps_equal_those_of_plain_torch(network, law, variation, testing):
    shown, initial = example()
    strength = variation.factors(initial, torch.Generator().manual_seed(5))
    results = []
    for mode in ("native", "torch"):
        state = SpikingState.at_rest(initial.clone())
        loop = SpikingLoop(network, LAWS[law], variation, key=2**61 + 7)
        with kernels.use(mode):
            spikes, position = loop.run(state, shown, strength=strength, testing=testing)
        results.append((spikes, position, state))
    (spikes, position, compiled), (plain_spikes, plain_position, plain) = results
    assert int(spikes.sum()) > 20
    assert torch.equal(spikes, plain_spikes)
    assert position == plain_position == 6 * network.steps
    assert torch.equal(compiled.counts, plain.counts)
    for name in ("pre", "post", "weights"):
        torch.testing.assert_close(getattr(compiled, name), getattr(plain, name), rtol=1e-9, atol=1e-9)


def arguments(**changes):
    shown, weights = example()
    state = SpikingState.at_rest(weights).tensors()
    own = {"state": state, "currents": shown.double(), "spikes": torch.zeros(6, 7, dtype=torch.int64)}
    constants = {"times": NETWORK.times(), "law": (0.1,) * 13, "steps": 70, "plasticity": "frozen"}
    return {**own, **constants, "strength": None, "key": 0, "position": 0, **changes}


def test_nothing_is_done_at_the_end():
    assert spiking.run(**arguments(position=420)) == 420


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"currents": torch.zeros(6, 44, dtype=torch.float64)}, "currents is .*; expected"),
        ({"currents": torch.zeros(6, 45)}, "currents is torch.float32"),
        ({"spikes": torch.zeros(6, 7)}, "spikes is torch.float32"),
        ({"spikes": torch.zeros(7, 6, dtype=torch.int64).T}, "takes contiguous arrays"),
        ({"strength": torch.zeros(45, 6, dtype=torch.float64)}, "strength is .*; expected"),
        ({"law": (0.1,) * 12}, "13 of the law; got 11 and 12"),
        ({"steps": 0}, "steps, position, key and plasticity are"),
        ({"plasticity": "learning"}, "steps, position, key and plasticity are"),
    ],
)
def test_wrong_arguments_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        spiking.run(**arguments(**changes))


def test_constants_of_the_law_are_passed_in_order():
    """One update by hand: each constant has a value of its own."""
    law = SwitchingLaw(0.3, (1.5, 0.7), (0.9, 1.3), (0.2, 0.1), (1.1, 0.8), 0.05, 0.25)
    shown, initial = example(images=2)
    loop = SpikingLoop(NETWORK, law, DeviceVariation())
    state = SpikingState.at_rest(initial.clone())
    with kernels.use("native"):
        loop.run(state, shown, plasticity="pausing")
        stopped = state.counts[3].item()
        expected = initial[:, stopped] + law.step(initial[:, stopped], state.pre[0])
        again = SpikingState.at_rest(initial.clone())
        spikes, end = loop.run(again, shown, plasticity="pausing")
        once = torch.zeros_like(spikes)
        state = SpikingState.at_rest(initial.clone())
        short = replace(NETWORK, presentation=(end % NETWORK.steps or NETWORK.steps) * NETWORK.step)
        if end <= NETWORK.steps:
            SpikingLoop(short, law, DeviceVariation()).run(state, shown[:1], spikes=once[:1])
            torch.testing.assert_close(state.weights[:, stopped], expected.clamp(0, 1), rtol=1e-12, atol=1e-12)
    assert end <= NETWORK.steps

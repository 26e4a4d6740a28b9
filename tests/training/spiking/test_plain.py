"""The spiking network against analytical solutions, in the mode that is available and in plain torch."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from spinode import kernels
from spinode.errors import ConfigError
from spinode.kernels import native
from spinode.training import DeviceVariation, SpikingNetwork, SwitchingLaw
from spinode.training.spiking.loop import SpikingLoop
from spinode.training.spiking.network import SpikingState
from spinode.training.spiking.plain import uniform_numbers

DOUBLE = torch.float64
MODES = ("torch", "native") if native.built else ("torch",)
pytestmark = pytest.mark.parametrize("mode", MODES)
#: No adaptation, no smoothing, no competition.
SIMPLE = SpikingNetwork(adaptation=0.0, tau_synapse=0.0, inhibition=0.0)


def run(mode, network, weights, inputs, *, law=None, variation=None, plasticity="frozen", state=None, **arguments):
    state = state or SpikingState.at_rest(weights)
    loop = SpikingLoop(network, law or SwitchingLaw(), variation or DeviceVariation(), key=3)
    with kernels.use(mode):
        spikes, position = loop.run(state, inputs, plasticity=plasticity, **arguments)
    return spikes, state, position


@pytest.mark.parametrize("step", [0.002, 0.005])
def test_firing_rate_of_input_neurons(mode, step):
    """1 / (refractory + tau ln((J + 1) / (J - 1))), whatever the step; an output neuron counts each input spike."""
    network = replace(SIMPLE, step=step, presentation=0.8, output_gain=1e9, refractory_output=step)
    weights = torch.ones(1, 1, dtype=DOUBLE)
    for feature in (0.2, 0.5, 1.0):
        spikes, _, _ = run(mode, network, weights, torch.tensor([[feature]]))
        current = network.input_gain * feature + network.input_bias
        rate = 1 / (network.refractory_input + network.tau_input * math.log((current + 1) / (current - 1)))
        assert rate == pytest.approx(network.firing_rate(current), rel=1e-12)
        first = network.tau_input * math.log(current / (current - 1))  # from 0 instead of -1
        assert abs(int(spikes) - (1 + (0.8 - first) * rate)) <= 1


def test_an_input_neuron_below_threshold_charges_and_never_fires(mode):
    spikes, state, _ = run(mode, SIMPLE, torch.ones(1, 1, dtype=DOUBLE), torch.zeros(3, 1))
    assert int(spikes.sum()) == 0
    time = 3 * SIMPLE.presentation
    assert float(state.pre[0]) == pytest.approx(0.85 * (1 - math.exp(-time / SIMPLE.tau_input)), rel=1e-12)
    assert SIMPLE.firing_rate(0.85) == 0.0


def test_an_input_neuron_is_reset_to_minus_one_for_the_refractory_time(mode):
    """After its first spike at tau ln(J / (J - 1)), and at the end of the refractory time, it charges from -1."""
    network = replace(SIMPLE, step=0.001, presentation=0.001, refractory_input=0.004, refractory_output=0.001)
    weights, inputs = torch.zeros(1, 1, dtype=DOUBLE), torch.ones(1, 1)
    current, fired = 2.85, 0.03 * math.log(2.85 / 1.85)
    _, state, _ = run(mode, network, weights, inputs.repeat(math.ceil(fired * 1000), 1))
    assert float(state.pre[0]) == -1.0
    released = fired + 0.004
    _, state, _ = run(mode, network, weights, inputs.repeat(20, 1))
    expected = current - (current + 1) * math.exp(-(0.020 - released) / 0.03)
    assert float(state.pre[0]) == pytest.approx(expected, rel=1e-10)


def test_adaptation_limits_the_rate_of_output_neurons(mode):
    """n grows by `adaptation` at a spike and decays: its mean is adaptation * tau * rate."""
    network = replace(SIMPLE, presentation=5.0, output_gain=100.0, adaptation=0.2, tau_adaptation=0.5)
    weights = torch.ones(4, 1, dtype=DOUBLE)
    adapted, state, _ = run(mode, network, weights, torch.ones(1, 4))
    free, _, _ = run(mode, replace(network, adaptation=0.0), weights, torch.ones(1, 4))
    assert int(adapted) <= int(free)
    assert float(state.post[3]) == pytest.approx(0.2 * 0.5 * int(adapted) / 5, rel=0.2)


def test_one_neuron_wins_and_inhibits_the_others(mode):
    weights = torch.tensor([[0.9, 0.5, 0.8]] * 20, dtype=DOUBLE)
    network = SpikingNetwork(output_gain=0.5, adaptation=0.0, inhibition=0.05)
    spikes, state, _ = run(mode, network, weights, torch.ones(1, 20), plasticity="pausing")
    assert spikes.tolist() == [[1, 0, 0]]
    assert int(state.counts[3]) == 0
    assert state.post[0].tolist() == [0.0, 0.0, 0.0]
    assert state.post[2, 1:].tolist() == pytest.approx([0.045, 0.045])
    spikes, _, _ = run(mode, network, weights, torch.ones(3, 20))
    assert int(spikes[:, 1].sum()) == 0  # the weakest never fires


def test_adaptation_shares_the_work(mode):
    weights = torch.tensor([[0.9, 0.85]] * 20, dtype=DOUBLE)
    network = SpikingNetwork(output_gain=0.6, adaptation=0.3)
    spikes, _, _ = run(mode, network, weights, torch.ones(4, 20))
    assert int(spikes[:, 1].sum()) > 0


def test_a_pause_decays_everything(mode):
    network = replace(SpikingNetwork(), pause=0.2, presentation=0.005)
    state = SpikingState(
        torch.tensor([[0.5], [0.3]], dtype=DOUBLE),
        torch.tensor([[-0.5], [0.3], [0.0], [0.4], [2.0]], dtype=DOUBLE),
        torch.zeros(1, 1, dtype=DOUBLE),
        torch.zeros(4, dtype=torch.int64),
    )
    run(mode, replace(network, input_gain=0.0, input_bias=0.0), state.weights, torch.zeros(1, 1), state=state)
    decay = math.exp(-0.2 / 0.03)
    assert float(state.pre[0]) == pytest.approx(0.5 * decay, rel=1e-12)  # not yet released at the end
    assert float(state.post[0]) == pytest.approx(-0.5 * decay, rel=1e-12)
    assert float(state.post[3]) == pytest.approx(0.4 * math.exp(-0.2) * 0.995, rel=1e-12)
    assert float(state.post[4]) == pytest.approx(2.0 * math.exp(-0.205 / 0.005), rel=1e-9)


def test_paused_runs_end_as_one_run(mode):
    inputs = torch.rand(6, 30, generator=torch.Generator().manual_seed(0))
    weights = torch.rand(30, 5, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    network = replace(SpikingNetwork(output_gain=1.0), pause=0.01)
    whole, state, end = run(mode, network, weights, inputs)
    paused, position, spikes = SpikingState.at_rest(weights), 0, None
    for _ in range(1000):
        spikes, _, position = run(
            mode, network, weights, inputs, plasticity="pausing", state=paused, spikes=spikes, position=position
        )
        if int(paused.counts[3]) < 0:
            break
    assert position == end == 6 * 70
    assert torch.equal(spikes, whole)
    assert torch.equal(paused.post, state.post)


def test_weights_stay_within_bounds_and_only_those_of_firing_neurons_change(mode):
    inputs = torch.rand(4, 30, generator=torch.Generator().manual_seed(0))
    weights = torch.rand(30, 5, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    before = weights.clone()
    spikes, state, _ = run(
        mode, SpikingNetwork(output_gain=1.0), weights, inputs, law=SwitchingLaw(rate=0.5), plasticity="switching"
    )
    assert 0 <= float(weights.min()) < float(weights.max()) <= 1
    changed = (weights != before).any(0)
    assert torch.equal(changed, spikes.sum(0) > 0)
    assert int(state.counts[0]) == int(spikes.sum())
    assert int(state.counts[1] + state.counts[2]) == 30 * int(spikes.sum())  # the ideal law has no threshold


def test_devices_with_levels_take_the_mean_step(mode):
    """Steps of a tenth of a level: their mean is that of exact weights, within five standard errors."""
    inputs, weights = torch.ones(1, 2000), torch.full((2000, 1), 0.5, dtype=DOUBLE)
    network = replace(SIMPLE, presentation=0.02, output_gain=1.0)
    law = SwitchingLaw(rate=0.02 / (0.5 * (math.e - 1)))  # a step of 0.02 at a potential of -1
    spikes, _, _ = run(mode, network, weights, inputs, law=law, variation=DeviceVariation(levels=6), plasticity="pausing")
    weights = torch.full((2000, 1), 0.4, dtype=DOUBLE)
    run(mode, network, weights, inputs, law=law, variation=DeviceVariation(levels=6), plasticity="switching")
    assert int(spikes) == 1
    levels = (weights * 5).round() / 5
    torch.testing.assert_close(weights, levels)
    share = float((weights > 0.5).double().mean())
    expected = 0.02 * 0.6 / 0.5 / 0.2
    assert abs(share - expected) < 5 * math.sqrt(expected * (1 - expected) / 2000)


def test_cycle_spread_is_uniform(mode):
    inputs, weights = torch.ones(1, 2000), torch.full((2000, 1), 0.5, dtype=DOUBLE)
    network = replace(SIMPLE, presentation=0.02, output_gain=1.0)
    run(mode, network, weights, inputs, variation=DeviceVariation(cycle_spread=0.5), plasticity="switching")
    factors = (weights - 0.5) / (0.004 * 0.5 * (math.e - 1))
    assert 0.5 <= float(factors.min()) < 0.51
    assert 1.49 < float(factors.max()) <= 1.5
    assert abs(float(factors.mean()) - 1) < 5 * 0.5 / math.sqrt(3 * 2000)


def test_stuck_devices_do_not_move(mode):
    weights = torch.full((4, 1), 0.5, dtype=DOUBLE)
    strength = torch.tensor([[0.0], [1.0], [0.5], [0.0]], dtype=DOUBLE)
    network = replace(SIMPLE, presentation=0.02, output_gain=10.0)
    run(mode, network, weights, torch.ones(1, 4), plasticity="switching", strength=strength)
    change = (weights - 0.5)[:, 0]
    assert change[0] == change[3] == 0
    assert float(change[2] / change[1]) == pytest.approx(0.5, rel=1e-9)


def test_uniform_numbers_are_found_by_their_place(mode):
    numbers = torch.stack([uniform_numbers(7, update, 1001) for update in (0, 1, 2**33)])
    assert numbers.unique().numel() > 0.999 * numbers.numel()
    assert 0 < float(numbers.min()) < float(numbers.max()) < 1
    assert torch.equal(numbers[1], uniform_numbers(7, 1, 1001))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"refractory_input": 0.001}, "refractory_input is 0.001 s, shorter than a step of 0.005 s"),
        ({"presentation": 0.001}, "presentation is 0.001 s, shorter than a step"),
        ({"step": 0.0}, "step of the network is 0"),
        ({"tau_input": -1.0}, "tau_input of the network is -1"),
    ],
)
def test_bad_constants(mode, settings, message):
    with pytest.raises(ConfigError, match=message):
        SpikingNetwork(**settings)

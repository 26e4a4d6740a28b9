"""Weights in devices: encoding by pairs, programming, write-verify, wear, state dicts, and derivatives through the device."""

import copy
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from spinode import ConfigError, Pulses, SynapseModel
from spinode.datasets import WeakReset
from spinode.device_weights.encoding import device_pulses, latent_weight
from spinode.surrogates import (
    DeviceWeights,
    IdealSynapse,
    ProportionalProgrammer,
    SignProgrammer,
    StochasticProgrammer,
    WriteVerify,
)


@dataclass
class SoftBounds(SynapseModel):
    """A device whose step shrinks towards the ends of its range and grows with V^2, with D2D spread and noise."""

    spread: float = 0.3
    cycle: float = 0.2
    read_noise: float = 0.0
    low: float = 1e-6
    high: float = 1e-5
    polarities: tuple[str, ...] = ("SET", "RESET")
    voltage: tuple[float, float] = (1.0, 1.0)
    width: float = 1e-7

    def _initial(self, shape, generator, dtype):
        noise = torch.zeros(shape, dtype=dtype) if generator is None else torch.randn(shape, generator=generator, dtype=dtype)
        return {"g": torch.full(shape, 0.4, dtype=dtype), "rate": 0.02 * (self.spread * noise).exp()}

    def _program(self, state, pulses, generator):
        n = pulses.count
        if generator is not None:
            n = n + self.cycle * n.abs().sqrt() * torch.randn(n.shape, generator=generator, dtype=n.dtype)
        decay = (-state["rate"] * n.abs() * pulses.voltage**2).exp()
        end = (n > 0).to(n)
        return {"g": end + (state["g"] - end) * decay, "rate": state["rate"]}

    def _read(self, state, generator):
        g = self.low + (self.high - self.low) * state["g"]
        if generator is not None and self.read_noise:
            g = g * (1 + self.read_noise * torch.randn(g.shape, generator=generator, dtype=g.dtype))
        return g


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# --- encoding ---


def test_weights_follow_the_equation_of_their_kind():
    for kind in ("single", "pair", "sign"):
        weights = DeviceWeights((50, 4), SoftBounds(), kind=kind, w_max=0.7, seed=0, dtype=torch.float64)
        weights.pulse(torch.randint(-30, 31, (50, 4), generator=seeded()).double())
        g = weights.synapse.read(weights.state)
        if kind == "single":
            expected = 2 * 0.7 / 9e-6 * (g[0] - 5.5e-6)
        else:
            expected = 0.7 / 9e-6 * (g[0] - g[1])
        torch.testing.assert_close(weights.latent(), expected)
        signs = torch.where(expected >= 0, 0.7, -0.7).double()
        torch.testing.assert_close(weights.read(), signs if kind == "sign" else expected)


@pytest.mark.parametrize("kind", ["single", "pair"])
def test_range_of_the_device_corresponds_to_w_max(kind):
    weights = DeviceWeights((3,), IdealSynapse(step=0.25, low=-1, high=3), kind=kind, w_max=0.5, seed=0)
    weights.pulse(torch.tensor([1e4, -1e4, 0.0]))
    torch.testing.assert_close(weights.read(), torch.tensor([0.5, -0.5, 0.0]), rtol=0, atol=0)


def test_equal_devices_give_the_positive_sign():
    assert DeviceWeights((2,), IdealSynapse(), kind="sign", seed=0).read().tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("policy", "up", "down"),
    [("both", (2, -2), (-2, 2)), ("set", (2, 0), (0, 2)), ("reset", (0, -2), (-2, 0))],
)
def test_policy_selects_the_devices(policy, up, down):
    """The ideal device starts at 0 and changes by one per pulse, so its conductance counts the pulses."""
    weights = DeviceWeights((3,), IdealSynapse(step=1, low=-50, high=50), policy=policy, seed=0)
    assert weights.pulse(torch.tensor([2.0, -2.0, 0.0])) == sum(map(abs, up + down))
    g = weights.state["g"]
    assert (tuple(g[:, 0].tolist()), tuple(g[:, 1].tolist()), g[:, 2].tolist()) == (up, down, [0, 0])
    torch.testing.assert_close(weights.wear, g.abs().to(torch.int64))


def test_pair_of_reset_only_devices_moves_the_weight_in_both_directions():
    weights = DeviceWeights((200,), WeakReset(), kind="pair", noise=(), seed=0, dtype=torch.float64)
    assert weights.policy == "reset"
    before = weights.read()
    weights.pulse(torch.tensor([40.0, -40.0]).repeat(100))
    moved = weights.read() - before
    assert bool((moved[::2] > 0).all())
    assert bool((moved[1::2] < 0).all())


def test_step_is_the_change_by_one_pulse():
    for kind, policy in (("single", None), ("pair", "both"), ("pair", "set"), ("pair", "reset")):
        weights = DeviceWeights((1,), IdealSynapse(step=0.01), kind=kind, policy=policy, seed=0, dtype=torch.float64)
        weights.pulse(torch.ones(1))
        assert float(weights.read()) == pytest.approx(weights.step, rel=1e-12)


def test_write_noise_is_the_noise_of_one_pulse_and_one_read():
    """SoftBounds: rate * cycle * (1 - g) by the pulse, 1 % of g by the read; 256 samples give it to within 4.4 %."""
    for kind, devices in (("single", 1), ("pair", 2)):
        weights = DeviceWeights((3,), SoftBounds(read_noise=0.01), kind=kind, seed=0)
        of_pulse, of_read = 0.02 * 0.2 * 0.6 * 9e-6, 0.01 * (1e-6 + 0.4 * 9e-6)
        expected = math.hypot(of_pulse, of_read) * weights.scale * math.sqrt(devices)
        assert weights.write_noise == pytest.approx(expected, rel=0.2)
    assert DeviceWeights((3,), SoftBounds(read_noise=0.01), noise=("devices",), seed=0).write_noise < 1e-12


def test_batch_of_weights_equals_a_loop_over_single_weights():
    whole = DeviceWeights((6,), SoftBounds(), noise=("devices",), seed=3, dtype=torch.float64)
    counts = torch.tensor([5.0, -3, 0, 12, -20, 1])
    parts = copy.deepcopy(whole)
    whole.pulse(counts)
    with parts.editing():
        for i in range(6):
            parts.pulse(counts[i : i + 1], indices=torch.tensor([i]))
    torch.testing.assert_close(parts.read(), whole.read(), rtol=1e-12, atol=0)
    assert torch.equal(parts.wear, whole.wear)
    assert parts.energy == pytest.approx(whole.energy, rel=1e-9)


# --- wear and energy ---


def test_energy_is_the_sum_of_v2_g_t():
    weights = DeviceWeights((4,), SoftBounds(), policy="set", seed=0, dtype=torch.float64)
    conductance = weights.synapse.read(weights.state)[0]
    weights.pulse(torch.tensor([1.0, 2, 3, 4]))
    assert weights.energy == pytest.approx(float((torch.tensor([1.0, 2, 3, 4]) * conductance * 1e-7).sum()), rel=1e-9)
    assert weights.pulses == 10


def test_energy_is_none_if_the_synapse_does_not_know_it():
    weights = DeviceWeights((4,), IdealSynapse(), seed=0)
    weights.pulse(torch.ones(4))
    assert weights.energy is None
    assert weights.pulses == 8


# --- programmers ---


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    "programmer", [SignProgrammer(), StochasticProgrammer(0.1), ProportionalProgrammer(), WriteVerify(0.1)]
)
def test_update_that_is_not_finite_changes_nothing(programmer, bad):
    weights = DeviceWeights((5,), SoftBounds(), seed=0)
    before = copy.deepcopy(weights.state_dict())
    update = torch.ones(5)
    update[3] = bad
    with pytest.raises(ConfigError, match="1 of 5 values of the update are NaN or infinite"):
        weights.program(update, programmer)
    assert same(before, weights.state_dict())


def test_invalid_counts_change_nothing():
    """A stochastic count that is too large may advance the generator, but not change devices, wear or energy."""
    weights = DeviceWeights((5,), SoftBounds(), seed=0)
    before = {**copy.deepcopy(weights.state_dict()), "_extra_state": weights.energy}
    with pytest.raises(ConfigError, match=r"expected at most 1e\+06"):
        weights.program(torch.full((5,), 10.0), StochasticProgrammer(1e-9))
    with pytest.raises(ConfigError, match="expected whole numbers"):
        weights.pulse(torch.full((5,), 0.5))
    with pytest.raises(ConfigError, match="expected that of the weights"):
        weights.program(torch.ones(4))
    with pytest.raises(ConfigError, match="expected one number of pulses for each device"):
        weights.pulse(torch.ones(4))
    assert same(before, {**weights.state_dict(), "_extra_state": weights.energy})


# --- write-verify ---


@pytest.mark.parametrize("kind", ["single", "pair"])
def test_write_verify_reaches_its_tolerance_on_noisy_devices(kind):
    """Without read noise, the verified weight is the stored weight."""
    weights = DeviceWeights((40, 30), SoftBounds(), kind=kind, seed=0)
    target = torch.empty(40, 30).uniform_(-0.6, 0.6, generator=seeded(1))
    result = weights.write(target, WriteVerify(0.05))
    assert not bool(result.unreached.any())
    assert float((weights.read() - target).abs().max()) <= 0.05
    assert result.pulses == weights.pulses > 0


def test_write_verify_error_with_read_noise_is_tolerance_plus_noise():
    """A few thousand reads with 1 % noise err by at most 5 sigma (false-alarm rate below 1e-2)."""
    weights = DeviceWeights((1000,), SoftBounds(read_noise=0.01), seed=0)
    target = torch.empty(1000).uniform_(-0.6, 0.6, generator=seeded(1))
    weights.write(target, WriteVerify(0.06))
    sigma = 0.01 * math.sqrt(2) * 1e-5 * weights.scale
    assert float((weights.read(noisy=False) - target).abs().max()) <= 0.06 + 5 * sigma


def test_write_verify_reports_unreached_weights():
    weights = DeviceWeights((4,), IdealSynapse(step=0.01), seed=0)
    result = weights.write(torch.tensor([0.5, 3.0, -3.0, 0.0]), WriteVerify(0.02, max_pulses=500))
    assert result.unreached.tolist() == [False, True, True, False]
    torch.testing.assert_close(weights.read()[1:3], torch.tensor([1.0, -1.0]))
    assert weights.wear[0, 3] == 0
    assert int(weights.wear.max()) <= 500


def test_write_verify_respects_max_pulses():
    weights = DeviceWeights((100,), SoftBounds(), kind="single", seed=0)
    weights.write(torch.full((100,), 0.9), WriteVerify(1e-6, max_pulses=37))
    assert int(weights.wear.max()) == 37


@pytest.mark.parametrize("policy", ["both", "set", "reset"])
def test_write_sets_the_signs_of_sign_weights(policy):
    weights = DeviceWeights((30, 20), SoftBounds(), kind="sign", policy=policy, w_max=0.3, seed=0)
    target = torch.randn(30, 20, generator=seeded(2))
    assert not bool(weights.write(target).unreached.any())
    torch.testing.assert_close(weights.read(), 0.3 * target.sign())


def test_closed_loop_update_reaches_its_tolerance():
    weights = DeviceWeights((50,), SoftBounds(), seed=0)
    weights.write(torch.zeros(50), WriteVerify(0.03))
    start = weights.read()
    weights.program(torch.full((50,), 0.3), WriteVerify(0.03))
    assert float((weights.read() - start - 0.3).abs().max()) <= 0.03


# --- randomness and storage ---


def same(a, b):
    """Return True if two state dicts are equal, extra state included."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def test_equal_seeds_give_equal_runs_and_other_seeds_other_runs():
    def run(seed):
        weights = DeviceWeights((10,), SoftBounds(read_noise=0.1), seed=seed)
        weights.program(torch.full((10,), 0.1))
        return weights.read()

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    shared = seeded(5)
    assert not torch.equal(run(shared), run(shared))


@pytest.mark.parametrize("noise", [(), ("devices",), ("pulses",), ("read",)])
def test_noise_selects_what_is_random(noise):
    """Equal pulses on equal weights: they differ only by the selected noise."""
    weights = DeviceWeights((40,), SoftBounds(read_noise=0.1), noise=noise, kind="single", seed=0)
    weights.pulse(torch.full((40,), 5.0))
    assert bool(weights.state["rate"].std() > 0) is ("devices" in noise)
    assert bool(weights.read(noisy=False).std() > 1e-6) is bool({"devices", "pulses"} & set(noise))
    assert torch.equal(weights.read(), weights.read()) is ("read" not in noise)
    assert weights.noisy is ("read" in noise)


def test_state_dict_restores_everything(tmp_path):
    old = DeviceWeights((6, 3), SoftBounds(read_noise=0.05), w_max=0.4, seed=0)
    old.program(torch.full((6, 3), 0.2))
    torch.save(old.state_dict(), tmp_path / "weights.pt")
    new = DeviceWeights((6, 3), SoftBounds(read_noise=0.05), w_max=0.4, seed=7)
    new.load_state_dict(torch.load(tmp_path / "weights.pt"))
    assert same(old.state_dict(), new.state_dict())
    for weights in (old, new):
        weights.program(torch.full((6, 3), -0.3))
    assert torch.equal(old.read(), new.read())
    assert same(old.state_dict(), new.state_dict())
    assert old.energy == new.energy > 0


def test_copy_is_independent_and_repeats_the_same_noise():
    old = DeviceWeights((6,), SoftBounds(read_noise=0.05), seed=0)
    new = copy.deepcopy(old)
    old.program(torch.full((6,), 0.2))
    assert new.pulses == 0
    new.program(torch.full((6,), 0.2))
    assert same(old.state_dict(), new.state_dict())


def test_conversion_to_double_precision_keeps_states_and_wear():
    weights = DeviceWeights((6,), SoftBounds(), seed=0)
    weights.pulse(torch.full((6,), 3.0))
    read, wear = weights.read(), weights.wear.clone()
    weights.to(torch.float64)
    assert weights.read().dtype == torch.float64
    torch.testing.assert_close(weights.read().float(), read)
    assert torch.equal(weights.wear, wear)
    weights.pulse(torch.full((6,), 3.0))


# --- derivatives through the device ---


def test_programmed_equals_program():
    weights = DeviceWeights((5, 4), SoftBounds(), noise=("devices",), seed=0, dtype=torch.float64)
    update = torch.randn(5, 4, dtype=torch.float64, generator=seeded(1)) * 0.3
    before = copy.deepcopy(weights.state_dict())
    predicted = weights.programmed(update)
    assert same(before, weights.state_dict())
    weights.program(update, ProportionalProgrammer(1 / weights.step, math.inf))
    torch.testing.assert_close(weights.read(), predicted)


@pytest.mark.parametrize("policy", ["both", "set", "reset"])
def test_derivative_in_the_update_is_that_of_the_device_in_the_count(policy):
    """Compared with a finite difference of fractional counts in float64; apart from rounding, the response is smooth."""
    weights = DeviceWeights((5,), SoftBounds(), policy=policy, noise=("devices",), seed=0, dtype=torch.float64)
    counts = torch.tensor([4.0, -6.0, 1.0, -1.0, 20.0], dtype=torch.float64)
    update = (counts * weights.step).requires_grad_()
    (slope,) = torch.autograd.grad(weights.programmed(update).sum(), update)

    def latent_after(count):
        pulses = Pulses.unchecked(device_pulses(count, weights.kind, weights.policy), 1.0)
        conductance = weights.synapse._read(weights.synapse._program(weights.state, pulses, None), None)
        return latent_weight(conductance, weights.kind, weights.scale, weights.reference)

    expected = (latent_after(counts + 1e-5) - latent_after(counts - 1e-5)) / 2e-5 / weights.step
    torch.testing.assert_close(slope, expected, rtol=1e-6, atol=0)
    assert bool((slope > 0).all())


def test_update_that_rounds_to_no_pulse_has_a_derivative():
    """Otherwise an optimiser could never make it larger."""
    for policy in ("both", "set", "reset"):
        weights = DeviceWeights((1,), IdealSynapse(step=0.01), policy=policy, seed=0, dtype=torch.float64)
        update = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        weights.programmed(update).sum().backward()
        assert float(update.grad) == pytest.approx(1.0)


def test_derivatives_in_voltage_and_state_are_those_of_the_synapse():
    weights = DeviceWeights((3,), SoftBounds(), noise=("devices",), seed=0, dtype=torch.float64)
    update = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
    rate = weights.state["rate"]

    def after(voltage, g):
        return weights.programmed(update, voltage=voltage, state={"g": g, "rate": rate})

    voltage = torch.tensor([1.0, 1.2, 0.9], dtype=torch.float64, requires_grad=True)
    g = torch.rand(2, 3, dtype=torch.float64, generator=seeded(1)).requires_grad_()
    assert gradcheck(after, (voltage, g))


def test_sign_weights_pass_the_derivative_of_the_latent_weight():
    sign = DeviceWeights((4,), SoftBounds(), kind="sign", noise=("devices",), seed=0, dtype=torch.float64)
    pair = DeviceWeights((4,), SoftBounds(), kind="pair", noise=("devices",), seed=0, dtype=torch.float64)
    update = torch.tensor([3.0, -2.0, 1.0, -5.0], dtype=torch.float64, requires_grad=True)
    predicted = sign.programmed(update)
    assert predicted.detach().tolist() == [1.0, -1.0, 1.0, -1.0]
    (slope,) = torch.autograd.grad(predicted.sum(), update)
    (expected,) = torch.autograd.grad(pair.programmed(update, pulses_per_unit=1.0).sum(), update)
    torch.testing.assert_close(slope, expected)


# --- invalid settings ---


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "double"}, "kind is 'double'; expected one of single, pair, sign"),
        ({"policy": "sometimes"}, "policy is 'sometimes'"),
        ({"policy": "set"}, "policy is 'set', but the device responds to RESET only"),
        ({"kind": "single"}, "could never move back"),
        ({"noise": ("thermal",)}, "noise is 'thermal'"),
        ({"w_max": 0.0}, "w_max is 0.0; expected a finite number above 0"),
        ({"scale": -1.0}, "scale is -1.0; expected a finite number above 0"),
        ({"w_max": True}, "w_max is True; expected a finite number above 0"),
        ({"shape": (2.5,)}, r"shape is \(2\.5,\); expected whole numbers of at least 1, such as \(10, 784\)"),
        ({"seed": None}, "seed is None; expected a whole number or a torch.Generator"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        DeviceWeights(**{"shape": (2,), "synapse": WeakReset(), "seed": 0, **settings})


def test_numpy_scalars_are_accepted():
    weights = DeviceWeights(np.array([2, 3]), WeakReset(), w_max=np.float32(0.5), seed=np.int64(0))
    assert weights.shape == (2, 3)
    assert weights.w_max == 0.5
    assert torch.equal(weights.read(), DeviceWeights((2, 3), WeakReset(), w_max=0.5, seed=0).read())


# Indices, half precision, and copies


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (torch.tensor([0, 0]), "contains 1 of 2 values twice"),
        (torch.tensor([5]), "indices contains 5; expected whole numbers from 0 to 2"),
        (torch.tensor([-1]), "indices contains -1"),
        (torch.tensor([True, False, True]), "expected a tensor of whole numbers, shape .n,., such as mask"),
        (torch.tensor([0.0]), "indices is torch.float32 of shape .1,."),
        ([0, 1], "indices is a list"),
    ],
)
def test_wrong_indices_are_refused(indices, message):
    weights = DeviceWeights((3,), IdealSynapse(), seed=0)
    for call in (
        lambda: weights.write(torch.full((3,), 0.5), indices=indices),
        lambda: weights.pulse(torch.ones(len(indices)), indices=indices),
        lambda: WriteVerify(0.1).write(weights, torch.full((3,), 0.5), indices),
    ):
        with pytest.raises(ConfigError, match=message):
            call()
    assert weights.pulses == 0


@pytest.mark.parametrize(("dtype", "count"), [(torch.float16, 2049), (torch.float16, 70_001), (torch.bfloat16, 5001)])
def test_pulses_in_half_precision_are_counted_exactly(dtype, count):
    weights = DeviceWeights((1,), IdealSynapse(), kind="single", seed=0, dtype=dtype)
    assert weights.pulse(torch.tensor([float(count)])) == count
    assert weights.wear.tolist() == [[count]]


def test_a_kept_state_dict_does_not_change_with_the_devices():
    weights = DeviceWeights((3,), IdealSynapse(), seed=0)
    kept = weights.state_dict()
    weights.pulse(torch.ones(3))
    assert int(kept["wear"].sum()) == 0


def test_arguments_of_other_types_are_refused():
    weights = DeviceWeights((3,), IdealSynapse(), seed=0)
    for target in (np.ones(3), [1.0, 1.0, 1.0], torch.ones(3, dtype=torch.bool)):
        with pytest.raises(ConfigError, match=r"the target is .*; expected a tensor of real numbers"):
            weights.write(target)
    with pytest.raises(ConfigError, match="noise is None; expected names in a sequence"):
        DeviceWeights((3,), IdealSynapse(), noise=None, seed=0)


def test_a_write_gives_up_at_the_end_of_the_range():
    """A target beyond the range is given up after a few long trains instead of all pulses; one far away is reached."""
    weights = DeviceWeights((2,), IdealSynapse(step=1e-3), seed=0)
    result = weights.write(torch.tensor([5.0, 0.9]), WriteVerify(2e-3, max_pulses=100_000))
    assert result.unreached.tolist() == [True, False]
    assert result.pulses < 20_000  # of 200 000: both devices of the pair, and trains grow by half
